"""The edges against a model of the contract that shares nothing with them: plain loops, exact fractions.

A generated day has few instants, so that corrections, ties, trades and quotes of one instant and
distances of 30 minutes to the microsecond are the rule.
"""

from collections.abc import Callable, Iterable
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import count
from math import floor
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import DataFrame, SparkSession

from capstone_dagster_tests.builders.published_files import events_of
from capstone_dagster_tests.builders.rows import DAY, Row, at, frame, sorted_rows
from spark_code.corporate_actions import FILE, Actions, CorporateActions
from spark_code.eod_to_report import adjusted_closes, bars, daily_summary, quote_analytics
from spark_code.event_sums import event_sums
from spark_code.ingested_to_eod import closes, latest_arrivals
from spark_code.schemas import CLOSES, EVENTS, QUOTES, TRADES, RecordType

# Many days that are computed as one: what costs time is each of Spark's jobs, not their rows.
DRAWN = settings(max_examples=30, derandomize=True, deadline=None, phases=[Phase.generate])
PREVIOUS_DAY = DAY - timedelta(days=2)
MICROSECOND = timedelta(microseconds=1)
QUARTER = timedelta(minutes=15)
MAX_BIGINT = 2**63 - 1
MAX_DECIMAL_18_6 = Decimal("999999999999.999999")

symbols = st.sampled_from(["A", "B"])
exchanges = st.sampled_from(["NYSE", "NASDAQ"])
instants = st.builds(
    lambda quarters, beside: at("10:00") + quarters * QUARTER + beside * MICROSECOND,
    st.integers(0, 4),
    st.sampled_from([0, 0, 0, -1, 1]),
)
prices = st.one_of(
    st.integers(1, 12).map(lambda micros: Decimal(micros).scaleb(-6)),
    st.integers(1, 10**7).map(lambda micros: Decimal(micros).scaleb(-4)),
    st.sampled_from([Decimal(10), Decimal("10.000001"), MAX_DECIMAL_18_6]),
)
trade_sizes = st.one_of(st.integers(1, 3), st.integers(1, 10_000), st.sampled_from([100, 9 * 10**18]))
quote_sizes = st.integers(0, 3)
execution_ids = st.sampled_from([None, None, "", "a", "b", "B", "é"])
arrivals = st.sampled_from([at("09:30"), at("09:30:00.000001"), at("16:30")])
keys = st.tuples(symbols, exchanges, instants, st.integers(0, 11))


@st.composite
def events(draw: st.DrawFn) -> Row:
    """One delivered line of any record type; rejects carry fields that must not count."""
    rec_type = draw(st.sampled_from(["T", "T", "T", "Q", "Q", "Q", "Q", "B"]))
    fields: dict[str, Any] = dict.fromkeys(EVENTS.columns)
    fields |= {"trade_dt": DAY, "rec_type": rec_type, "arrival_tm": draw(arrivals)}
    fields["symbol"], fields["exchange"], fields["event_tm"], fields["event_seq_nb"] = draw(keys)
    if rec_type != "Q":
        fields |= {"trade_pr": draw(prices), "trade_size": draw(trade_sizes), "execution_id": draw(execution_ids)}
    if rec_type != "T":
        fields |= {"bid_pr": draw(prices), "bid_size": draw(quote_sizes)}
        fields |= {"ask_pr": draw(prices), "ask_size": draw(quote_sizes)}
    return tuple(fields.values())


@st.composite
def days(draw: st.DrawFn) -> list[Row]:
    """Up to sixty deliveries; some events come again, changed in what is not their key."""
    first = draw(st.lists(events(), min_size=12, max_size=40))
    again = draw(st.lists(st.tuples(st.sampled_from(first), events()), max_size=20))
    # Of the other event only what does not belong to the key is taken, where the type fits.
    corrections = [(*old[:6], *new[6:]) if old[1] == new[1] else old for old, new in again]
    return first + corrections


