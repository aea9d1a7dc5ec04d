"""Published rows from parquet files that another program wrote, of one day and of many."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

import capstone_dagster
from capstone_dagster.readers.rows import NothingPublishedError, Only, UnknownNameError, batches, rows_of
from capstone_dagster.trading_days import NoTradingDayError
from capstone_dagster_tests.builders.published_files import DAY, close, first_rows, publish
from spark_code.lake import Lake, NotPublishedError
from spark_code.schemas import CLOSES, EVENTS, TABLES, Table

NEXT_DAY = date(2020, 8, 6)
PRICE = Decimal("1.250000")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(f"{tmp_path}")


@pytest.fixture
def two_days(home: Path) -> Lake:
    """Closes of two days in the lake of the settings."""
    lake = Lake(f"{home / 'lake'}")
    publish(lake, CLOSES, {"part-0.parquet": [close("A"), close("B", exchange="NASDAQ")]})
    publish(lake, CLOSES, {"part-0.parquet": [close("B"), close("C")]}, day=NEXT_DAY)
    return lake


def test_rows_come_in_the_order_of_files_and_columns(lake: Lake) -> None:
    publish(lake, CLOSES, {"part-0.parquet": [close("B"), close("A")], "part-1.parquet": [close("C")]})

    assert first_rows(lake, CLOSES, DAY, 10) == [[DAY, symbol, "NYSE", PRICE] for symbol in ("B", "A", "C")]


@pytest.mark.parametrize(("limit", "symbols"), [(1, "A"), (2, "AB"), (3, "ABC"), (4, "ABCD"), (9, "ABCD")])
def test_no_more_rows_than_asked_for(lake: Lake, limit: int, symbols: str) -> None:
    publish(lake, CLOSES, {"part-0": [close("A"), close("B")], "part-1": [close("C"), close("D")]})

    assert [row[1] for row in first_rows(lake, CLOSES, DAY, limit)] == list(symbols)


def test_a_day_without_rows_has_none(lake: Lake) -> None:
    publish(lake, CLOSES, {})

    assert first_rows(lake, CLOSES, DAY, 10) == []


def test_a_column_that_is_only_in_the_path_is_shown(lake: Lake) -> None:
    names = [name for name in EVENTS.columns if name not in ("trade_dt", "rec_type")]
    bad = dict.fromkeys(names) | {"reject_reason": "blank", "line": ""}
    publish(lake, EVENTS, {"rec_type=B/part-0.parquet": [bad]})

    [row] = first_rows(lake, EVENTS, DAY, 1)

    expected = {"trade_dt": DAY, "rec_type": "B", "reject_reason": "blank", "line": ""}
    assert dict(zip(EVENTS.columns, row, strict=True)) == dict.fromkeys(EVENTS.columns) | expected


def test_only_the_published_version_is_shown(lake: Lake) -> None:
    publish(lake, CLOSES, {"part-0.parquet": [close("OLD")]}, "v1")
    publish(lake, CLOSES, {"part-0.parquet": [close("NEW")]}, "v2")

    assert [row[1] for row in first_rows(lake, CLOSES, DAY, 10)] == ["NEW"]


def test_a_day_that_is_not_published_is_an_error(lake: Lake) -> None:
    with pytest.raises(NotPublishedError) as refused:
        first_rows(lake, CLOSES, DAY, 10)

    assert str(refused.value) == f"eod/closes of 2020-08-05 is not published in {lake.storage.root}"


@pytest.mark.parametrize(
    ("only", "found"),
    [
        (Only(symbols=["A"]), [[DAY, "A", "NYSE", PRICE]]),
        (Only(symbols=["A", "B", "no one's"]), [[DAY, "A", "NYSE", PRICE], [DAY, "B", "NASDAQ", PRICE]]),
        (Only(exchanges=["NASDAQ"]), [[DAY, "B", "NASDAQ", PRICE]]),
        (Only(symbols=["A"], exchanges=["NASDAQ"]), []),
        (Only(symbols=[]), []),
        (Only(symbols=["B"], columns=["close_pr", "trade_dt"]), [[PRICE, DAY]]),
    ],
)
def test_only_what_is_wanted_is_read(lake: Lake, only: Only, found: list[list[object]]) -> None:
    version = publish(lake, CLOSES, {"part-0": [close("A"), close("B", exchange="NASDAQ")]})

    assert list(rows_of(batches(lake, CLOSES, [version], only))) == found


@pytest.mark.parametrize(
    ("days", "symbols"),
    [
        ((), "ABBC"),
        (("2020-08-05",), "AB"),
        ((NEXT_DAY,), "BC"),
        (("2020-08-05", "2020-08-06"), "ABBC"),
        (("2020-08-06", "2020-08-06"), "BC"),
        ((date(2020, 8, 6), date(2020, 12, 31)), "BC"),
    ],
)
@pytest.mark.usefixtures("two_days")
def test_the_days_between_the_first_and_the_last_are_read(days: tuple[str | date, ...], symbols: str) -> None:
    found = capstone_dagster.read("eod/closes", *days)

    assert found.column("symbol").to_pylist() == list(symbols)


@pytest.mark.usefixtures("two_days")
def test_what_is_read_is_a_table_for_other_programs() -> None:
    closes = capstone_dagster.read("eod/closes", symbols="B", columns=["trade_dt", "exchange", "close_pr"])

    assert closes.schema == pa.schema(
        [("trade_dt", pa.date32()), ("exchange", pa.string()), ("close_pr", pa.decimal128(18, 6))]
    )
    assert duckdb.execute("FROM closes ORDER BY trade_dt").fetchall() == [
        (DAY, "NASDAQ", PRICE),
        (NEXT_DAY, "NYSE", PRICE),
    ]


@pytest.mark.usefixtures("two_days")
def test_one_column_may_be_named_alone_and_none_comes_twice() -> None:
    assert capstone_dagster.read("eod/closes", "2020-08-05", columns="symbol").to_pydict() == {"symbol": ["A", "B"]}
    assert capstone_dagster.read("eod/closes", columns=["symbol", "symbol"]).column_names == ["symbol"]
    assert capstone_dagster.read("eod/closes", symbols=[]).num_rows == 0


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_every_table_has_types_of_arrow(home: Path, table: Table) -> None:
    publish(Lake(f"{home / 'lake'}"), table, {})

    found = capstone_dagster.read(table.path, DAY)

    assert (found.schema.names, found.num_rows) == (table.columns, 0)


@pytest.mark.usefixtures("two_days")
def test_what_cannot_be_read_is_refused_in_a_sentence(home: Path) -> None:
    with pytest.raises(UnknownNameError, match=r"'closes' is not a table; the tables are ingested/events, "):
        capstone_dagster.read("closes")
    with pytest.raises(UnknownNameError, match=r"quality/measures has no column symbol to choose rows by"):
        next(batches(Lake("/nowhere"), TABLES["quality/measures"], [], Only(symbols=["ABC"])))
    with pytest.raises(UnknownNameError, match=r"'price' is not a column of eod/closes; its columns are trade_dt, "):
        capstone_dagster.read("eod/closes", columns=["price"])
    with pytest.raises(NoTradingDayError, match=r"'5 August' is not a date; write yyyy-mm-dd"):
        capstone_dagster.read("eod/closes", "5 August")
    with pytest.raises(NoTradingDayError, match=r"2020-08-06\.\.2020-08-05: 2020-08-06 is after 2020-08-05"):
        capstone_dagster.read("eod/closes", "2020-08-06", "2020-08-05")
    with pytest.raises(NoTradingDayError, match="the last day is 2020-08-05, and the first is missing"):
        capstone_dagster.read("eod/closes", last="2020-08-05")
    with pytest.raises(NothingPublishedError) as nothing:
        capstone_dagster.read("eod/closes", "2020-08-07", "2020-08-10")
    assert str(nothing.value) == (
        f"nothing of eod/closes from 2020-08-07 to 2020-08-10 is published in {home}/lake; "
        "make it with: capstone run 2020-08-07..2020-08-10"
    )
