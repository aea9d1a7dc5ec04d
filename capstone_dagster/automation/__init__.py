"""What runs by itself: sensors and the schedule, one module each, and what they judge a trading day by.

Who is told of what is in ``alerts``. How a run goes once it is asked for is in ``runs``; whether the files of a day
are complete, in ``deliveries``.
May import ``resources``, ``job_status`` and what is below; ``definitions`` lists its sensors.
"""