previous_closes = st.dictionaries(st.tuples(st.sampled_from(["A", "B", "GONE"]), exchanges), prices, max_size=5)
# Of a day and the three before it; the previous trading day may be any of these.
ex_dates = st.sampled_from([DAY - timedelta(days=back) for back in (0, 0, 0, 1, 1, 2, 3)])
ratios = st.sampled_from(["2", "4:1", "4", "3:2", "1:3", "1:10", "0.5", "1.000001", "1000000", "1:999999999999"])
amounts = st.sampled_from(["0.000001", "0.01", "0.5", "3", "1000000", "999999999999"])
corporate_actions = st.lists(
    st.one_of(
        st.tuples(symbols, ex_dates, st.just("split"), ratios), st.tuples(symbols, ex_dates, st.just("cash"), amounts)
    ),
    min_size=3,
    max_size=8,
)


class Trade(NamedTuple):
    trade_dt: Any
    symbol: str
    exchange: str
    event_tm: Any
    event_seq_nb: int
    arrival_tm: Any
    trade_pr: Decimal
    trade_size: int
    execution_id: str | None


class Quote(NamedTuple):
    trade_dt: Any
    symbol: str
    exchange: str
    event_tm: Any
    event_seq_nb: int
    arrival_tm: Any
    bid_pr: Decimal
    bid_size: int
    ask_pr: Decimal
    ask_size: int


def half_up(exact: Fraction) -> Decimal | None:
    """Six decimals, a half away from zero; null where decimal(18,6) cannot hold it."""
    micros = floor(abs(exact) * 10**6 + Fraction(1, 2))
    rounded = Decimal(micros).scaleb(-6).copy_sign(-1 if exact < 0 else 1)
    return rounded if abs(rounded) <= MAX_DECIMAL_18_6 else None


def instrument(row: Trade | Quote) -> tuple[str, str]:
    return row.symbol, row.exchange


def by_time(trade: Trade) -> tuple[Any, int]:
    return trade.event_tm, trade.event_seq_nb


def model_winners(day: list[Row], rec_type: str, columns: list[str], make: Callable[..., Any]) -> list[Any]:
    """Replace what is known of an event whenever a delivery beats it; null is less than any text."""
    known: dict[Row, Row] = {}
    for line in day:
        fields = dict(zip(EVENTS.columns, line, strict=True))
        if fields["rec_type"] != rec_type:
            continue
        row = tuple(fields[name] for name in columns)
        key, rest = row[:5], [(value is not None, value) for value in row[5:]]
        if key not in known or [(value is not None, value) for value in known[key][5:]] < rest:
            known[key] = row
    return [make(*row) for row in known.values()]


def model_closes(trades: list[Trade]) -> list[Row]:
    by_instrument = {instrument(trade): trade for trade in sorted(trades, key=by_time)}
    return [(DAY, *key, last.trade_pr) for key, last in by_instrument.items()]


def model_moving_average(trade: Trade, trades: list[Trade]) -> Decimal | None:
    start = trade.event_tm - timedelta(minutes=30)
    of_window = [
        Fraction(other.trade_pr)
        for other in trades
        if instrument(other) == instrument(trade) and start <= other.event_tm <= trade.event_tm
    ]
    return half_up(sum(of_window, Fraction()) / len(of_window))


def model_adjusted(closes_before: dict[Any, Decimal], actions: list[Row]) -> dict[Any, Decimal]:
    """The closes after what has happened since: splits of a day, then its cash, but for what would leave no price."""
    adjusted = dict(closes_before)
    for key, close_before in closes_before.items():
        exact = Fraction(close_before)
        for day in sorted({action[1] for action in actions if action[1] > PREVIOUS_DAY}):
            of_day = {(kind, value) for symbol, ex_date, kind, value in actions if (symbol, ex_date) == (key[0], day)}
            steps = [(kind, [Fraction(part) for part in value.split(":")]) for kind, value in of_day]
            # The same ratio written in two ways is one action.
            splits = {parts[0] / parts[-1] if parts[1:] else parts[0] for kind, parts in steps if kind == "split"}
            for ratio in sorted(splits):
                exact = exact / ratio if half_up(exact / ratio) else exact
            for cash in sorted(parts[0] for kind, parts in steps if kind == "cash"):
                exact = exact - cash if exact > cash and half_up(exact - cash) else exact
        adjusted[key] = half_up(exact) or close_before
    return adjusted


