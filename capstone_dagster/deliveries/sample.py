"""Raw files of invented trading days: for the demo, for tests and for sizing a machine.

The same arguments write the same bytes. A day looks like a real one: quotes and trades around a changing price, later
a gzipped file with corrections and late events, and half a percent of lines that must be rejected.
"""

import gzip
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from string import ascii_uppercase

from capstone_dagster.trading_days import trading_days
from spark_code.errors import ExpectedError
from spark_code.raw_files import SOURCES, Source
from spark_code.storage import Storage

_TRADES, _CORRECTIONS, _LATE, _BAD = 0.1, 0.01, 0.02, 0.005
_LINES_PER_FILE = 250_000
_OPEN_MS, _SESSION_MS = (9 * 60 + 30) * 60_000, int(6.5 * 3_600_000)
_ON_TIME, _LATER = "16:15:00.000", "20:30:00.000"
# Every folder of a sample has this file; a folder without it is never overwritten.
_MARKER = "_SAMPLE"


class SampleError(ExpectedError):
    """A sample cannot be written."""


@dataclass(frozen=True)
class _Event:
    trade_dt: str
    file_tm: str
    event_type: str
    symbol: str
    event_tm: str
    event_seq_nb: int
    exchange: str
    numbers: tuple[str, ...]
    """Price and size of a trade; bid, bid size, ask and ask size of a quote."""

    def csv(self) -> str:
        return (
            f"{self.trade_dt},{self.file_tm},{self.event_type},{self.symbol},{self.event_tm},"
            f"{self.event_seq_nb},{self.exchange},{','.join(self.numbers)}"
        )

    def json(self) -> str:
        names = ("price", "size") if len(self.numbers) == 2 else ("bid_pr", "bid_size", "ask_pr", "ask_size")
        numbers = ",".join(f'"{name}":{number}' for name, number in zip(names, self.numbers, strict=True))
        return (
            f'{{"trade_dt":"{self.trade_dt}","file_tm":"{self.file_tm}","event_type":"{self.event_type}",'
            f'"symbol":"{self.symbol}","event_tm":"{self.event_tm}","event_seq_nb":{self.event_seq_nb},'
            f'"exchange":"{self.exchange}",{numbers}}}'
        )

    def line(self, source: Source) -> str:
        return self.csv() if source.format == "csv" else self.json()


@dataclass
class _Delivery:
    """The lines of one exchange for a day: those on time and those that come later."""

    source: Source
    lines: list[str] = field(default_factory=list)
    later: list[str] = field(default_factory=list)

    def add(self, event: _Event, *, late: bool = False) -> None:
        if late:
            self.later.append(replace(event, file_tm=f"{event.trade_dt} {_LATER}").line(self.source))
        else:
            self.lines.append(event.line(self.source))

    def files(self) -> Iterator[tuple[str, bytes]]:
        suffix = "csv" if self.source.format == "csv" else "json"
        for start in range(0, len(self.lines), _LINES_PER_FILE):
            chunk = self.lines[start : start + _LINES_PER_FILE]
            yield f"part-{start // _LINES_PER_FILE:05}.{suffix}", _bytes(chunk)
        if self.later:
            yield f"later-00000.{suffix}.gz", gzip.compress(_bytes(self.later), compresslevel=6, mtime=0)


