"""Spark in this process, for tests."""

from pathlib import Path

from pyspark.sql import SparkSession

from spark_code import session


def small_spark(log_dir: Path) -> SparkSession:
    """UTC, two cores and two shuffle partitions."""
    conf = session.local_conf(driver_memory="2g", log_dir=log_dir)
    small = {"spark.master": "local[2]", "spark.sql.shuffle.partitions": "2"}
    compiling = {"spark.sql.codegen.wholeStage": "true", "spark.sql.codegen.factoryMode": "FALLBACK"}
    return session.start(conf | small | compiling)
