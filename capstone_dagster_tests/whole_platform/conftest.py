"""The fixtures of the rooms, for tests of all of them at once."""

from collections.abc import Iterator

import pytest
from pyspark.sql import SparkSession

from capstone_dagster_tests.capstone_dagster.automation.conftest import days  # noqa: F401 -- pytest finds fixtures so
from capstone_dagster_tests.capstone_dagster.conftest import (  # noqa: F401 -- the same
    capstone,
    histories,
    home,
    instance,
    tracker,
)
from capstone_dagster_tests.servers.s3_server import s3_endpoint, s3_uri  # noqa: F401 -- the same
from capstone_dagster_tests.servers.webhook_server import second_webhook, webhook  # noqa: F401 -- the same


@pytest.fixture(scope="package")
def spark(spark: SparkSession) -> Iterator[SparkSession]:
    """It compiles no queries, which takes a quarter of the time of a day of some lines."""
    interpreted = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}
    before = {name: spark.conf.get(name) or "" for name in interpreted}
    for name, value in interpreted.items():
        spark.conf.set(name, value)
    yield spark
    for name, was in before.items():
        spark.conf.set(name, was)
