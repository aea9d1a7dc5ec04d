"""How a run begins, works and ends.

May it begin: ``day_guard``, ``day_slot``. Who starts it: ``coordinator`` (the queue), ``launcher``, ``day_run``
(at once). What works on it: ``executor``, ``worker``; several days: ``range_run``; outside Dagster: ``outside_run``,
``lease``. How it ends: ``interruptions``, ``failure_reasons``. Steps are in ``steps``, which run a day needs in
``automation``. A run is given its job and its settings: nothing here imports ``definitions``. May import ``emr`` and
what is below.
"""
