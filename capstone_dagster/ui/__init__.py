"""The web server of Dagster's UI: which requests it answers, and its page of a backfill.

``assets`` defines what the UI shows of assets and checks; the command ``capstone dev`` in ``cli`` starts the server.
May import ``definitions`` and what is below.
"""
