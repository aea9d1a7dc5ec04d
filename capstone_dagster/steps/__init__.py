"""What every step does around its one call into ``spark_code``: inputs, publishing, local Spark, retries.

``assets`` defines the steps; ``runs`` and ``emr`` execute them.
May import ``assets``, ``run_storage`` and what is below.
"""
