"""A step and the Glue catalog: registered with the step, failed if Glue refuses, tried again if that may help."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import dagster as dg
from dagster_pyspark import LazyPySparkResource
from pyspark.sql import SparkSession

from capstone_dagster.steps.lake_io_manager import LakeIOManager, ReportOptions
from capstone_dagster.steps.retries import Retries
from capstone_dagster_tests.servers.glue_server import (  # noqa: F401 -- pytest finds fixtures by their import
    GlueServer,
    glue_front,
    glue_server,
)
from capstone_dagster_tests.servers.platform import failure
from capstone_dagster_tests.servers.s3_server import (  # noqa: F401 -- pytest finds fixtures by their import
    s3_endpoint,
    s3_uri,
)
from spark_code.drafts import Draft
from spark_code.few_rows import few_rows
from spark_code.lake import Lake
from spark_code.schemas import CLOSES

DAY = date(2020, 8, 5)


def materialize_closes(
    spark: SparkSession, lake: Path, database: str | None, retries: int = 0
) -> dg.ExecuteInProcessResult:
    """One step that makes the closes of a day."""

    @dg.asset(
        key=["eod", "closes"],
        io_manager_key="lake",
        partitions_def=dg.DailyPartitionsDefinition("2020-08-05"),
    )
    def closes() -> Draft:
        rows = few_rows(spark, [(DAY, "AAA", "NYSE", Decimal("1.25"))], CLOSES.schema)
        return Draft(CLOSES, rows, inputs={})

    resource = LazyPySparkResource(spark_config={})
    manager = LakeIOManager(
        uri=str(lake),
        spark=resource,
        report_options=ReportOptions(),
        retries=Retries(max_retries=retries, first_seconds=0.001),
        glue_database=database,
    )
    return dg.materialize([closes], partition_key="2020-08-05", resources={"lake": manager}, raise_on_error=False)


def published(lake: Path) -> str:
    return Lake(str(lake)).require(CLOSES, DAY).version


def test_without_a_database_glue_hears_nothing(spark: SparkSession, glue: GlueServer, tmp_path: Path) -> None:
    assert materialize_closes(spark, tmp_path, None).success

    assert glue.calls == []


def test_a_refusal_that_may_pass_is_tried_again(spark: SparkSession, glue: GlueServer, tmp_path: Path) -> None:
    glue.refuse("GetTable", "OperationTimeoutException")

    result = materialize_closes(spark, tmp_path, glue.database, retries=1)

    assert result.success
    assert published(tmp_path).endswith("-2")
    assert glue.locations("eod_closes") == {
        ("2020-08-05",): f"{tmp_path}/eod/closes/data/{published(tmp_path)}/trade_dt=2020-08-05/"
    }


def test_a_refusal_that_only_a_person_can_mend_fails_the_step_at_once(
    spark: SparkSession, glue: GlueServer, tmp_path: Path
) -> None:
    glue.refuse("GetTable", "AccessDeniedException")

    result = materialize_closes(spark, tmp_path, glue.database, retries=1)

    assert not result.success
    assert glue.calls == ["GetTable"]
    assert failure(result) == (
        f"eod/closes of 2020-08-05 is published ({published(tmp_path)}), but is not registered in Glue as "
        f"{glue.database}.eod_closes, where Athena may still find what was published before: "
        "An error occurred (AccessDeniedException) when calling the GetTable operation: not now; "
        "once that is mended: capstone glue-sync 2020-08-05"
    )
