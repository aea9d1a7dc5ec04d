"""What runs on the cluster: the program of one step, of a run whose host is elsewhere.

What the host writes for it, and reads of it, is in ``emr.attempt_folder``. ``step_main`` imports nothing of Dagster
before it knows that the cluster is the right one.
"""
