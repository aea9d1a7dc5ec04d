"""How a run begins, goes and ends, whoever asks for it: its guard, slot, launcher, executor and worker.

What a step does around its computation is in ``steps``, how it gets to a cluster in ``emr``, which run a day needs in
``automation``. A run is given its job and its settings: nothing here imports ``definitions``.
May import ``emr`` and what is below.
"""
