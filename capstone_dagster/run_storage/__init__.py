"""Dagster's Postgres: the embedded server, or the one that you name. ``instance`` makes it ready before Dagster starts.

Locks between processes are in ``locks``; runs survive a restart of the server by ``outages``. What runs record there
is in ``runs``; the SQL view over it, in ``job_status``.
May import ``settings`` and what is below.
"""