def model_analytics(
    trades: list[Trade], quotes: list[Quote], closes_before: dict[Any, Decimal], adjusted: dict[Any, Decimal]
) -> list[Row]:
    report: list[Row] = []
    for quote in quotes:
        seen = [t for t in trades if instrument(t) == instrument(quote) and t.event_tm <= quote.event_tm]
        last = max(seen, key=by_time, default=None)
        close_pr, compared = (closes.get(instrument(quote)) for closes in (closes_before, adjusted))
        report.append(
            (
                *quote[:5],
                *quote[6:],
                last and last.trade_pr,
                last and model_moving_average(last, trades),
                close_pr,
                None if compared is None else quote.bid_pr - compared,
                None if compared is None else quote.ask_pr - compared,
                compared,
            )
        )
    return report


def model_summary(
    trades: list[Trade], quotes: list[Quote], closes_before: dict[Any, Decimal], adjusted: dict[Any, Decimal]
) -> list[Row]:
    report: list[Row] = []
    for key in {*map(instrument, trades), *map(instrument, quotes)}:
        traded = sorted((trade for trade in trades if instrument(trade) == key), key=by_time)
        spreads = [Fraction(quote.ask_pr) - Fraction(quote.bid_pr) for quote in quotes if instrument(quote) == key]
        paid = [trade.trade_pr for trade in traded]
        shares = sum(trade.trade_size for trade in traded)
        turnover = sum((Fraction(trade.trade_pr) * trade.trade_size for trade in traded), Fraction())
        close_pr, compared = paid[-1] if paid else None, adjusted.get(key)
        change = None if close_pr is None or compared is None else Fraction(close_pr) - Fraction(compared)
        report.append(
            (
                DAY,
                *key,
                *((paid[0], max(paid), min(paid), close_pr) if paid else (None,) * 4),
                shares if shares <= MAX_BIGINT else None,
                len(traded),
                half_up(turnover / shares) if shares else None,
                len(spreads),
                half_up(sum(spreads, Fraction()) / len(spreads)) if spreads else None,
                closes_before.get(key),
                None if change is None else half_up(change),
                None if change is None or compared is None else half_up(change * 100 / Fraction(compared)),
                compared,
            )
        )
    return report


def model_bars(trades: list[Trade], quotes: list[Quote]) -> list[Row]:
    """Every bar from its own events."""
    report: list[Row] = []
    for minutes in (1, 5, 30):

        def bar(event: Trade | Quote, minutes: int = minutes) -> tuple[Any, ...]:
            midnight = event.event_tm.replace(hour=0, minute=0, second=0, microsecond=0)
            length = timedelta(minutes=minutes)
            return *instrument(event), minutes, midnight + (event.event_tm - midnight) // length * length

        for key in {*map(bar, trades), *map(bar, quotes)}:
            traded = sorted((trade for trade in trades if bar(trade) == key), key=by_time)
            quoted = sorted(
                (quote for quote in quotes if bar(quote) == key), key=lambda q: (q.event_tm, q.event_seq_nb)
            )
            paid = [trade.trade_pr for trade in traded]
            shares = sum(trade.trade_size for trade in traded)
            turnover = sum((Fraction(trade.trade_pr) * trade.trade_size for trade in traded), Fraction())
            spread = sum((Fraction(quote.ask_pr) - Fraction(quote.bid_pr) for quote in quoted), Fraction())
            report.append(
                (
                    DAY,
                    *key,
                    *((paid[0], max(paid), min(paid), paid[-1]) if paid else (None,) * 4),
                    shares if shares <= MAX_BIGINT else None,
                    half_up(turnover / shares) if shares else None,
                    len(traded),
                    *((quoted[-1].bid_pr, quoted[-1].ask_pr) if quoted else (None, None)),
                    half_up(spread / len(quoted)) if quoted else None,
                    len(quoted),
                )
            )
    return report


