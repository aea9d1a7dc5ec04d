"""No day is published of which something was lost, doubled or damaged: each check is broken here once."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pyspark.sql import DataFrame, SparkSession

from capstone_dagster_tests.builders.closes import DAY, FIRST, SECOND, attempt, closes, closes_in, publish_closes
from spark_code import lake
from spark_code.audit import Audit, write
from spark_code.drafts import Draft
from spark_code.few_rows import few_rows
from spark_code.lake import AuditError, Lake
from spark_code.schemas import CLOSES, TRADES, Table

Damage = Callable[[list[Path]], object]


@pytest.fixture
def a_file_per_row(spark: SparkSession) -> Iterator[None]:
    spark.conf.set("spark.sql.files.maxRecordsPerFile", "1")
    yield
    spark.conf.unset("spark.sql.files.maxRecordsPerFile")


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


@pytest.fixture
def publish_damaged(local_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Callable[[DataFrame, Damage], None]:
    """Publish closes; between the write and the audit, something happens to the files."""

    def publish(rows: DataFrame, damage: Damage) -> None:
        def write_and_damage(rows: DataFrame, table: Table, folder: str) -> Audit:
            written = write(rows, table, folder)
            damage(sorted(Path(folder).glob("*.parquet")))
            return written

        monkeypatch.setattr(lake, "write", write_and_damage)
        local_lake.publish(Draft(CLOSES, rows, inputs={}), DAY, attempt(2))

    return publish


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        pytest.param(lambda files: files[0].unlink(), "the files hold 1 rows, and 2 were written", id="lost"),
        pytest.param(lambda files: [file.unlink() for file in files], "the files hold 0 rows, and 2", id="all lost"),
        pytest.param(lambda files: truncate(files[0]), "part-.* is no whole parquet file", id="truncated"),
        pytest.param(lambda files: files[0].write_bytes(b""), "part-.* is no whole parquet file", id="emptied"),
        pytest.param(
            lambda files: shutil.copy(files[0], files[0].with_name("part-of-another-attempt.parquet")),
            "the files hold 3 rows, and 2 were written",
            id="one too many",
        ),
    ],
)
@pytest.mark.usefixtures("a_file_per_row")
def test_files_that_do_not_hold_what_was_written_are_not_published(
    local_lake: Lake,
    spark: SparkSession,
    publish_damaged: Callable[[DataFrame, Damage], None],
    damage: Damage,
    reason: str,
) -> None:
    publish_closes(local_lake, spark, SECOND, token=1)

    with pytest.raises(AuditError, match=f"^eod/closes of {DAY}: .*{reason}"):
        publish_damaged(closes(spark, FIRST), damage)

    assert closes_in(local_lake.read(spark, CLOSES, DAY).rows) == SECOND


def test_a_file_of_another_table_is_not_published(
    spark: SparkSession, tmp_path: Path, publish_damaged: Callable[[DataFrame, Damage], None]
) -> None:
    few_rows(spark, [], TRADES.schema).drop("trade_dt").write.parquet(str(tmp_path / "trades"))
    (of_trades,) = (tmp_path / "trades").glob("*.parquet")

    with pytest.raises(AuditError, match=r"holds struct<symbol:string,.*trade_pr.*, not struct<symbol:string,"):
        publish_damaged(closes(spark, FIRST), lambda files: shutil.copy(of_trades, files[0]))


@pytest.mark.parametrize("partitions", [1, 2, 7])
def test_a_doubled_row_is_found_wherever_it_lies(local_lake: Lake, spark: SparkSession, partitions: int) -> None:
    rows = closes(spark, FIRST).union(closes(spark, [("BBB", "7")])).repartition(partitions)

    with pytest.raises(AuditError) as refused:
        local_lake.publish(Draft(CLOSES, rows, inputs={}), DAY, attempt(1))

    assert str(refused.value) == (
        f"eod/closes of {DAY}: key not unique, e.g. {{'symbol': 'BBB', 'exchange': 'NYSE', 'count': 2}}; not published"
    )
