"""Which delivery of an event counts, and what the last price of the day is."""

from itertools import permutations

import pytest
from pyspark.sql import SparkSession

from capstone_dagster_tests.builders.rows import (
    Row,
    assert_table,
    close,
    event,
    frame,
    published,
    quote,
    renamed,
    sorted_rows,
    trade,
)
from spark_code.ingested_to_eod import build, closes, latest_arrivals
from spark_code.schemas import CLOSES, EVENTS, QUOTES, TRADES, RecordType

# Which of the deliveries of one event counts: what decides -> (the deliveries, the one that counts).
DELIVERIES: dict[str, tuple[list[Row], int]] = {
    "the later arrival": ([trade("10:00", "5", arrival="09:30"), trade("10:00", "4", arrival="09:31")], 1),
    "an arrival one microsecond later, though everything else is less": (
        [
            trade("10:00", "9", size=900, execution_id="z", arrival="09:30"),
            trade("10:00", "1", size=1, arrival="09:30:00.000001"),
        ],
        1,
    ),
    "the latest of three": (
        [
            trade("10:00", "7", arrival="09:31"),
            trade("10:00", "8", arrival="09:33"),
            trade("10:00", "9", arrival="09:32"),
        ],
        1,
    ),
    "on a tie of arrivals the greater price, whatever follows it": (
        [trade("10:00", "5.000001", size=1), trade("10:00", "5", size=900, execution_id="z")],
        0,
    ),
    "on a tie prices compared as numbers, not as text": (
        [trade("10:00", "10", size=1), trade("10:00", "9", size=1)],
        0,
    ),
    "on a tie of prices the greater size": (
        [trade("10:00", "5", size=101), trade("10:00", "5", size=100, execution_id="z")],
        0,
    ),
    "on a tie of sizes the greater execution id": (
        [
            trade("10:00", "5", execution_id=None),
            trade("10:00", "5", execution_id="b"),
            trade("10:00", "5", execution_id="a"),
        ],
        1,
    ),
    "an empty execution id before none": (
        [trade("10:00", "5", execution_id=None), trade("10:00", "5", execution_id="")],
        1,
    ),
    "one of exact duplicates": ([trade("10:00", "5"), trade("10:00", "5"), trade("10:00", "5")], 0),
    "the later quote": (
        [
            quote("10:00", "9", "9", bid_size=9, ask_size=9, arrival="09:30"),
            quote("10:00", "1", "1", bid_size=1, ask_size=1, arrival="09:31"),
        ],
        1,
    ),
    "on a tie of bids the greater ask, then the greater ask size": (
        [
            quote("10:00", "5", "6", bid_size=1, ask_size=900),
            quote("10:00", "5", "7", bid_size=1, ask_size=1),
            quote("10:00", "5", "7", bid_size=1, ask_size=2),
        ],
        2,
    ),
    "on a tie of bids the greater bid size before the ask": (
        [
            quote("10:00", "5", "9", bid_size=1, ask_size=900),
            quote("10:00", "5", "6", bid_size=2, ask_size=1),
        ],
        1,
    ),
}


@pytest.fixture(scope="module")
def kept_rows(spark: SparkSession) -> list[Row]:
    """Every case in every order of its deliveries, each under a symbol of its own: one Spark job per table."""
    events = [
        event(renamed(row, f"{case}, order {number}"))
        for case, (deliveries, _) in DELIVERIES.items()
        for number, order in enumerate(permutations(deliveries))
        for row in order
    ]
    frames = frame(spark, EVENTS, events)
    trades = latest_arrivals(frames, RecordType.TRADE, TRADES).collect()
    return [tuple(row) for row in trades + latest_arrivals(frames, RecordType.QUOTE, QUOTES).collect()]


@pytest.mark.faults("F5", sample=True)
@pytest.mark.parametrize("case", DELIVERIES)
def test_of_the_deliveries_of_one_event_one_counts_in_whatever_order_they_come(kept_rows: list[Row], case: str) -> None:
    deliveries, winner = DELIVERIES[case]
    orders = len(list(permutations(deliveries)))
    expected = [renamed(deliveries[winner], f"{case}, order {number}") for number in range(orders)]
    assert sorted_rows(row for row in kept_rows if row[1].startswith(f"{case}, order ")) == sorted_rows(expected)


