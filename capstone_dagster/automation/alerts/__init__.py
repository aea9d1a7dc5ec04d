"""Alerts to people: one sensor per subject, and one alert per event.

``messages`` sends an alert to its channels, through a separate process. ``runs.failure_reasons`` finds out why a run
has failed.
May import what ``automation`` may.
"""
