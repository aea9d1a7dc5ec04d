"""The raw folder: whether a delivery is complete, what else must hold, and which files are misplaced.

``spark_code.raw_files`` reads the files; ``automation`` acts once a delivery is complete.
May import the ground only: ``settings`` reads the preconditions.
"""
