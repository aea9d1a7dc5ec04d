"""How a run starts, executes and ends, whoever requests it: its guard, slot, launcher, executor and worker.

``steps`` has what a step does around its computation, ``emr`` takes it to a cluster, and ``automation`` decides which
run a day needs. A run is given its job and its settings: nothing here imports ``definitions``.
May import ``emr`` and what is below.
"""