def test_events_that_differ_in_any_part_of_the_key_are_all_kept(spark: SparkSession) -> None:
    trades = [
        trade("10:00", "5"),
        trade("10:00", "5", seq=2),
        trade("10:00:00.000001", "5"),
        trade("10:00", "5", symbol="IBN"),
        trade("10:00", "5", exchange="NASDAQ"),
    ]
    events = frame(spark, EVENTS, [event(row) for row in trades])
    assert_table(latest_arrivals(events, RecordType.TRADE, TRADES), TRADES, trades)


def test_rejects_and_the_other_record_type_do_not_count_though_they_have_the_same_key(spark: SparkSession) -> None:
    the_trade, the_quote = trade("10:00", "5"), quote("10:00", "4", "6")
    deliveries = [
        event(the_trade),
        event(the_quote),
        event(trade("10:00", "99", arrival="10:00"), RecordType.BAD),
        event(quote("10:00", "99", "99", arrival="10:00"), RecordType.BAD),
        event(trade("11:00", "99", symbol="BAD"), RecordType.BAD),
    ]
    events = frame(spark, EVENTS, deliveries)
    assert_table(latest_arrivals(events, RecordType.TRADE, TRADES), TRADES, [the_trade])
    assert_table(latest_arrivals(events, RecordType.QUOTE, QUOTES), QUOTES, [the_quote])


def test_a_day_of_rejects_alone_gives_no_rows(spark: SparkSession) -> None:
    events = frame(spark, EVENTS, [event(trade("10:00", "5"), RecordType.BAD)])
    assert_table(latest_arrivals(events, RecordType.TRADE, TRADES), TRADES, [])


def test_the_close_is_the_price_of_the_last_trade_by_time_then_sequence_number(spark: SparkSession) -> None:
    trades = [
        # The latest time, though its sequence number, arrival and price are the least.
        trade("15:59:59.999999", "90", seq=9, arrival="16:30"),
        trade("16:00", "80", seq=1, arrival="09:30"),
        # Of one instant the highest sequence number, compared as a number.
        trade("16:00", "71", seq=9, symbol="MSFT"),
        trade("16:00", "70", seq=10, symbol="MSFT"),
        trade("16:00", "72", seq=2, symbol="MSFT"),
        # The exchanges have a close each.
        trade("09:31", "79.5", exchange="NASDAQ"),
    ]
    expected = [close("80"), close("70", symbol="MSFT"), close("79.5", exchange="NASDAQ")]
    assert_table(closes(frame(spark, TRADES, trades)), CLOSES, expected)
    assert_table(closes(frame(spark, TRADES, reversed(trades))), CLOSES, expected)


def test_the_drafts_hold_the_corrected_day_and_name_the_version_they_came_from(spark: SparkSession) -> None:
    deliveries = [
        trade("10:00", "50"),
        trade("15:00", "51", seq=2),
        trade("15:00", "52.5", seq=2, arrival="15:30"),
        quote("10:01", "49", "51", seq=3),
        quote("10:01", "49.1", "51", seq=3, arrival="15:30"),
        quote("11:00", "7", "8", symbol="QUIET"),
    ]
    events = frame(spark, EVENTS, [event(row) for row in deliveries])

    trades, quotes, day_closes = build(published(EVENTS, events, version="v7"))

    assert [draft.table for draft in (trades, quotes, day_closes)] == [TRADES, QUOTES, CLOSES]
    assert [draft.inputs for draft in (trades, quotes, day_closes)] == [{"ingested/events": "v7"}] * 3
    assert_table(trades.rows, TRADES, [deliveries[0], deliveries[2]])
    assert_table(quotes.rows, QUOTES, [deliveries[4], deliveries[5]])
    # QUIET has quotes only, so it has no close; the corrected price counts for the other.
    assert_table(day_closes.rows, CLOSES, [close("52.5")])
