"""The web server of Dagster's UI: which requests it refuses, what a backfill does, and its page, corrected.

``assets`` says what the UI shows of tables and checks; ``capstone dev``, which starts it, is in ``cli``.
May import ``definitions`` and what is below.
"""
