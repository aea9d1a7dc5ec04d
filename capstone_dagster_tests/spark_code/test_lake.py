"""Publishing: where a day lies, what its manifest says, and that its rows are read back as they were published.

Spark reads and writes on a local path here. What needs no Spark is tested on S3 as well, on
versions put there by hand.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.testing import assertDataFrameEqual

from capstone_dagster_tests.builders.closes import (
    DAY,
    FIRST,
    NEXT_DAY,
    POINTER,
    SECOND,
    attempt,
    closes,
    manifest_of,
    point_to,
    publish_closes,
)
from spark_code.drafts import Draft, Published
from spark_code.few_rows import few_rows
from spark_code.lake import AuditError, Lake, LakeError, require_common_inputs
from spark_code.schemas import CLOSES, EVENTS, QUOTES, TRADES, Table
from spark_code.storage import Storage


def tree(lake: Lake, under: str = "") -> list[str]:
    """The files below a folder without the ones that are not data, each part's name shortened."""
    root = Path(lake.storage.root)
    names = [path.relative_to(root) for path in (root / under).rglob("*") if path.is_file()]
    data = [name for name in names if not name.name.startswith((".", "_"))]
    return sorted(
        {str(name.parent / ("part" + name.suffix if name.name.startswith("part-") else name.name)) for name in data}
    )


# --- layout and manifest ---


def test_a_day_lies_where_the_contract_says(local_lake: Lake, spark: SparkSession) -> None:
    publish_closes(local_lake, spark, FIRST, token=1)
    publish_closes(local_lake, spark, SECOND, token=2)

    assert tree(local_lake) == [
        "eod/closes/_published/2020-08-05.json",
        "eod/closes/data/2020-08-05-1-run-0001-1/trade_dt=2020-08-05/part.parquet",
        "eod/closes/data/2020-08-05-2-run-0002-1/trade_dt=2020-08-05/part.parquet",
    ]


def test_events_are_split_by_record_type(local_lake: Lake, spark: SparkSession) -> None:
    local_lake.publish(Draft(EVENTS, events(spark), inputs={}), DAY, attempt(1))

    folder = "ingested/events/data/2020-08-05-1-run-0001-1/trade_dt=2020-08-05"
    assert tree(local_lake) == [
        "ingested/events/_published/2020-08-05.json",
        *(f"{folder}/rec_type={rec_type}/part.parquet" for rec_type in "BQT"),
    ]


def test_the_manifest_says_what_was_published(any_local_lake: Lake, spark: SparkSession) -> None:
    draft = Draft(EVENTS, events(spark), inputs={"raw/nyse": "a1", "raw/nasdaq": "b2"}, expected_rows=3)
    draft = replace(draft, input_digests={"eod/trades": "c3"})
    before = datetime.now(UTC)
    returned = any_local_lake.publish(replace(draft, facts=lambda: {"drift": {"x": 1}}), DAY, attempt(7))

    stored = json.loads((Path(any_local_lake.storage.root) / "ingested/events/_published/2020-08-05.json").read_bytes())
    paths, published_at = stored.pop("paths"), stored.pop("published_at")
    files = [Path(any_local_lake.storage.root) / path for path in paths]
    measures = {name: count for name, count in stored.pop("measures").items() if count}

    assert stored == {
        "trade_dt": "2020-08-05",
        "version": "2020-08-05-7-run-0007-1",
        "rows": 3,
        "bytes": sum(file.stat().st_size for file in files),
        "run_id": "run-0007-of-the-test",
        "attempt": 1,
        "token": 7,
        "inputs": {"raw/nyse": "a1", "raw/nasdaq": "b2"},
        "facts": {"drift": {"x": 1}},
        "previous_version": None,
        "earlier_versions": [],
        "rolled_back": None,
        "given_up": [],
        "digest": returned.digest,
        "input_digests": {"eod/trades": "c3"},
        "columns": EVENTS.columns,
    }
    assert measures == {"trades": 1, "quotes": 1, "rejected": 1, "rejected_bad_number": 1}
    assert sorted(files) == sorted(Path(any_local_lake.storage.root).rglob("*.parquet"))
    assert before - timedelta(seconds=1) <= datetime.fromisoformat(published_at) <= datetime.now(UTC)
    assert any_local_lake.manifest(EVENTS, DAY) == returned


def test_a_manifest_is_read_back_as_it_was_stored(any_lake: Lake) -> None:
    published = point_to(any_lake, token=5)

    assert published == manifest_of(5)
    assert any_lake.manifest(CLOSES, DAY) == published
    assert (any_lake.manifest(CLOSES, NEXT_DAY), any_lake.manifest(TRADES, DAY)) == (None, None)


