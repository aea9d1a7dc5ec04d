"""The web server of Dagster's UI: which requests it refuses, who may sign in, and the page of a backfill, corrected.

``assets`` says what the UI shows of tables and checks; ``capstone dev``, which starts it, is in ``cli``.
May import ``definitions`` and what is below.
"""
