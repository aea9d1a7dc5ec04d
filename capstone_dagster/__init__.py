"""The orchestration, a tower of rooms: each may import only what stands below it.

From the roof down: ``cli``; ``tracker`` and ``ui``; ``definitions``; ``automation``; ``resources``; ``job_status``;
``runs``; ``emr``; ``steps``; ``assets`` and ``run_storage``; ``settings``; ``deliveries``; and on the ground
``run_tags``, ``trading_days``, ``wording`` and ``errors``. What is computed is in the package ``spark_code``, which
imports nothing of this. The contract is in ``pyproject.toml``, and ``make lint`` holds it.
"""
