"""The job tracker: which runs are attempts at a job of a trading day, and where the job stands.

The rules are one SQL text, in ``attempts_sql``: ``attempts`` reads it for some days, ``view`` makes the SQL view of it.
Who may work on a day is in ``runs``. People's own Python uses ``capstone_dagster.tracker``.
May import ``runs`` and what is below.
"""
