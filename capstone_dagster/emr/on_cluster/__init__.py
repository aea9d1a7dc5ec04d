"""The program that runs one step on the cluster, for a run on another host.

``emr.attempt_folder`` defines the files that host and cluster exchange. ``step_main`` imports nothing of Dagster
before it knows that the cluster has the right versions.
"""
