"""What a trading day costs: the real pipeline beside others that make the same tables, in turns, in the same rounds.

``subject`` has the rounds, ``raw_days`` the files, ``contestants`` the processes, ``process_tree`` what they use,
``same_rows`` compares what they made, ``results`` shows it. Each contestant is a program of its own: ``pipeline``,
``plain_duckdb``.
"""
