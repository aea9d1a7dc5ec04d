"""Raw files of invented trading days: for the demo, for tests and for sizing a machine.

The same arguments write the same bytes. A day looks like a real one: the quotes and trades of a ``market``, later a
gzipped file with corrections and late events, and half a percent of lines that must be rejected.
"""

import gzip
import random
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import TYPE_CHECKING, NamedTuple

from capstone_dagster.trading_days import NoTradingDayError, parse_day, trading_days
from spark_code.errors import ExpectedError
from spark_code.raw_files import SOURCES, RawFolder, Source
from spark_code.storage import Storage

if TYPE_CHECKING:
    from capstone_dagster.deliveries.market import Event, Market

_CORRECTIONS, _LATE, _BAD = 0.01, 0.02, 0.005
# What a wrong price is of the right one.
_WRONG = 1.08
_LINES_PER_FILE = 250_000
_ON_TIME, _LATER = "16:15:00.000", "20:30:00.000"
# Every folder of a sample has this file, which says of which sample, and besides it only files of these names. A folder
# with anything else is never changed.
_MARKER = "_SAMPLE"
_NAMES = re.compile(rf"{_MARKER}|_SUCCESS|(part|later)-[0-9]{{5}}\.(csv|json)(\.gz)?")


class SampleError(ExpectedError):
    """A sample cannot be written."""


class _Record(NamedTuple):
    """The fields of a line."""

    trade_dt: str
    file_tm: str
    event_type: str
    symbol: str
    event_tm: str
    event_seq_nb: int
    exchange: str
    numbers: tuple[str | int, ...]
    """Price and size of a trade; bid, bid size, ask and ask size of a quote."""

    def line(self, source: Source) -> str:
        if source.format == "csv":
            return ",".join(map(str, (*self[:-1], *self.numbers)))
        names = ("price", "size") if len(self.numbers) == 2 else ("bid_pr", "bid_size", "ask_pr", "ask_size")
        numbers = ",".join(f'"{name}":{number}' for name, number in zip(names, self.numbers, strict=True))
        return (
            f'{{"trade_dt":"{self.trade_dt}","file_tm":"{self.file_tm}","event_type":"{self.event_type}",'
            f'"symbol":"{self.symbol}","event_tm":"{self.event_tm}","event_seq_nb":{self.event_seq_nb},'
            f'"exchange":"{self.exchange}",{numbers}}}'
        )


