"""Publishing: readers see the old day or the new one, never a mix, whatever happens to a writer.

Spark reads and writes on a local path here. What decides which version counts (the pointer, its
fence, the retention) needs no Spark and is tested on S3 as well, on versions put there by hand.
"""

import json
import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd  # type: ignore[import-untyped]
import pyarrow.parquet as pq
import pytest
from obstore.exceptions import PermissionDeniedError
from pyspark.sql import DataFrame, SparkSession
from pyspark.testing import assertDataFrameEqual

from capstone_dagster_tests.s3_server import (  # noqa: F401 -- pytest finds fixtures by their import
    LOCAL_PLACES,
    PLACES,
    s3_endpoint,
    s3_uri,
    uri_of,
)
from spark_code import lake as lake_module
from spark_code.lake import (
    Attempt,
    AuditError,
    Draft,
    Lake,
    LakeError,
    Manifest,
    NotPublishedError,
    Published,
    StaleAttemptError,
    require_common_inputs,
)
from spark_code.schemas import CLOSES, EVENTS, QUOTES, TRADES, Table
from spark_code.storage import Storage

DAY, NEXT_DAY = date(2020, 8, 5), date(2020, 8, 6)
POINTER = "eod/closes/_published/2020-08-05.json"
DATA = "eod/closes/data"

Close = tuple[str, str]
FIRST: list[Close] = [("AAA", "10.25"), ("BBB", "0.000001")]
SECOND: list[Close] = [("AAA", "11.5")]
TWO_DAYS = timedelta(days=2)


@pytest.fixture
def local_lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


@pytest.fixture(params=LOCAL_PLACES)
def any_local_lake(request: pytest.FixtureRequest) -> Lake:
    return Lake(uri_of(request.param, request))


@pytest.fixture(params=PLACES)
def any_lake(request: pytest.FixtureRequest) -> Lake:
    return Lake(uri_of(request.param, request))


def attempt(token: int) -> Attempt:
    return Attempt(run_id=f"run-{token:04}-of-the-test", number=1, token=token)


def version_of(token: int, day: date = DAY) -> str:
    return f"{day}-{token}-run-{token:04}-1"


def closes(spark: SparkSession, rows: list[Close], day: date = DAY) -> DataFrame:
    return spark.createDataFrame([(day, symbol, "NYSE", Decimal(price)) for symbol, price in rows], CLOSES.schema)


def publish_closes(lake: Lake, spark: SparkSession, rows: list[Close], token: int, day: date = DAY) -> Manifest:
    return lake.publish(Draft(CLOSES, closes(spark, rows, day), inputs={}), day, attempt(token))


def closes_in(rows: DataFrame) -> list[Close]:
    return sorted((row.symbol, format(row.close_pr.normalize(), "f")) for row in rows.collect())


def tree(lake: Lake, under: str = "") -> list[str]:
    """The files below a folder without the ones that are not data, each part's name shortened."""
    root = Path(lake.storage.root)
    names = [path.relative_to(root) for path in (root / under).rglob("*") if path.is_file()]
    data = [name for name in names if not name.name.startswith((".", "_"))]
    return sorted(
        {str(name.parent / ("part" + name.suffix if name.name.startswith("part-") else name.name)) for name in data}
    )


# --- a version put there by hand: what Spark would have written, without Spark ---


def put_version(lake: Lake, token: int, day: date = DAY, file: str = "part-0.parquet") -> str:
    lake.storage.write(f"{DATA}/{version_of(token, day)}/trade_dt={day}/{file}", b"rows")
    return version_of(token, day)


def manifest_of(token: int, day: date = DAY) -> Manifest:
    version = version_of(token, day)
    return Manifest(
        trade_dt=day.isoformat(),
        version=version,
        paths=[f"{DATA}/{version}/trade_dt={day}/part-0.parquet"],
        rows=1,
        bytes=4,
        run_id=attempt(token).run_id,
        attempt=1,
        token=token,
        published_at="2020-08-05T22:00:00.000+00:00",
        inputs={"eod/trades": f"{day}-{token}"},
        measures={"with_close": 1},
        facts={"drift": ["a", {"b": None}]},
    )


