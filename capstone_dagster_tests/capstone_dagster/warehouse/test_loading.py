"""A published day in the warehouse: exactly its rows, once, and never in place of newer ones."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest

from capstone_dagster.steps.transient_faults import is_transient
from capstone_dagster.warehouse import csv_rows
from capstone_dagster.warehouse.database import WarehouseError
from capstone_dagster_tests.builders.published_files import DAY, publish
from capstone_dagster_tests.builders.warehouses import TestedWarehouse, bar, summary
from spark_code.lake import LakeError, NotPublishedError
from spark_code.schemas import BARS, DAILY_SUMMARY, QUOTE_ANALYTICS

NEXT_DAY, NEXT_MONTH = date(2020, 8, 6), date(2020, 9, 1)


def test_a_day_is_loaded_with_the_version_it_was_published_as(warehouse: TestedWarehouse) -> None:
    warehouse.publish(DAY, summary("A", "10.5"), summary("B", "0.000001"))

    loaded = warehouse.load(run_id="run-1")

    assert [(done.table.path, done.state, done.rows) for done in loaded] == [
        ("warehouse/daily_summary", "loaded", 2),
        ("warehouse/bars_30m", "loaded", 2),
        ("warehouse/quality_measures", "loaded", 1),
    ]
    assert warehouse.closes() == [("A", "10.500000"), ("B", "0.000001")]
    assert warehouse.loads() == [
        ("bars_30m", DAY, "v1", 2, 0, "run-1"),
        ("daily_summary", DAY, "v1", 2, 0, "run-1"),
        ("quality_measures", DAY, "v1", 1, 0, "run-1"),
    ]
    assert warehouse.query("SELECT measure, value, expected_high FROM quality_measures") == [("trades", 2, None)]


def test_the_bars_of_30_minutes_are_those_alone(warehouse: TestedWarehouse) -> None:
    warehouse.publish(DAY, summary("A"))
    bars = [bar("A", 1, "09:30"), bar("A", 30, "09:30", "2.5"), bar("A", 5, "09:30"), bar("A", 30, "10:00")]
    publish(warehouse.lake, BARS, {"part-0": bars[:2], "part-1": bars[2:]})

    warehouse.load()

    assert warehouse.query("SELECT minutes, bar_tm, close_pr FROM bars_30m ORDER BY bar_tm") == [
        (30, datetime(2020, 8, 5, 9, 30), Decimal("2.500000")),
        (30, datetime(2020, 8, 5, 10, 0), Decimal("1.250000")),
    ]


def test_every_value_arrives_as_it_was_published(warehouse: TestedWarehouse) -> None:
    """The largest decimals and counts, a moment to the microsecond, and nulls."""
    warehouse.publish(DAY)
    event_tm = datetime(2020, 8, 5, 15, 59, 59, 999999)
    key = {"symbol": "A", "exchange": "NYSE", "event_tm": event_tm, "event_seq_nb": 2**63 - 1}
    prices = {"bid_pr": Decimal("999999999999.999999"), "ask_pr": Decimal("-0.000001"), "close_pr": None}
    publish(warehouse.lake, QUOTE_ANALYTICS, {"part-0": [key | prices | {"bid_size": 0, "ask_size": None}]})

    warehouse.warehouse(quotes=True).load(DAY, "run")

    assert warehouse.query(
        "SELECT trade_dt, symbol, exchange, event_tm, event_seq_nb, bid_pr, bid_size, ask_pr, ask_size, close_pr "
        "FROM quote_analytics"
    ) == [(DAY, "A", "NYSE", event_tm, 2**63 - 1, prices["bid_pr"], 0, prices["ask_pr"], None, None)]


# What CSV, COPY or SQL give a meaning of its own.
HOSTILE = [
    *('"', '""', "a,b", "\\", "\\.", "\\N", "a\n\\.\nb", "\r\n", "", " ", "NULL", "\t"),
    *("'; DROP TABLE x;", "日本", "%s"),
]


def test_symbols_come_through_whatever_is_in_them(warehouse: TestedWarehouse) -> None:
    warehouse.publish(DAY, *(summary(symbol) for symbol in HOSTILE))

    warehouse.load()

    assert sorted(symbol for symbol, _ in warehouse.closes()) == sorted(HOSTILE)


@pytest.mark.parametrize("symbol", ["A\0", "\0", "é" * 1001], ids=["with NUL", "NUL", "endless"])
def test_a_row_that_postgres_cannot_hold_is_left_out_and_counted(warehouse: TestedWarehouse, symbol: str) -> None:
    warehouse.publish(DAY, summary("A"), summary(symbol), summary("B" * 1990))

    done, *_ = warehouse.load()

    assert (done.rows, done.left_out) == (2, 1)
    assert [symbol for symbol, _ in warehouse.closes()] == ["A", "B" * 1990]
    assert warehouse.loads()[1] == ("daily_summary", DAY, "v1", 2, 1, "run")


def test_the_same_version_is_loaded_once(warehouse: TestedWarehouse) -> None:
    warehouse.publish(DAY, summary("A"))
    warehouse.load(run_id="first")

    again = warehouse.load(run_id="second")

    assert [(done.state, done.rows) for done in again] == [("present", 1)] * 3
    assert {row[-1] for row in warehouse.loads()} == {"first"}
    assert warehouse.closes() == [("A", "1.250000")]


def test_a_new_version_replaces_all_rows_of_its_day_and_no_other(warehouse: TestedWarehouse) -> None:
    warehouse.publish(DAY, summary("A", "1"), summary("B", "1"))
    warehouse.publish(NEXT_DAY, summary("A", "2"))
    warehouse.publish(NEXT_MONTH, summary("A", "3"))
    for day in (DAY, NEXT_DAY, NEXT_MONTH):
        warehouse.load(day)

    warehouse.publish(DAY, summary("B", "9"), summary("C", "9"), version="v2", token=2)
    warehouse.load()

    days = {day: warehouse.closes(day) for day in (DAY, NEXT_DAY, NEXT_MONTH)}
    assert days == {
        DAY: [("B", "9.000000"), ("C", "9.000000")],
        NEXT_DAY: [("A", "2.000000")],
        NEXT_MONTH: [("A", "3.000000")],
    }


def test_an_older_version_does_not_replace_a_newer_one(warehouse: TestedWarehouse) -> None:
    warehouse.publish(DAY, summary("A", "2"), version="v2", token=2)
    warehouse.load()

    warehouse.publish(DAY, summary("A", "1"), version="v1", token=1)
    late = warehouse.load()

    assert [done.state for done in late] == ["newer"] * 3
    assert warehouse.closes() == [("A", "2.000000")]


def test_a_day_without_rows_is_loaded_as_one(warehouse: TestedWarehouse) -> None:
    warehouse.publish(DAY)

    assert [(done.state, done.rows) for done in warehouse.load()] == [("loaded", 0), ("loaded", 0), ("loaded", 1)]


def test_a_day_that_is_not_published_changes_nothing(warehouse: TestedWarehouse) -> None:
    publish(warehouse.lake, DAILY_SUMMARY, {"part-0": [summary("A")]})

    with pytest.raises(NotPublishedError, match="report/bars of 2020-08-05 is not published"):
        warehouse.load()

    assert warehouse.closes() == []
    assert warehouse.loads() == []


def test_files_without_all_rows_of_their_manifest_are_not_loaded(warehouse: TestedWarehouse) -> None:
    warehouse.publish(DAY, summary("A"))
    warehouse.load()
    whole = publish(warehouse.lake, DAILY_SUMMARY, {"part-0": [summary("B")]}, "v2", token=2)
    warehouse.lake.storage.write(f"report/daily_summary/_published/{DAY}.json", replace(whole, rows=2).to_json())

    with pytest.raises(LakeError, match="the files hold 1 rows, and its manifest names 2"):
        warehouse.load()

    assert warehouse.closes() == [("A", "1.250000")]


def test_a_fault_of_the_store_that_passes_is_known_as_one(
    warehouse: TestedWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse.publish(DAY, summary("A"))

    def broken(*_: object) -> Iterator[Any]:
        raise LakeError("part-0.parquet cannot be read") from TimeoutError("timed out")
        yield

    monkeypatch.setattr(csv_rows, "batches", broken)
    with pytest.raises(LakeError, match=r"^part-0.parquet cannot be read$") as failed:
        warehouse.load()

    assert is_transient(failed.value)


def test_what_postgres_refuses_is_named(warehouse: TestedWarehouse) -> None:
    warehouse.publish(DAY, summary("A", "1"), summary("A", "2"))

    with pytest.raises(WarehouseError, match=r"^the warehouse refuses this: duplicate key .* \(COPY daily_summary"):
        warehouse.load()

    assert warehouse.closes() == []
