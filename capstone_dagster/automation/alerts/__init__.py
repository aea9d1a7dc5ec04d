"""Who is alerted, and of what: one sensor per subject, and one alert per event.

``messages`` sends an alert to all channels of CAPSTONE_ALERT_URLS, through a process of its own.
``runs.failure_reasons`` finds out why a run failed.
May import what ``automation`` may.
"""