def test_a_field_of_a_newer_release_in_the_manifest_is_no_obstacle(any_lake: Lake) -> None:
    any_lake.storage.write(POINTER, json.dumps(asdict(manifest_of(5)) | {"of_release_9": 1}).encode())

    assert any_lake.manifest(CLOSES, DAY) == manifest_of(5)


def test_a_manifest_of_an_older_release_has_no_digests_and_names_no_columns(any_lake: Lake) -> None:
    stored = asdict(manifest_of(5))
    for field in ("digest", "input_digests", "columns"):
        del stored[field]
    any_lake.storage.write(POINTER, json.dumps(stored).encode())

    read = any_lake.manifest(CLOSES, DAY)

    assert read == manifest_of(5)
    assert (read.digest, read.input_digests, read.columns) == (None, {}, [])


# --- rows ---


def at(text: str) -> datetime:
    """A wall-clock time of the exchange, without a zone like the column it goes into."""
    return datetime.fromisoformat(text)


CLOSING_BELL = at("2020-08-05 16:00:00.123456")


def events(spark: SparkSession) -> DataFrame:
    """One line of each record type, with nulls, the greatest numbers and the text nobody expects."""
    greatest = Decimal("999999999999.999999")
    key = ("AAA", "NYSE", at("2020-08-05 09:30:00.000001"), 2**63 - 1, at("2020-08-05 09:30:59.999999"))
    rejected = (None,) * 5
    rows = [
        (DAY, "T", *key, Decimal("0.000001"), 100, "exec-1", None, None, None, None, None, None, None),
        (DAY, "Q", *key, None, None, None, greatest, 0, Decimal("-0.5"), 2**63 - 1, None, None, None),
        (DAY, "B", *rejected, *(None,) * 7, "bad_number", "csv/a%20b/[x].csv", 'a,"b"\\\t\r\n\u00fc\U0001f4c8\0,'),
    ]
    return few_rows(spark, rows, EVENTS.schema)


def trades(spark: SparkSession) -> DataFrame:
    rows: list[tuple[Any, ...]] = [
        (DAY, "AAA", "NYSE", CLOSING_BELL, 1, CLOSING_BELL, Decimal("10.123456"), 100, None),
        (DAY, "AAA", "NYSE", CLOSING_BELL, 2, CLOSING_BELL, Decimal("0.1"), 1, ""),
        (
            DAY,
            "BRK.A",
            "NASDAQ",
            at("1677-01-01 00:00:00.000001"),
            0,
            at("9999-12-31 23:59:59.999999"),
            None,
            1,
            "e",
        ),
    ]
    return few_rows(spark, rows, TRADES.schema)


@pytest.mark.parametrize(("table", "rows_of"), [(EVENTS, events), (TRADES, trades)], ids=["events", "trades"])
def test_rows_are_read_back_as_they_were_published(
    any_local_lake: Lake, spark: SparkSession, table: Table, rows_of: Callable[[SparkSession], DataFrame]
) -> None:
    manifest = any_local_lake.publish(Draft(table, rows_of(spark), inputs={}, expected_rows=3), DAY, attempt(1))

    found = any_local_lake.read(spark, table, DAY)

    assertDataFrameEqual(found.rows, rows_of(spark))
    assert (found.rows.columns, found.rows.dtypes) == (table.columns, rows_of(spark).dtypes)
    assert (found.table, found.day, found.manifest, found.row_count) == (table, DAY, manifest, 3)
    assert found.as_input() == {table.path: "2020-08-05-1-run-0001-1"}


@pytest.mark.parametrize(("table", "files"), [(EVENTS, 0), (CLOSES, 1)], ids=["split", "not split"])
def test_a_day_without_rows_is_published_and_read(
    any_local_lake: Lake, spark: SparkSession, table: Table, files: int
) -> None:
    nothing = few_rows(spark, [], table.schema)
    manifest = any_local_lake.publish(Draft(table, nothing, inputs={}, expected_rows=0), DAY, attempt(1))

    found = any_local_lake.read(spark, table, DAY)

    assert (found.rows.collect(), found.rows.dtypes) == ([], nothing.dtypes)
    assert (manifest.rows, len(manifest.paths)) == (0, files)


