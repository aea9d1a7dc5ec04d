"""Who is told, and of what: one sensor per subject, and one alert per event.

``messages`` hands an alert to its channels, through a process of its own. Why a run has failed is found by
``runs.failure_reasons``.
May import what ``automation`` may.
"""
