"""HotSpot compiles all code that Spark generates from the edges, and no stage goes without generated code."""

from collections.abc import Iterator
from datetime import time

import pytest
from pyspark.sql import SparkSession

from capstone_dagster_tests.builders.rows import DAY, event, frame, quote, trade
from capstone_dagster_tests.spark_code.generated_code import (
    MOST_BYTES,
    code_faults,
    code_faults_of_publishing,
    plan_of,
)
from spark_code import eod_to_report, ingested_to_eod, quality
from spark_code.audit import counting
from spark_code.drafts import Draft
from spark_code.lake import Lake
from spark_code.manifest import Attempt
from spark_code.quality_limits import Limits
from spark_code.schemas import CLOSES, EVENTS, QUALITY, QUOTE_ANALYTICS, QUOTES, TABLES, TRADES, Table
from spark_code.session import ENGINE_CONF

EDGES = [path for path in TABLES if path != EVENTS.path]


@pytest.fixture(scope="module")
def drafts(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Draft]:
    """A draft of each table, made from files: what is read from them is part of the generated code."""
    lake, attempt = Lake(str(tmp_path_factory.mktemp("lake"))), Attempt.begin("run")
    events = frame(spark, EVENTS, [event(trade("10:00", "1")), event(quote("10:00", "1", "2"))])
    lake.publish(Draft(EVENTS, events, inputs={}), DAY, attempt)
    eod = ingested_to_eod.build(lake.read(spark, EVENTS, DAY))
    for draft in eod:
        lake.publish(draft, DAY, attempt)
    events_read, trades, quotes, closes = (lake.read(spark, table, DAY) for table in (EVENTS, TRADES, QUOTES, CLOSES))
    judged_by = quality.Circumstances.of(lake, DAY, (time(9, 30), time(16)), Limits())
    measured = quality.build(events_read, trades, quotes, closes, judged_by)
    for draft in measured:
        lake.publish(draft, DAY, attempt)
    report = eod_to_report.build(lake.read(spark, QUALITY, DAY), trades, quotes, closes)
    return {draft.table.path: draft for draft in (*eod, *measured, *report)}


@pytest.fixture
def without_whole_stages(spark: SparkSession) -> Iterator[None]:
    spark.conf.set("spark.sql.codegen.wholeStage", "false")
    yield
    spark.conf.set("spark.sql.codegen.wholeStage", "true")


@pytest.mark.parametrize("table", EDGES)
def test_the_code_of_an_edge_is_compiled_and_none_is_missing(drafts: dict[str, Draft], table: str) -> None:
    assert code_faults_of_publishing(drafts[table]) == []


@pytest.mark.parametrize(
    ("table", "exchanges"),
    [(TRADES, 1), (QUOTES, 1), (QUOTE_ANALYTICS, 2)],
    ids=["trades", "quotes", "analytics"],
)
def test_counting_the_rows_of_a_large_table_adds_no_exchange_and_no_sort(
    drafts: dict[str, Draft], table: Table, exchanges: int
) -> None:
    """Trades come into the analytics by an exchange and a sort of their own, for their moving average."""
    plan = plan_of(counting(drafts[table.path].rows, table)[0])

    assert (plan.count("Exchange hashpartitioning"), plan.count("Sort [")) == (exchanges, exchanges)


def test_spark_splits_what_would_be_too_large() -> None:
    assert int(ENGINE_CONF["spark.sql.codegen.hugeMethodLimit"]) == MOST_BYTES


def test_a_method_that_is_too_large_is_found(spark: SparkSession) -> None:
    sums = (" + ".join(f"id % {column + term}" for term in range(7, 27)) for column in range(90))

    (fault,) = code_faults(spark.range(5).selectExpr(*(f"{text} AS n{column}" for column, text in enumerate(sums))))

    assert fault.startswith("a method of ")


@pytest.mark.usefixtures("without_whole_stages")
def test_a_plan_without_generated_stages_is_found(spark: SparkSession) -> None:
    faults = code_faults(spark.range(5).where("id > 2").selectExpr("id + 1"))

    assert [fault.split("(")[0] for fault in faults] == [
        "no generated code: Project [",
        "no generated code: Filter ",
        "no generated stage",
    ]


def test_a_single_operator_without_generated_code_is_found(spark: SparkSession) -> None:
    # Spark generates no code for an operator of more than a hundred columns.
    faults = code_faults(spark.range(5).selectExpr(*(f"id + {column} AS n{column}" for column in range(101))))

    assert [fault.split("[")[0] for fault in faults] == ["no generated code: Project "]
