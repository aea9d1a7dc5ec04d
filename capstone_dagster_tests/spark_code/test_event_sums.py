"""The sums of a large day, which tasks of Spark make of some symbols each."""

from collections.abc import Sequence
from typing import Any

import pytest
from pyspark.sql import SparkSession

from capstone_dagster.readers.rows import arrow_schema
from capstone_dagster_tests.builders.published_files import publish
from capstone_dagster_tests.builders.rows import DAY, Row, frame, quote, sorted_rows, trade
from spark_code import event_sums
from spark_code.drafts import Published
from spark_code.lake import Lake
from spark_code.locations import StorageError
from spark_code.schemas import QUOTES, TRADES, Table

# Five trades and five quotes of each, and of another that has quotes only.
SYMBOLS = ("", "A", "B'", "Z", "é", "\U0001f600")
EVENTS_OF_ALL = 10 * len(SYMBOLS) + 5


Events = tuple[Published, Published]


def events_in(spark: SparkSession, lake: Lake) -> Events:
    def published(table: Table, rows: Sequence[Row]) -> Published:
        named: list[dict[str, Any]] = [dict(zip(table.columns, row, strict=True)) for row in rows]
        files = {f"part-{number}.parquet": named[number::2] for number in range(2)}
        manifest = publish(lake, table, files, day=DAY, schema=arrow_schema(table))
        return Published(table, DAY, frame(spark, table, []), manifest, lake.storage)

    trades = [trade(f"10:0{n}", f"{n + 1}.5", seq=n, symbol=symbol) for n in range(5) for symbol in SYMBOLS]
    quotes = [quote(f"11:0{n}", "4", f"{n}", seq=n, symbol=symbol) for n in range(5) for symbol in (*SYMBOLS, "QUIET")]
    return published(TRADES, trades), published(QUOTES, quotes)


@pytest.mark.parametrize("at_once", [1, 15, EVENTS_OF_ALL - 1])
def test_tasks_make_the_sums_that_one_process_makes(
    spark: SparkSession, any_local_lake: Lake, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    events = events_in(spark, any_local_lake)
    expected = event_sums.event_sums(*events)
    monkeypatch.setattr(event_sums, "EVENTS_AT_ONCE", at_once)

    sums = event_sums.event_sums(*events)

    for found, known in zip(sums, expected, strict=True):
        assert found.rdd.getNumPartitions() == {1: 7, 15: 6}.get(at_once, 2)
        assert found.schema == known.schema
        assert sorted_rows(found.collect()) == sorted_rows(known.collect()) != []


def test_files_that_are_gone_are_named(spark: SparkSession, any_lake: Lake) -> None:
    trades, quotes = events_in(spark, any_lake)
    trades.storage.delete([trades.paths[0]])

    with pytest.raises(StorageError, match=r"what is published of 2020-08-06 cannot be summed up: .*part-0\.parquet"):
        event_sums.event_sums(trades, quotes)


@pytest.mark.parametrize(
    ("events_of", "lots"),
    [
        ([], []),
        ([("A", 9)], [("A", "A")]),
        ([("A", 3), ("B", 2), ("C", 1)], [("A", "B"), ("C", "C")]),
        ([("A", 1), ("B", 99), ("C", 1), ("D", 4), ("E", 5)], [("A", "A"), ("B", "B"), ("C", "D"), ("E", "E")]),
    ],
)
def test_symbols_come_together_as_long_as_their_events_are_few(
    monkeypatch: pytest.MonkeyPatch, events_of: list[tuple[str, int]], lots: list[tuple[str, str]]
) -> None:
    monkeypatch.setattr(event_sums, "EVENTS_AT_ONCE", 5)

    assert event_sums._lots(events_of) == lots
