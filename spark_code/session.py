"""The Spark session of each engine, and the settings results or files depend on.

Sizes of a cluster's executors are the cluster's business, not set here.
"""

import os
from pathlib import Path

from pyspark.sql import SparkSession

# What every engine needs to write the same files.
ENGINE_CONF: dict[str, str] = {
    "spark.sql.session.timeZone": "UTC",
    # ingested/events has three directories; without this every task would sort its rows by them.
    "spark.sql.maxConcurrentOutputFileWriters": "8",
    "spark.sql.parquet.compression.codec": "zstd",
}


def local_conf(driver_memory: str, log_dir: Path) -> dict[str, str]:
    """Spark inside this process: all cores, a bounded driver, its log in a file."""
    log4j = Path(__file__).with_name("log4j2.properties").as_uri()
    return {
        **ENGINE_CONF,
        "spark.master": "local[*]",
        "spark.app.name": "capstone",
        "spark.driver.memory": driver_memory,
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.extraJavaOptions": (
            f'"-Dlog4j2.configurationFile={log4j}" "-Dcapstone.spark.log={log_dir / "spark.log"}"'
        ),
        "spark.sql.shuffle.partitions": str(max(8, 2 * (os.cpu_count() or 1))),
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }


def start(conf: dict[str, str]) -> SparkSession:
    """The running session, or a new one, with these settings."""
    builder = SparkSession.builder
    for key, value in conf.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()
