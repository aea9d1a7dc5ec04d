"""What exists, in the order of the data: raw, ingested, eod, report. One module per stage.

Beside them stands what all stages share: tables as assets, the jobs and which of them a run does, checks, metadata.
When tables are made is in ``automation``, how in ``runs`` and ``steps``.
May import ``settings`` and what is below.
"""
