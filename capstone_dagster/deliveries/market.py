"""An invented market: what companies that do not exist trade and quote on a day, for ``sample``.

Every symbol has one price, around which both exchanges quote. Its day begins near the last close, and one symbol a day
has a story. All of it follows from the seed and the day alone, so days can be made in any order.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import cached_property, lru_cache
from hashlib import sha256
from string import ascii_uppercase
from typing import Any, NamedTuple

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.float64]]
Integers = np.ndarray[Any, np.dtype[np.int64]]
Booleans = np.ndarray[Any, np.dtype[np.bool_]]

# The busiest first.
_TICKERS = ("QLMK", "VNRY", "ZPHN", "BKWE", "KSTW", "MDLB", "NVQY", "FWKS", "LBKR", "OKHF", "JPTH", "WXCU")
_TRADES = 0.1
# What is left of a change of price a day later, and of how many days they are added up: prices stay near a level.
_REMAINS, _DAYS = 0.98, 250
# Points of a day, between which a price follows a straight line.
_POINTS = 780
# Only symbols that a page of the report has charts of.
_FIRST_SYMBOLS = 6
# In parts of the hours of trading.
_STORY_BEGINS, _STORY_LASTS = (0.2, 0.65), 0.09
_CLOCK = np.linspace(0, 1, 2001)
# The share of a day's events until a moment: the first and the last minute have five times as many as one at noon.
_EVENTS_UNTIL = 0.55 * _CLOCK + 0.225 * ((2 * _CLOCK - 1) ** 5 + 1)


class Story(NamedTuple):
    """What happens to one symbol of a day, from when to when in parts of the day's events."""

    kind: str
    symbol: int
    begins: float
    ends: float


# It opens far from the last close; nothing happens, and then it goes on at another price; prices of trades are
# delivered wrongly, and corrected later.
_GAP, _HALT, _WRONG = _KINDS = ("gap", "halt", "wrong prices")


class Event(NamedTuple):
    """A trade or a quote, with prices in cents."""

    symbol: str
    event_tm: str
    sequence: int
    is_trade: bool
    first_price: int
    first_size: int
    second_price: int
    second_size: int
    is_wrong: bool
    """Whether its price is delivered wrongly at first."""


