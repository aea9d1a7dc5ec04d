"""What surrounds the one call of a step into ``spark_code``: inputs, publishing, local Spark, retries.

``preview`` also serves commands, and ``provenance`` describes tables that no step made. Which steps exist is in
``assets``; what executes them, in ``runs`` and ``emr``.
May import ``assets``, ``run_storage`` and what is below.
"""
