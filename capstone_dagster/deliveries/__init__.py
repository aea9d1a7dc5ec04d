"""What lies in the raw folder: ``scan`` looks, ``completeness`` and ``preconditions`` say whether work may begin.

``misplaced_files`` are part of no delivery; ``sample`` writes invented days of a ``market``. How lines are read is in
``spark_code.raw_files``; what happens once a delivery is complete, in ``automation``.
May import the ground only.
"""
