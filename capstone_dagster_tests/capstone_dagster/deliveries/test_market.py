"""The invented market: what a trader expects of prices, spreads and volume, and one story a day."""

from collections.abc import Sequence
from datetime import date, datetime
from functools import cache
from itertools import pairwise
from statistics import median

import pytest

from capstone_dagster.deliveries.market import Event, Market
from capstone_dagster.trading_days import trading_days

CALENDAR = trading_days(date(2020, 8, 3))
DAYS = CALENDAR.parse("2020-08-03..2020-08-10")
# A halt of MDLB, wrong prices of QLMK, a gap of VNRY, and so on.
HALT, WRONG_PRICES, GAP, _, _, NEXT_GAP = DAYS
TICKERS = ("QLMK", "VNRY", "ZPHN", "BKWE", "KSTW", "MDLB", "NVQY", "FWKS", "LBKR", "OKHF", "JPTH", "WXCU")
EVENTS = 20_000


@cache
def events(day: date, symbol: str | None = None, *, exchange: str = "NYSE", symbols: int = 12) -> Sequence[Event]:
    """Of an exchange, or of one symbol there."""
    if symbol:
        return [event for event in events(day, exchange=exchange, symbols=symbols) if event.symbol == symbol]
    market = Market(7, symbols, day, CALENDAR.hours(day), ("NYSE", "NASDAQ"))
    return list(market.events(exchange, EVENTS))


def middle(event: Event) -> float:
    """A price in dollars."""
    return (event.first_price if event.is_trade else (event.first_price + event.second_price) / 2) / 100


def minute(event: Event) -> int:
    """Of the day."""
    at = datetime.fromisoformat(event.event_tm)
    return 60 * at.hour + at.minute


def test_a_dozen_companies_are_traded_and_the_first_is_the_busiest() -> None:
    counts = {ticker: len(events(WRONG_PRICES, ticker)) for ticker in TICKERS}

    assert sum(counts.values()) == EVENTS
    assert min(counts.values()) > 200
    assert max(counts, key=lambda ticker: counts[ticker]) == "QLMK"


def test_more_symbols_have_names_of_their_own() -> None:
    names = {event.symbol for event in events(HALT, symbols=60)}

    assert len(names) == 60
    assert {*TICKERS, "XQA", "XQZ", "XQAA"} <= names


def test_both_exchanges_have_one_price_with_small_differences() -> None:
    for ticker in TICKERS:
        here, there = (events(WRONG_PRICES, ticker, exchange=exchange) for exchange in ("NYSE", "NASDAQ"))
        by_minute = [{minute(event): middle(event) for event in each} for each in (here, there)]
        apart = [abs(by_minute[0][at] / by_minute[1][at] - 1) for at in by_minute[0].keys() & by_minute[1].keys()]
        assert median(apart) < 0.002
        assert any(apart)


def test_spreads_are_some_basis_points_wide_at_least_a_cent_and_widest_in_the_morning() -> None:
    widths: dict[str, float] = {}
    for ticker in TICKERS:
        quotes = [event for event in events(WRONG_PRICES, ticker) if not event.is_trade]
        assert all(quote.second_price > quote.first_price > 0 for quote in quotes)
        points = [(quote.second_price - quote.first_price) / middle(quote) * 100 for quote in quotes]
        widths[ticker] = median(points)
        assert median(points[:30]) > 1.3 * median(points)
    assert 1 < widths["QLMK"] < 4
    assert all(width < 20 for width in widths.values())


def test_most_is_traded_in_the_morning_and_before_the_close() -> None:
    halves = [minute(event) // 30 for event in events(WRONG_PRICES)]

    assert set(halves) == set(range(19, 32))
    assert halves.count(19) > 2.5 * halves.count(25) < halves.count(31)


def test_a_half_day_ends_early() -> None:
    minutes = [minute(event) for event in events(date(2020, 11, 27))]

    assert (min(minutes), max(minutes)) == (9 * 60 + 30, 12 * 60 + 59)


def test_a_day_opens_near_the_last_close_except_for_the_symbol_that_has_news() -> None:
    far: dict[date, set[str]] = {}
    for before, day in pairwise(DAYS):
        jumps = {
            ticker: abs(middle(events(day, ticker)[0]) / middle(events(before, ticker)[-1]) - 1) for ticker in TICKERS
        }
        far[day] = {ticker for ticker, jump in jumps.items() if jump > 0.03}
        assert max(jumps.values()) < 0.1
    assert far == {day: {GAP: {"VNRY"}, NEXT_GAP: {"MDLB"}}.get(day, set()) for day in DAYS[1:]}


def test_a_halted_symbol_is_silent_for_half_an_hour_and_goes_on_at_another_price() -> None:
    moments = [(datetime.fromisoformat(event.event_tm), middle(event)) for event in events(HALT, "MDLB")]

    (silent, jump) = max((after - before, price / last - 1) for (before, last), (after, price) in pairwise(moments))

    assert 30 * 60 < silent.total_seconds() < 40 * 60
    assert 0.03 < abs(jump) < 0.1


def test_trades_with_wrong_prices_are_those_of_one_symbol_and_of_half_an_hour() -> None:
    wrong = [event for event in events(WRONG_PRICES) if event.is_wrong]

    assert {event.symbol for event in wrong} == {"QLMK"}
    assert len(wrong) > 20
    assert 30 <= minute(wrong[-1]) - minute(wrong[0]) <= 36
    assert not any(event.is_wrong for day in (HALT, GAP) for event in events(day))


def test_events_of_a_symbol_are_numbered_in_the_order_of_time() -> None:
    for ticker in TICKERS:
        found = events(GAP, ticker)
        assert [event.sequence for event in found] == list(range(1, len(found) + 1))
        assert [event.event_tm for event in found] == sorted(event.event_tm for event in found)


@pytest.mark.parametrize("symbols", [1, 2])
def test_a_market_of_few_symbols_has_all_its_events_too(symbols: int) -> None:
    assert [len(events(day, symbols=symbols)) for day in DAYS[:3]] == [EVENTS] * 3
