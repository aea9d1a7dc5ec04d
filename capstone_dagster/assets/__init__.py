"""What exists, in the order of the data: raw, ingested, eod, quality, report, page, warehouse; a module per stage.

All stages share ``table_assets``, ``checks``, ``metadata`` and ``labels``. ``jobs`` combines them, and ``job_of_run``
tells which job a run does, by its assets. ``automation`` decides when tables are made; ``runs`` and ``steps`` make
them. May import ``settings`` and what is below.
"""
