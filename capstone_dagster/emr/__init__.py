"""The same steps on AWS EMR: what is shipped, how a step is submitted and awaited, how clusters live and end.

``on_cluster`` runs there, and nothing else does. What a step does is in ``assets`` and ``steps``, which know nothing
of EMR; ``resources`` chooses between here and there.
May import ``steps`` and what is below.
"""
