"""The web server of Dagster's UI: who may ask it, and the page of a backfill as it shows it.

What the UI shows of assets and checks is in ``assets``; the command that starts it, ``capstone dev``, is in ``cli``.
May import ``definitions`` and what is below.
"""
