"""What lies in the raw folder: is a delivery complete, what else must hold, what lies in a wrong place.

How its lines are read is in ``spark_code.raw_files``; what is done once it is complete, in ``automation``.
May import the ground only: ``settings`` reads the preconditions.
"""
