"""Dagster's Postgres: made ready before anything of Dagster starts, embedded or named, locked, outlasted.

What runs record there is in ``runs``; the SQL view over it, in ``job_status``.
May import ``settings`` and what is below.
"""
