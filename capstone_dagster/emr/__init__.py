"""The same steps on AWS EMR: shipping the code, submitting steps and waiting for them, creating and ending clusters.

Only ``on_cluster`` runs on the cluster. What a step does is in ``assets`` and ``steps``, which know nothing of EMR;
``resources`` chooses whether steps run here or on EMR.
May import ``steps`` and what is below.
"""
