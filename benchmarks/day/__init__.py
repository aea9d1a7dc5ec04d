"""What a trading day costs: the real pipeline beside others that make the same tables, in the same rounds.

``subject`` says who runs and what is asked, ``targets`` what is reached, ``rounds`` runs them, ``results`` shows it.
``raw_days`` makes the files, ``contestants`` and ``process_tree`` run and measure processes, ``same_rows`` compares
what they have made. The contestants are programs: ``pipeline``, ``duckdb_sql`` with its two files, ``plain_pyspark``.
"""
