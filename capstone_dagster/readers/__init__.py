"""Published rows for people and their programs, read from the parquet files: no Spark, no database.

``rows`` gives them as Arrow batches (``capstone_dagster.read``, ``capstone show``), and ``views`` as the tables of a
DuckDB (``capstone sql``, ``capstone export``). Versions that are not published are never read: whoever looks for files
below the lake himself also finds those that no longer count. What publishes is ``spark_code.lake``.
"""