def edges(
    spark: SparkSession, day: list[Row], closes_before: dict[Any, Decimal], actions: list[Row]
) -> dict[str, list[Row]]:
    """Every table the two edges compute of the day; each edge reads what the one before it gave."""

    def kept(rows: DataFrame) -> list[Row]:
        return [tuple(row) for row in rows.collect()]

    delivered = frame(spark, EVENTS, day)
    trades = kept(latest_arrivals(delivered, RecordType.TRADE, TRADES))
    quotes = kept(latest_arrivals(delivered, RecordType.QUOTE, QUOTES))
    before = close_rows(spark, closes_before)
    adjusted = adjusted_closes(before, actions_of(actions)).closes
    with TemporaryDirectory() as lake:
        eod = events_of(spark, lake, trades, quotes, DAY)
        trades_read, quotes_read = (published.rows for published in eod)
        of_day, of_bars = event_sums(*eod)
        return {
            "trades": sorted_rows(trades),
            "quotes": sorted_rows(quotes),
            "closes": sorted_rows(kept(closes(trades_read))),
            "quote_analytics": sorted_rows(kept(quote_analytics(trades_read, quotes_read, before, adjusted))),
            "daily_summary": sorted_rows(kept(daily_summary(of_day, before, adjusted))),
            "bars": sorted_rows(kept(bars(of_bars))),
        }


def close_rows(spark: SparkSession, closes_before: dict[Any, Decimal]) -> DataFrame:
    return frame(spark, CLOSES, [(PREVIOUS_DAY, *key, price) for key, price in closes_before.items()])


def actions_of(rows: list[Row]) -> Actions:
    """What a file with these lines says about the day."""
    with TemporaryDirectory() as raw:
        file = Path(raw, FILE)
        file.parent.mkdir()
        file.write_text("".join(f"{symbol},{ex_date},{kind},{value}\n" for symbol, ex_date, kind, value in rows))
        return CorporateActions(raw).of(DAY, PREVIOUS_DAY)


def model(day: list[Row], closes_before: dict[Any, Decimal], actions: list[Row]) -> dict[str, list[Row]]:
    """The same tables by the letter of the contract."""
    trades: list[Trade] = model_winners(day, "T", TRADES.columns, Trade)
    quotes: list[Quote] = model_winners(day, "Q", QUOTES.columns, Quote)
    adjusted = model_adjusted(closes_before, actions)
    tables: dict[str, Iterable[Row]] = {
        "trades": trades,
        "quotes": quotes,
        "closes": model_closes(trades),
        "quote_analytics": model_analytics(trades, quotes, closes_before, adjusted),
        "daily_summary": model_summary(trades, quotes, closes_before, adjusted),
        "bars": model_bars(trades, quotes),
    }
    return {name: sorted_rows(rows) for name, rows in tables.items()}


class Generated(NamedTuple):
    """One day of many small ones, each with symbols of its own, the closes before it, and what happened since."""

    day: list[Row]
    closes_before: dict[tuple[str, str], Decimal]
    actions: list[Row]


@pytest.fixture(scope="module")
def generated() -> Generated:
    many = Generated([], {}, [])
    numbers = count()

    @DRAWN
    @given(day=days(), closes_before=previous_closes, actions=corporate_actions)
    def draw(day: list[Row], closes_before: dict[tuple[str, str], Decimal], actions: list[Row]) -> None:
        number, symbol = next(numbers), EVENTS.columns.index("symbol")
        many.day.extend((*row[:symbol], f"{row[symbol]}{number}", *row[symbol + 1 :]) for row in day)
        many.closes_before.update({(f"{of}{number}", exchange): pr for (of, exchange), pr in closes_before.items()})
        many.actions.extend((f"{row[0]}{number}", *row[1:]) for row in actions)

    draw()
    return many


@pytest.fixture(scope="module")
def computed(spark: SparkSession, generated: Generated) -> dict[str, list[Row]]:
    return edges(spark, *generated)


def test_every_row_of_every_table_is_the_one_of_the_model(computed: dict[str, list[Row]], generated: Generated) -> None:
    assert computed == model(*generated)


def test_the_generated_closes_are_adjusted_in_every_way(generated: Generated) -> None:
    adjusted = model_adjusted(generated.closes_before, generated.actions)

    changes = [(adjusted[key] > close) - (adjusted[key] < close) for key, close in generated.closes_before.items()]
    assert min(changes.count(way) for way in (-1, 0, 1)) > 2
    assert (
        actions_of(generated.actions).adjusted((*key, close) for key, close in generated.closes_before.items()).refused
    )


def test_the_order_in_which_rows_come_does_not_show(
    spark: SparkSession, computed: dict[str, list[Row]], generated: Generated
) -> None:
    shuffled = Random(20200805).sample(generated.day, len(generated.day))  # noqa: S311
    assert edges(spark, shuffled, generated.closes_before, generated.actions[::-1]) == computed
