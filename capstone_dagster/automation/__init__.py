"""What runs by itself: sensors and the schedule, listed in ``sensors`` and ``schedules``.

Start with ``needed_runs``: it decides which runs a trading day needs, for all of them. ``landed_days`` checks what is
overdue, and ``alerts`` sends messages. How a run works is in ``runs``; when a delivery is complete, in ``deliveries``.
May import ``resources``, ``job_status`` and what is below.
"""
