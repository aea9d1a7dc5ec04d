"""The status of a job: which runs are attempts at a job of a trading day, and which of them counts.

The rules are the SQL in ``attempts_sql``. ``attempts`` reads it for Python; ``view_sql`` makes the view ``job_status``
of it, with reasons from ``reasons_sql``, and ``view`` creates and upgrades that view. People's own Python uses
``capstone_dagster.tracker``.
May import ``runs`` and what is below.
"""