@dataclass(frozen=True)
class Sample:
    """Invented trading days of a given size."""

    symbols: int
    events: int
    seed: int

    def write(self, out: str, first: date, days: int) -> Iterator[tuple[date, int, int]]:
        """Write the days; yields each with its number of files and their bytes."""
        storage, calendar = Storage(out), trading_days(first)
        calendar.require(first)
        day: date | None = first
        for _ in range(days):
            if day is None:
                raise SampleError(f"the calendar ends before {days} days from {first} on")
            files = [file for i, source in enumerate(SOURCES) for file in self._write(storage, source, day, i)]
            yield day, len(files), sum(files)
            day = calendar.next(day)

    def _write(self, storage: Storage, source: Source, day: date, position: int) -> list[int]:
        folder = source.folder(day)
        present = [stored.key for stored in storage.objects(folder)]
        if present and f"{folder}/{_MARKER}" not in present:
            raise SampleError(f"{storage.uri(folder)} holds files that are no sample; choose another folder")
        share = self.events // len(SOURCES) + (position < self.events % len(SOURCES))
        files = list(self._delivery(source, day, share).files())
        stale = [key for key in present if not key.endswith(f"/{_MARKER}")]
        storage.write(f"{folder}/{_MARKER}", b"")
        if stale:
            storage.delete(stale)
        for name, content in files:
            storage.write(f"{folder}/{name}", content)
        storage.write(f"{folder}/_SUCCESS", b"")
        return [len(content) for _, content in files]

    def _delivery(self, source: Source, day: date, lines: int) -> _Delivery:
        rng = random.Random(f"{self.seed}/{day}/{source.exchange}")  # noqa: S311 - reproducible, not secret
        names = [_symbol(number) for number in range(self.symbols)]
        market = _Market(rng, source.exchange, day, {name: self._opening(rng, name) for name in names})
        delivery = _Delivery(source)
        for i in range(lines):
            chance = rng.random()
            event = market.event(_OPEN_MS + _SESSION_MS * i // lines)
            if chance < _BAD:
                delivery.lines.append(_spoil(rng, event, source))
            elif chance < _BAD + _CORRECTIONS and market.last:
                delivery.add(market.corrected(), late=True)
            else:
                delivery.add(event, late=chance > 1 - _LATE)
                market.last = event
        return delivery

    def _opening(self, rng: random.Random, symbol: str) -> float:
        """A price within two percent of the symbol's level, which is the same on all days."""
        level = random.Random(f"{self.seed}/{symbol}").uniform(10, 400)  # noqa: S311 - as above
        return level * rng.uniform(0.98, 1.02)


class _Market:
    """Prices that change at random, and the events at these prices."""

    def __init__(self, rng: random.Random, exchange: str, day: date, openings: dict[str, float]) -> None:
        self._rng, self._exchange, self._day = rng, exchange, day
        self._symbols, self._prices = list(openings), list(openings.values())
        self._sequence = [0] * len(openings)
        self.last: _Event | None = None

    def event(self, ms: int) -> _Event:
        rng = self._rng
        which = int(rng.random() * len(self._symbols))
        self._sequence[which] += 1
        price = self._prices[which] = max(1.0, self._prices[which] + rng.uniform(-0.05, 0.05))
        size = 100 * (1 + int(rng.random() * 9))
        is_trade = rng.random() < _TRADES
        spread = rng.uniform(0.01, 0.1)
        numbers = (
            (f"{price:.4f}", str(size))
            if is_trade
            else (f"{price - spread:.4f}", str(size), f"{price + spread:.4f}", str(1000 - size))
        )
        return _Event(
            trade_dt=f"{self._day}",
            file_tm=f"{self._day} {_ON_TIME}",
            event_type="T" if is_trade else "Q",
            symbol=self._symbols[which],
            event_tm=f"{self._day} {_clock(ms)}",
            event_seq_nb=self._sequence[which],
            exchange=self._exchange,
            numbers=numbers,
        )

    def corrected(self) -> _Event:
        """The last event again, at another price."""
        event = self.last
        if event is None:
            raise SampleError("there is nothing to correct yet")
        first, *rest = event.numbers
        return replace(event, numbers=(f"{float(first) + 0.01:.4f}", *rest))


def _spoil(rng: random.Random, event: _Event, source: Source) -> str:
    """One of the faults that real deliveries have."""
    day_before = date.fromisoformat(event.trade_dt) - timedelta(days=1)
    first, *rest = event.numbers
    return rng.choice(
        (
            "",
            event.line(source)[: rng.randrange(20, 60)],
            replace(event, event_type="X").line(source),
            replace(event, symbol="").line(source),
            replace(event, event_tm=f"{event.trade_dt} 25:00:00").line(source),
            replace(event, numbers=("NaN", *rest)).line(source),
            replace(event, numbers=(f"-{first}", *rest)).line(source),
            replace(event, trade_dt=f"{day_before}").line(source),
            replace(event, exchange="ARCA").line(source),
        )
    )


def _symbol(number: int) -> str:
    letters = ""
    number += 1
    while number:
        number, letter = divmod(number - 1, 26)
        letters = ascii_uppercase[letter] + letters
    return f"SYM{letters}"


def _clock(ms: int) -> str:
    seconds, ms = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}.{ms:03}"


def _bytes(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
