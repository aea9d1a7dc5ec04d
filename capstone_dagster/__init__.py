"""The orchestration, a tower of rooms: each may import only what stands below it.

From the roof down: ``cli``; ``tracker`` and ``ui``; ``definitions``; ``automation``; ``resources``; ``job_status``;
``runs``; ``emr``; ``steps``; ``assets`` and ``run_storage``; ``settings`` and its ``setting_values``; ``deliveries``;
and on the ground ``run_tags``, ``trading_days``, ``wording`` and ``errors``. The computation is the package
``spark_code``, which imports nothing of this. ``make lint`` holds the contract in ``pyproject.toml``.
"""
