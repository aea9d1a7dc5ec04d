"""Readers see the old day or the new one, never a mix, whatever happens to a writer."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession
from pyspark.testing import assertDataFrameEqual

from capstone_dagster_tests.builders.closes import (
    DAY,
    FIRST,
    NEXT_DAY,
    POINTER,
    SECOND,
    Close,
    attempt,
    closes,
    closes_in,
    die_half_way,
    publish_closes,
)
from spark_code.drafts import Draft
from spark_code.lake import AuditError, Lake, MissingFilesError, NotPublishedError
from spark_code.schemas import CLOSES


def test_a_reader_keeps_the_version_it_resolved_while_newer_ones_are_published(
    local_lake: Lake, spark: SparkSession
) -> None:
    publish_closes(local_lake, spark, FIRST, token=1)
    reader = local_lake.read(spark, CLOSES, DAY)
    publish_closes(local_lake, spark, SECOND, token=2)
    publish_closes(local_lake, spark, [], token=3)

    assertDataFrameEqual(reader.rows, closes(spark, FIRST))
    assert closes_in(local_lake.read(spark, CLOSES, DAY).rows) == []


def test_a_day_that_is_not_published_is_an_error_that_names_it(local_lake: Lake, spark: SparkSession) -> None:
    publish_closes(local_lake, spark, FIRST, token=1)

    with pytest.raises(NotPublishedError, match=r"eod/closes of 2020-08-06 is not published in /.*/lake$") as refused:
        local_lake.read(spark, CLOSES, NEXT_DAY)

    assert (refused.value.table, refused.value.day) == (CLOSES, NEXT_DAY)


def test_a_day_of_which_a_file_was_deleted_by_hand_is_an_error_that_says_how_to_publish_it_again(
    local_lake: Lake, spark: SparkSession
) -> None:
    two_files = closes(spark, FIRST).repartition(2, "symbol")
    manifest = local_lake.publish(Draft(CLOSES, two_files, inputs={}), DAY, attempt(1))
    Path(local_lake.storage.uri(manifest.paths[0])).unlink()

    with pytest.raises(MissingFilesError) as refused:
        local_lake.read(spark, CLOSES, DAY)

    assert str(refused.value) == (
        f"{local_lake.storage.uri(manifest.paths[0])} is gone; "
        "publish eod/closes of 2020-08-05 again: capstone run 2020-08-05 --job preprocessing"
    )


def test_the_day_before_the_first_is_empty_and_no_input(local_lake: Lake, spark: SparkSession) -> None:
    nothing = local_lake.nothing(spark, CLOSES, DAY)

    assert (nothing.rows.collect(), nothing.rows.dtypes) == ([], closes(spark, FIRST).dtypes)
    assert (nothing.manifest, nothing.row_count, nothing.as_input()) == (None, 0, {})


BAD_DRAFTS = [
    pytest.param(FIRST, 3, "eod/closes of 2020-08-05: 2 rows were written where 3 were due", id="a row too few"),
    pytest.param(FIRST, 0, "eod/closes of 2020-08-05: 2 rows were written where 0 were due", id="rows too many"),
    pytest.param([*FIRST, ("AAA", "9")], None, "eod/closes of 2020-08-05: key not unique, .*AAA", id="a double key"),
]


@pytest.mark.parametrize(("rows", "expected_rows", "message"), BAD_DRAFTS)
def test_a_failed_audit_publishes_nothing_and_leaves_the_old_version(
    local_lake: Lake, spark: SparkSession, rows: list[Close], expected_rows: int | None, message: str
) -> None:
    publish_closes(local_lake, spark, SECOND, token=1)
    before = local_lake.storage.read(POINTER)

    with pytest.raises(AuditError, match=message):
        local_lake.publish(Draft(CLOSES, closes(spark, rows), {}, expected_rows), DAY, attempt(2))

    assert local_lake.storage.read(POINTER) == before
    assert closes_in(local_lake.read(spark, CLOSES, DAY).rows) == SECOND


def test_a_failed_audit_of_a_new_day_leaves_it_unpublished(local_lake: Lake, spark: SparkSession) -> None:
    with pytest.raises(AuditError):
        local_lake.publish(Draft(CLOSES, closes(spark, FIRST), {}, expected_rows=1), DAY, attempt(1))

    with pytest.raises(NotPublishedError):
        local_lake.read(spark, CLOSES, DAY)


def test_a_write_that_died_half_way_is_invisible(local_lake: Lake, spark: SparkSession) -> None:
    die_half_way(local_lake, token=1)
    with pytest.raises(NotPublishedError):
        local_lake.read(spark, CLOSES, DAY)

    publish_closes(local_lake, spark, FIRST, token=2)
    die_half_way(local_lake, token=3)
    assert closes_in(local_lake.read(spark, CLOSES, DAY).rows) == sorted(FIRST)

    publish_closes(local_lake, spark, SECOND, token=4)
    assert closes_in(local_lake.read(spark, CLOSES, DAY).rows) == SECOND


def test_a_computation_that_fails_publishes_nothing(local_lake: Lake, spark: SparkSession) -> None:
    publish_closes(local_lake, spark, FIRST, token=1)
    broken = closes(spark, SECOND).selectExpr(
        "trade_dt", "symbol", "exchange", "CAST(raise_error('no price') AS DECIMAL(18, 6)) AS close_pr"
    )

    with pytest.raises(Exception, match="no price"):
        local_lake.publish(Draft(CLOSES, broken, inputs={}), DAY, attempt(2))

    assert closes_in(local_lake.read(spark, CLOSES, DAY).rows) == sorted(FIRST)
