"""Dagster's Postgres, embedded or yours: starting it before Dagster, locks in it, waiting while it is down.

``runs`` records runs there; ``job_status`` has the SQL view over them.
May import ``settings`` and what is below.
"""
