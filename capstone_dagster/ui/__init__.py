"""The web server of the UI: which requests it refuses, who may sign in, what a backfill does, and its page, corrected.

``assets`` says what the UI shows of tables and checks; ``capstone dev``, which starts it, is in ``cli``.
May import ``definitions`` and what is below.
"""