@dataclass(frozen=True)
class Market:
    """The market of one trading day."""

    seed: int
    symbols: int
    day: date
    hours: tuple[time, time]
    """When it opens and closes."""
    exchanges: tuple[str, ...]
    """Each is the busiest of every so many symbols."""

    def events(self, exchange: str, count: int) -> Iterator[Event]:
        """Draw the events of an exchange, in the order of time."""
        rng = _drawn(self.seed, self.day, exchange)
        progress = (np.arange(count) + rng.random(count)) / max(count, 1)
        which = self._symbols_of(rng, exchange, progress)
        is_trade = rng.random(count) < _TRADES
        cents = 100 * self._prices(which, progress)
        is_early = np.exp(-12 * progress)
        half = cents * self._spreads[which] * (1 + 1.5 * is_early) * rng.uniform(0.7, 1.4, count) / 2
        middle = cents + half * rng.normal(0, 0.3, count)
        bid = np.floor(middle - half).astype(np.int64)
        ask = np.maximum(np.ceil(middle + half).astype(np.int64), bid + 1)
        side = rng.random(count)
        traded = np.where(side < 0.42, bid, np.where(side < 0.84, ask, (bid + ask) // 2))
        lots, other_lots = 100 * np.minimum(rng.geometric(0.35, (2, count)), 60)
        odd = rng.integers(1, 100, count)
        columns = (
            self._moments(progress),
            _numbered(which),
            is_trade,
            np.where(is_trade, traded, bid),
            np.where(is_trade & (rng.random(count) < 0.3), odd, lots),
            ask,
            other_lots,
            is_trade & self._is_in_story(which, progress, _WRONG),
        )
        names = [_name(number) for number in range(self.symbols)]
        rows = zip(which.tolist(), *(column.tolist() for column in columns), strict=True)
        return (Event(names[symbol], *rest) for symbol, *rest in rows)

    @cached_property
    def story(self) -> Story:
        """What happens to one symbol."""
        return _news(self.seed, self.symbols, _week_days(self.day))[0]

    @cached_property
    def _spreads(self) -> Floats:
        """Of each symbol, as parts of the price: the busier, the narrower."""
        widths = np.minimum(np.arange(self.symbols) + 1, 30) ** 0.6
        return widths * _drawn(self.seed, "spreads").uniform(1.2e-4, 2.2e-4, self.symbols)

    @cached_property
    def _paths(self) -> Floats:
        """The logarithms of the prices: a row per symbol, a column per point."""
        rng, number = _drawn(self.seed, self.day, "paths"), _week_days(self.day)
        last, close = (_levels(self.seed, self.symbols, number - back)[:, None] for back in (1, 0))
        along, opening = np.linspace(0, 1, _POINTS), rng.uniform(0, 0.5, (self.symbols, 1))
        of_change, spans = opening + (1 - opening) * along, 0.6 * _volatilities(self.seed, self.symbols)
        if self.story.kind == _GAP:
            of_change[self.story.symbol] = 0.9 + 0.1 * along
            spans[self.story.symbol] = 0.035  # so wide that a chart shows the last close
        elif self.story.kind == _HALT:
            is_before = along < (self.story.begins + self.story.ends) / 2
            of_change[self.story.symbol] = np.where(is_before, 0.08 * along, 0.85 + 0.15 * along)
        walks = np.cumsum(rng.standard_normal((self.symbols, _POINTS)) / np.sqrt(_POINTS), axis=1)
        walks -= walks[:, :1]
        walks -= along * walks[:, -1:]  # they end where they have begun
        paths: Floats = last + (close - last) * of_change + spans[:, None] * walks
        return paths

    def _symbols_of(self, rng: np.random.Generator, exchange: str, progress: Floats) -> Integers:
        """Which symbol each event is of."""
        numbers = np.arange(self.symbols)
        is_busiest = numbers % len(self.exchanges) == self.exchanges.index(exchange)
        weights = (numbers + 2) ** -0.6 * np.where(is_busiest, 1, 0.6)
        weights[self.story.symbol] *= 2
        up_to = np.cumsum(weights / weights.sum())
        drawn = np.minimum(np.searchsorted(up_to, rng.random(len(progress))), self.symbols - 1)
        return np.where(self._is_in_story(drawn, progress, _HALT), (drawn + 1) % self.symbols, drawn)

    def _is_in_story(self, which: Integers, progress: Floats, kind: str) -> Booleans:
        is_during = (self.story.begins <= progress) & (progress < self.story.ends)
        found: Booleans = is_during & (which == self.story.symbol) & (self.story.kind == kind)
        return found

    def _prices(self, which: Integers, progress: Floats) -> Floats:
        """In dollars: on the line between the points around each moment."""
        at = progress * (_POINTS - 1)
        point = np.minimum(at.astype(np.int64), _POINTS - 2)
        before, after = self._paths[which, point], self._paths[which, point + 1]
        prices: Floats = np.exp(before + (after - before) * (at - point))
        return prices

    def _moments(self, progress: Floats) -> np.ndarray[Any, Any]:
        """As text, to the millisecond."""
        opens, closes = (np.datetime64(datetime.combine(self.day, hour), "ms") for hour in self.hours)
        passed = np.interp(progress, _EVENTS_UNTIL, _CLOCK) * (closes - opens).astype(np.int64)
        moments: np.ndarray[Any, Any] = np.datetime_as_string(opens + passed.astype(np.int64))
        return np.strings.replace(moments, "T", " ")


def _name(number: int) -> str:
    """The name of a symbol; beyond the companies it is XQ with letters."""
    if number < len(_TICKERS):
        return _TICKERS[number]
    letters, number = "", number - len(_TICKERS) + 1
    while number:
        number, letter = divmod(number - 1, 26)
        letters = ascii_uppercase[letter] + letters
    return f"XQ{letters}"


def _drawn(*what: object) -> np.random.Generator:
    """Random numbers that are the same for the same words."""
    return np.random.default_rng(int.from_bytes(sha256("/".join(map(str, what)).encode()).digest()))


@lru_cache(maxsize=2 * _DAYS)
def _news(seed: int, symbols: int, number: int) -> tuple[Story, Floats]:
    """The story of a day, and by how much the logarithm of each price changes."""
    rng, kind = _drawn(seed, "news", number), _KINDS[number % len(_KINDS)]
    # Each day another symbol, and the next time something else happens to it.
    symbol, begins = (number + number // _FIRST_SYMBOLS) % min(symbols, _FIRST_SYMBOLS), rng.uniform(*_STORY_BEGINS)
    of_story = rng.choice([-1, 1]) * rng.uniform(0.04, 0.07)
    changes = _volatilities(seed, symbols) * np.clip(rng.standard_normal(symbols), -2.5, 2.5)
    if kind != _WRONG:
        changes[symbol] = of_story
    of_events = np.interp([begins, begins + _STORY_LASTS], _CLOCK, _EVENTS_UNTIL)
    return Story(kind, symbol, *of_events.tolist()), changes


def _volatilities(seed: int, symbols: int) -> Floats:
    """By how much the logarithm of each price usually changes in a day."""
    return _drawn(seed, "volatilities").uniform(0.007, 0.016, symbols)


def _levels(seed: int, symbols: int, number: int) -> Floats:
    """The logarithms of the prices at the end of a day."""
    changes = np.array([_news(seed, symbols, number - back)[1] for back in range(_DAYS)])
    levels: Floats = np.log(_drawn(seed, "prices").uniform(12, 320, symbols)) + _REMAINS ** np.arange(_DAYS) @ changes
    return levels


def _week_days(day: date) -> int:
    """The number of a weekday; the next one has the next number, and so a weekend changes nothing."""
    weeks, rest = divmod(day.toordinal() - 1, 7)
    return 5 * weeks + min(rest, 4)


def _numbered(which: Integers) -> Integers:
    """The events of each symbol, numbered from 1."""
    order = np.argsort(which, kind="stable")
    numbers = np.empty_like(which)
    numbers[order] = np.arange(len(which)) - np.searchsorted(which[order], which[order]) + 1
    return numbers
