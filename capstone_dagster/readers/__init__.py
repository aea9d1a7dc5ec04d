"""Published rows for people and their programs, read from the parquet files: no Spark, no database.

``rows`` gives them as Arrow batches (``capstone_dagster.read``, ``capstone show``), and ``views`` as the tables of a
DuckDB (``capstone sql``, ``capstone export``); ``days`` has a word for each day (``capstone days``). Only published
versions are read; a search for files below the lake also finds those that no longer count. ``spark_code.lake``
publishes them.
"""
