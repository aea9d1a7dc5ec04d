"""The same steps on AWS EMR: what is shipped, how a step is submitted and awaited, how clusters live and end.

Of this room, only ``on_cluster`` and ``attempt_folder`` run on the cluster. What a step does is in ``assets`` and
``steps``, which know nothing of EMR; ``resources`` chooses between EMR and this machine.
May import ``steps`` and what is below.
"""
