"""The job tracker: which runs are attempts at a job of a trading day, and where the job stands.

``attempts`` says it in Python; ``view`` makes the SQL view that follows the same rules. Who may work on a day is in
``runs``; which job a run does, in ``assets.job_of_run``. People's own Python uses ``capstone_dagster.tracker``.
May import ``runs`` and what is below.
"""
