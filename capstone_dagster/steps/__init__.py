"""What every step does around its one call into ``spark_code``: inputs, publishing, local Spark, retries.

Which steps there are is in ``assets``; who executes them, in ``runs`` and ``emr``.
May import ``assets``, ``run_storage`` and what is below.
"""