def test_a_day_reads_only_its_own_rows(local_lake: Lake, spark: SparkSession) -> None:
    publish_closes(local_lake, spark, FIRST, token=1)
    publish_closes(local_lake, spark, SECOND, token=2, day=NEXT_DAY)

    read = {day: local_lake.read(spark, CLOSES, day).rows for day in (DAY, NEXT_DAY)}

    assertDataFrameEqual(read[DAY], closes(spark, FIRST))
    assertDataFrameEqual(read[NEXT_DAY], closes(spark, SECOND, NEXT_DAY))


def with_duckdb(files: list[str]) -> list[tuple[Any, ...]]:
    query = "SELECT * FROM read_parquet($files, hive_partitioning = false)"
    return duckdb.connect().execute(query, {"files": files}).fetchall()


def with_pandas(files: list[str]) -> list[tuple[Any, ...]]:
    frame = pd.concat([pd.read_parquet(file, dtype_backend="pyarrow") for file in files])
    return [tuple(None if pd.isna(value) else value for value in row) for row in frame.itertuples(index=False)]


def with_pyarrow(files: list[str]) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for file in files for row in pq.ParquetFile(file).read().to_pylist()]


def test_other_engines_see_the_same_rows_in_the_files_of_the_manifest(local_lake: Lake, spark: SparkSession) -> None:
    rows = [
        ("AAA", "NYSE", CLOSING_BELL, 1, CLOSING_BELL, Decimal("10.123456"), 100, None),
        ("ÄÖ", "NASDAQ", CLOSING_BELL, 2, CLOSING_BELL, None, 2**63 - 1, "exec \U0001f4c8"),
    ]
    draft = Draft(TRADES, few_rows(spark, [(DAY, *row) for row in rows], TRADES.schema), inputs={})
    stale = Draft(TRADES, trades(spark), inputs={})
    local_lake.publish(stale, DAY, attempt(1))
    manifest = local_lake.publish(draft, DAY, attempt(2))

    files = [local_lake.storage.uri(path) for path in manifest.paths]
    seen = {read.__name__: sorted(read(files)) for read in (with_duckdb, with_pandas, with_pyarrow)}
    assert seen == {"with_duckdb": rows, "with_pandas": rows, "with_pyarrow": rows}


# --- what belongs together ---


def published(table: Table, inputs: dict[str, str], rows: Any = None) -> Published:
    return Published(table, DAY, rows, replace(manifest_of(1), inputs=inputs), Storage("/nowhere"))


def test_tables_of_one_ingest_belong_together() -> None:
    require_common_inputs(published(TRADES, {"a": "1", "b": "2"}), published(QUOTES, {"b": "2", "a": "1"}))


def test_tables_of_two_ingests_are_refused_with_what_to_do() -> None:
    with pytest.raises(LakeError) as refused:
        require_common_inputs(
            published(TRADES, {"ingested/events": "v1"}), published(QUOTES, {"ingested/events": "v2"})
        )

    assert str(refused.value) == (
        "eod/trades and eod/quotes of 2020-08-05 come from different ingests "
        "{'eod/trades': {'ingested/events': 'v1'}, 'eod/quotes': {'ingested/events': 'v2'}}: "
        "preprocessing was caught between publishing them; run preprocessing_2020-08-05 to its end"
    )


@pytest.mark.parametrize("others", [[NEXT_DAY], [DAY, NEXT_DAY, DAY], [None]])
def test_rows_of_another_day_are_not_published(
    spark: SparkSession, local_lake: Lake, others: list[date | None]
) -> None:
    rows = [(day, f"S{number}", "NYSE", Decimal("1.5")) for number, day in enumerate(others)]

    with pytest.raises(AuditError) as refused:
        local_lake.publish(Draft(CLOSES, few_rows(spark, rows, CLOSES.schema), inputs={}), DAY, attempt(1))

    assert str(refused.value) == f"eod/closes of {DAY}: there are rows of another day; not published"
    assert local_lake.manifest(CLOSES, DAY) is None


def test_a_draft_is_published_as_the_day_it_was_computed_for_and_as_no_other(
    spark: SparkSession, local_lake: Lake
) -> None:
    draft = Draft(CLOSES, closes(spark, FIRST, NEXT_DAY), inputs={}, day=NEXT_DAY)

    with pytest.raises(AuditError) as refused:
        local_lake.publish(draft, DAY, attempt(1))

    assert str(refused.value) == f"eod/closes: computed for {NEXT_DAY}, to be published as {DAY}; not published"
    assert local_lake.storage.objects("eod") == []
    assert local_lake.publish(draft, NEXT_DAY, attempt(1)).rows == len(FIRST)
