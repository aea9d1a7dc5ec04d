"""The warehouse: tables of the report in a schema of Postgres, for programs that ask a database instead of files.

``tables`` says which tables there are, ``migrations`` makes their schema and keeps it up to date, ``loading`` copies
the published version of a day, ``csv_rows`` is what is copied, ``queries`` asks, ``database`` connects. The lake stays
the source: what is in here can be loaded again.
May import ``readers``, ``run_storage`` and what is below; ``assets.warehouse`` is the step that loads a day.
"""