@dataclass
class _Delivery:
    """The lines of one exchange for a day: those on time and those that come later."""

    source: Source
    day: str
    lines: list[str] = field(default_factory=list)
    later: list[str] = field(default_factory=list)

    def add(self, event: "Event", *, late: bool = False) -> None:
        (self.later if late else self.lines).append(self.record(event, _LATER if late else _ON_TIME).line(self.source))

    def record(self, event: "Event", arrives: str = _ON_TIME) -> _Record:
        first = f"{event.first_price / 100:.2f}", event.first_size
        return _Record(
            trade_dt=self.day,
            file_tm=f"{self.day} {arrives}",
            event_type="T" if event.is_trade else "Q",
            symbol=event.symbol,
            event_tm=event.event_tm,
            event_seq_nb=event.sequence,
            exchange=self.source.exchange,
            numbers=first if event.is_trade else (*first, f"{event.second_price / 100:.2f}", event.second_size),
        )

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
        from capstone_dagster.deliveries.market import Market  # noqa: PLC0415 - loads NumPy, for those who invent days

        storage, calendar = Storage(out), trading_days(first)
        calendar.require(first)
        exchanges = tuple(source.exchange for source in SOURCES)
        day: date | None = first
        for _ in range(days):
            if day is None:
                raise SampleError(f"the calendar ends before {days} days from {first} on")
            market = Market(self.seed, self.symbols, day, calendar.hours(day), exchanges)
            files = [file for i, source in enumerate(SOURCES) for file in self._write(storage, source, market, i)]
            yield day, len(files), sum(files)
            day = calendar.next(day)

    def remove(self, out: str, days: Iterable[date]) -> None:
        """Remove those of the days that are of this very sample."""
        raw = RawFolder(out)
        for day in days:
            for folder in (source.folder(day) for source in SOURCES):
                present = [stored.key for stored in raw.storage.objects(folder)]
                marker = raw.storage.read(f"{folder}/{_MARKER}")
                if _is_sample(folder, present) and marker == self._marker:
                    raw.storage.delete(present)

    @property
    def _marker(self) -> bytes:
        return f"symbols={self.symbols} events={self.events} seed={self.seed}\n".encode()

    def _write(self, storage: Storage, source: Source, market: "Market", position: int) -> list[int]:
        folder = source.folder(market.day)
        present = [stored.key for stored in storage.objects(folder)]
        if present and not _is_sample(folder, present):
            raise SampleError(f"{storage.uri(folder)} holds files that are no sample; choose another folder")
        share = self.events // len(SOURCES) + (position < self.events % len(SOURCES))
        files = list(self._delivery(source, market, share).files())
        stale = [key for key in present if not key.endswith(f"/{_MARKER}")]
        storage.write(f"{folder}/{_MARKER}", self._marker)
        if stale:
            storage.delete(stale)
        for name, content in files:
            storage.remove_unfinished(f"{folder}/{name}")
            storage.write(f"{folder}/{name}", content)
        storage.write(f"{folder}/_SUCCESS", b"")
        return [len(content) for _, content in files]

    def _delivery(self, source: Source, market: "Market", lines: int) -> _Delivery:
        rng = random.Random(f"{self.seed}/{market.day}/{source.exchange}")  # noqa: S311 - reproducible, not secret
        delivery = _Delivery(source, f"{market.day}")
        last: Event | None = None
        wrong: list[Event] = []
        for event in market.events(source.exchange, lines):
            chance = rng.random()
            if chance < _BAD:
                delivery.lines.append(_spoil(rng, delivery.record(event), source))
            elif chance < _BAD + _CORRECTIONS and last:
                delivery.add(wrong.pop(0) if wrong else _corrected(last), late=True)
            elif chance > 1 - _LATE:
                delivery.add(event, late=True)
            elif event.is_wrong:
                wrong.append(event)
                delivery.add(event._replace(first_price=int(_WRONG * event.first_price)))
            else:
                delivery.add(event)
                last = event
        return delivery


def has_only_samples(raw: RawFolder) -> bool:
    """Whether there are no days in a raw folder but samples."""
    return all(_is_day_of_sample(raw, day) for day in _days(raw))


def last_day_of_samples(raw: RawFolder) -> date | None:
    """The last day in a raw folder if it is of a sample: then nobody delivers the days after it."""
    last = max(_days(raw), default=None)
    return last if last and _is_day_of_sample(raw, last) else None


def _days(raw: RawFolder) -> set[date]:
    """The days that have a folder, trading days or not."""
    found = set()
    for name in {name for source in raw.sources for name in raw.storage.names(source.format)[0]}:
        with suppress(NoTradingDayError):
            found.add(parse_day(name))
    return found


def _is_day_of_sample(raw: RawFolder, day: date) -> bool:
    folders = [source.folder(day) for source in raw.sources]
    found = [(folder, [stored.key for stored in raw.storage.objects(folder)]) for folder in folders]
    filled = [(folder, present) for folder, present in found if present]
    # A folder without files, or of an unknown exchange alone, is no sample: somebody has made it.
    return bool(filled) and all(_is_sample(folder, present) for folder, present in filled)


def _is_sample(folder: str, present: Collection[str]) -> bool:
    names = [key.removeprefix(f"{folder}/") for key in present]
    return _MARKER in names and all(_NAMES.fullmatch(name) for name in names)


def _corrected(event: "Event") -> "Event":
    """The event again, a cent away."""
    return event._replace(first_price=event.first_price + (1 if event.is_trade else -1))


def _spoil(rng: random.Random, record: _Record, source: Source) -> str:
    """One of the faults that real deliveries have."""
    day_before = date.fromisoformat(record.trade_dt) - timedelta(days=1)
    first, *rest = record.numbers
    return rng.choice(
        (
            "",
            record.line(source)[: rng.randrange(20, 60)],
            record._replace(event_type="X").line(source),
            record._replace(symbol="").line(source),
            record._replace(event_tm=f"{record.trade_dt} 25:00:00").line(source),
            record._replace(numbers=("NaN", *rest)).line(source),
            record._replace(numbers=(f"-{first}", *rest)).line(source),
            record._replace(trade_dt=f"{day_before}").line(source),
            record._replace(exchange="ARCA").line(source),
        )
    )


def _bytes(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
