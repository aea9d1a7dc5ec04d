"""The web server of the UI: refused requests, signing in, what a backfill does, and the corrected backfill page.

``assets`` says what the UI shows of tables and checks; ``capstone dev``, which starts it, is in ``cli``.
May import ``definitions`` and what is below.
"""
