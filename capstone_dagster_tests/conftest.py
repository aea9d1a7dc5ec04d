"""Fixtures every level shares: one Spark session for the whole run."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from spark_code import session


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """Spark in this process, UTC, two cores and two shuffle partitions."""
    log_dir: Path = tmp_path_factory.mktemp("spark")
    conf = session.local_conf(driver_memory="2g", log_dir=log_dir)
    # Most of what is run here is run once: compiling it well would take longer than it saves.
    options = f"{conf['spark.driver.extraJavaOptions']} -XX:TieredStopAtLevel=1"
    small = {"spark.master": "local[2]", "spark.sql.shuffle.partitions": "2", "spark.driver.extraJavaOptions": options}
    running = session.start(conf | small)
    yield running
    running.stop()