def point_to(lake: Lake, token: int, day: date = DAY) -> Manifest:
    return lake._point_to(CLOSES, day, manifest_of(token, day))


def publish_by_hand(lake: Lake, token: int, day: date = DAY) -> None:
    """What ``publish`` does once the rows are written and audited."""
    put_version(lake, token, day)
    point_to(lake, token, day)
    lake._retire(CLOSES, day)


def let_a_day_pass(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make everything that lies in the lake by now older than a day."""
    if lake.storage.is_local:
        make_old(Path(lake.storage.root))
    else:
        monkeypatch.setattr(lake_module, "MIN_AGE_TO_REMOVE", timedelta(0))


def make_old(folder: Path, age: timedelta = TWO_DAYS) -> None:
    then = time.time() - age.total_seconds()
    for path in folder.rglob("*"):
        os.utime(path, (then, then))


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
    return spark.createDataFrame(rows, EVENTS.schema)


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
    return spark.createDataFrame(rows, TRADES.schema)


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
    nothing = spark.createDataFrame([], table.schema)
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
    draft = Draft(TRADES, spark.createDataFrame([(DAY, *row) for row in rows], TRADES.schema), inputs={})
    stale = Draft(TRADES, trades(spark), inputs={})
    local_lake.publish(stale, DAY, attempt(1))
    manifest = local_lake.publish(draft, DAY, attempt(2))

    files = [local_lake.storage.uri(path) for path in manifest.paths]
    seen = {read.__name__: sorted(read(files)) for read in (with_duckdb, with_pandas, with_pyarrow)}
    assert seen == {"with_duckdb": rows, "with_pandas": rows, "with_pyarrow": rows}


# --- readers, audits, killed writers ---


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


def die_half_way(lake: Lake, token: int, day: date = DAY) -> str:
    """Leave behind what Spark has written when it is killed before it commits."""
    return put_version(lake, token, day, file="_temporary/0/task_0/part-00000.snappy.parquet")


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


# --- fencing ---


def test_a_publish_with_an_older_token_is_refused_after_its_rows_were_written(
    local_lake: Lake, spark: SparkSession
) -> None:
    publish_closes(local_lake, spark, FIRST, token=2)
    before = local_lake.storage.read(POINTER)

    with pytest.raises(StaleAttemptError, match=r"run run-0002-of-the-test, which began later, .* \(token 2 > 1\)"):
        publish_closes(local_lake, spark, SECOND, token=1)

    assert local_lake.storage.read(POINTER) == before
    assert closes_in(local_lake.read(spark, CLOSES, DAY).rows) == sorted(FIRST)


def test_an_older_token_does_not_move_the_pointer(any_lake: Lake) -> None:
    point_to(any_lake, token=5)

    with pytest.raises(StaleAttemptError, match="eod/closes of 2020-08-05: run run-0005-of-the-test"):
        point_to(any_lake, token=4)

    assert any_lake.manifest(CLOSES, DAY) == manifest_of(5)


def test_a_newer_token_moves_the_pointer_and_remembers_the_version_before(any_lake: Lake) -> None:
    point_to(any_lake, token=4)
    published = point_to(any_lake, token=5)

    assert published == replace(manifest_of(5), previous_version=version_of(4))
    assert any_lake.manifest(CLOSES, DAY) == published


def test_the_same_token_is_accepted_again_and_still_knows_the_version_before(any_lake: Lake) -> None:
    point_to(any_lake, token=4)
    point_to(any_lake, token=5)
    published = point_to(any_lake, token=5)

    assert published == replace(manifest_of(5), previous_version=version_of(4))
    assert any_lake.manifest(CLOSES, DAY) == published


def test_the_fence_of_one_day_does_not_stop_another(any_lake: Lake) -> None:
    point_to(any_lake, token=5)
    point_to(any_lake, token=4, day=NEXT_DAY)

    assert [any_lake.manifest(CLOSES, day) for day in (DAY, NEXT_DAY)] == [manifest_of(5), manifest_of(4, NEXT_DAY)]


@pytest.mark.parametrize("seed", range(3))
def test_of_publishers_that_race_the_newest_wins(any_lake: Lake, seed: int) -> None:
    tokens = random.Random(seed).sample(range(1, 11), 10)  # noqa: S311 -- the order of a race
    everyone_is_there = threading.Barrier(len(tokens))
    refused, failed = [], []

    def publish(token: int) -> None:
        everyone_is_there.wait()
        try:
            point_to(any_lake, token)
        except StaleAttemptError:
            refused.append(token)
        except Exception as error:  # noqa: BLE001 -- shown by the assertion below
            failed.append(error)

    in_parallel([partial(publish, token) for token in tokens])

    winner = any_lake.manifest(CLOSES, DAY)
    assert (failed, winner and winner.token, 10 in refused) == ([], 10, False)


def test_of_two_whole_publishes_that_race_the_newer_counts(local_lake: Lake, spark: SparkSession) -> None:
    refused = []

    def publish(rows: list[Close], token: int) -> None:
        try:
            publish_closes(local_lake, spark, rows, token)
        except StaleAttemptError:
            refused.append(token)

    in_parallel([partial(publish, SECOND, 2), partial(publish, FIRST, 1)])

    assert closes_in(local_lake.read(spark, CLOSES, DAY).rows) == SECOND
    assert refused in ([], [1])


def in_parallel(works: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_attempts_have_growing_tokens_and_versions_of_their_own() -> None:
    attempts = []
    for number in (1, 2, 3):
        attempts.append(Attempt.begin("0123456789", number))
        time.sleep(0.001)
    tokens = [each.token for each in attempts]

    assert tokens == sorted(set(tokens))
    assert [each.version(DAY) for each in attempts] == [
        f"2020-08-05-{token}-01234567-{number}" for number, token in enumerate(tokens, start=1)
    ]


# --- retention ---


def test_the_last_two_versions_of_a_day_stay_however_old(any_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    for token in (1, 2, 3):
        publish_by_hand(any_lake, token)
    put_version(any_lake, 4)
    let_a_day_pass(any_lake, monkeypatch)
    published = point_to(any_lake, 4)
    any_lake._retire(CLOSES, DAY)

    assert any_lake.storage.folders(DATA) == [version_of(3), version_of(4)]
    assert (published.version, published.previous_version) == (version_of(4), version_of(3))


def test_versions_younger_than_a_day_stay_however_many(any_lake: Lake) -> None:
    for token in range(1, 6):
        publish_by_hand(any_lake, token)

    assert any_lake.storage.folders(DATA) == [version_of(token) for token in range(1, 6)]


def test_what_killed_attempts_left_behind_goes_after_a_day(any_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_by_hand(any_lake, 1)
    die_half_way(any_lake, 2)
    put_version(any_lake, 3)
    publish_by_hand(any_lake, 4)
    before = any_lake.storage.folders(DATA)
    let_a_day_pass(any_lake, monkeypatch)
    publish_by_hand(any_lake, 5)

    assert before == [version_of(token) for token in (1, 2, 3, 4)]
    assert any_lake.storage.folders(DATA) == [version_of(4), version_of(5)]


def test_other_days_and_tables_are_left_alone(any_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = [put_version(any_lake, token, day=NEXT_DAY) for token in (1, 2, 3)]
    any_lake.storage.write(f"eod/trades/data/{version_of(1)}/trade_dt={DAY}/part-0.parquet", b"rows")
    put_version(any_lake, 1)
    let_a_day_pass(any_lake, monkeypatch)
    publish_by_hand(any_lake, 4)

    assert any_lake.storage.folders(DATA) == [version_of(4), *kept]
    assert any_lake.storage.folders("eod/trades/data") == [version_of(1)]


@pytest.mark.parametrize(
    ("age", "stays"), [(timedelta(hours=23), True), (timedelta(hours=25), False)], ids=["23 hours", "25 hours"]
)
def test_a_version_goes_only_when_all_its_files_are_older_than_a_day(
    local_lake: Lake, age: timedelta, stays: bool
) -> None:
    publish_by_hand(local_lake, 1)
    put_version(local_lake, 1, file="part-1.parquet")
    root = Path(local_lake.storage.root)
    make_old(root)
    then = time.time() - age.total_seconds()
    os.utime(root / DATA / version_of(1) / f"trade_dt={DAY}" / "part-1.parquet", (then, then))
    for token in (2, 3):
        publish_by_hand(local_lake, token)

    assert (version_of(1) in local_lake.storage.folders(DATA)) == stays
    assert [stored.key for stored in local_lake.storage.objects(f"{DATA}/{version_of(1)}")] == [
        f"{DATA}/{version_of(1)}/trade_dt={DAY}/part-{number}.parquet" for number in (0, 1) if stays
    ]


def test_a_publish_removes_the_old_version_with_everything_spark_left_there(
    local_lake: Lake, spark: SparkSession
) -> None:
    publish_closes(local_lake, spark, FIRST, token=1)
    publish_by_hand(local_lake, token=2)
    make_old(Path(local_lake.storage.root))
    publish_closes(local_lake, spark, SECOND, token=3)

    versions = sorted(path.name for path in (Path(local_lake.storage.root) / DATA).iterdir())
    assert versions == [version_of(2), version_of(3)]
    assert closes_in(local_lake.read(spark, CLOSES, DAY).rows) == SECOND


class RefusingStorage(Storage):
    """A store whose owner has taken away one right."""

    def __init__(self, uri: str, refused: str, error: Exception) -> None:
        super().__init__(uri)
        self.refused, self.error = refused, error
        self.refusals = 0

    def delete(self, keys: list[str]) -> None:
        self._refuse("delete")
        super().delete(keys)

    def folders(self, prefix: str) -> list[str]:
        self._refuse("list")
        return super().folders(prefix)

    def _refuse(self, right: str) -> None:
        if right == self.refused:
            self.refusals += 1
            with self._explaining(right):
                raise self.error


@pytest.mark.parametrize("right", ["delete", "list"])
@pytest.mark.parametrize("error", [PermissionDeniedError("403"), OSError("read-only")], ids=["s3", "local"])
def test_a_store_that_refuses_to_clean_up_does_not_fail_the_publish(
    any_lake: Lake,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    right: str,
    error: Exception,
) -> None:
    for token in (1, 2):
        publish_by_hand(any_lake, token)
    let_a_day_pass(any_lake, monkeypatch)
    refusing = any_lake.storage = RefusingStorage(any_lake.storage.root, right, error)
    publish_by_hand(any_lake, 3)

    manifest = any_lake.manifest(CLOSES, DAY)
    assert (manifest and manifest.version, refusing.refusals) == (version_of(3), 1)
    reason = f"{refusing.uri(right)}: {type(error).__name__}: {error}"
    assert [record.getMessage() for record in caplog.records if record.name == "spark_code.lake"] == [
        f"old versions of eod/closes of 2020-08-05 were not all removed: {reason}"
    ]


def test_a_whole_publish_survives_a_store_that_refuses_to_clean_up(local_lake: Lake, spark: SparkSession) -> None:
    for token in (1, 2):
        put_version(local_lake, token)
    make_old(Path(local_lake.storage.root))
    local_lake.storage = RefusingStorage(local_lake.storage.root, "delete", PermissionDeniedError("403"))

    manifest = publish_closes(local_lake, spark, FIRST, token=3)

    assert local_lake.manifest(CLOSES, DAY) == manifest
    assert closes_in(local_lake.read(spark, CLOSES, DAY).rows) == sorted(FIRST)


# --- what belongs together ---


def published(table: Table, inputs: dict[str, str], rows: Any = None) -> Published:
    return Published(table, DAY, rows, replace(manifest_of(1), inputs=inputs))


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
        "a preprocessing run ended between publishing them; run preprocessing of the day again"
    )
