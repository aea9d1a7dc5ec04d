"""What runs by itself: sensors and the schedule, one module each, and how they judge a trading day.

Messages to people are in ``alerts``. ``runs`` runs what they request; ``deliveries`` knows whether the files of a day
are complete.
May import ``resources``, ``job_status`` and what is below; ``definitions`` lists its sensors.
"""
