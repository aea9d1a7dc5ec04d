"""The computation: pure PySpark that ships whole to a cluster and knows no orchestrator.

``flow`` lists the steps, ``schemas`` the tables. Each edge is a module (``raw_to_ingested``, ``ingested_to_eod``,
``eod_to_report``) that turns published rows into ``drafts``; ``lake`` audits and publishes them. ``submit`` runs the
edges under plain spark-submit, ``session`` configures Spark.
"""
