"""One word for each trading day of each exchange: whether it can be used, and why not.

    available   its report is published, and every measure of its quality is within its limits
    degraded    its report is published, and something is not as expected
    pending     it is under way: delivered, or ingested and its report is not made from that, or not with the
                corporate actions that are known now; or it is today
    missing     nothing of it is published, and nothing is delivered

It looks at manifests, and at the raw folder for corporate actions and for days of which nothing is published.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date, datetime, time
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

from capstone_dagster.deliveries.listing import Arrival, DayReader, RawDay
from capstone_dagster.readers.rows import spec_of
from capstone_dagster.settings import Settings
from capstone_dagster.trading_days import NEW_YORK, TradingDays, trading_days
from spark_code.corporate_actions import Actions, CorporateActions
from spark_code.lake import Lake
from spark_code.locations import StorageError
from spark_code.manifest import Manifest
from spark_code.quality import BEYOND, STOPS
from spark_code.raw_files import SOURCES, RawFolder, Source
from spark_code.schemas import BARS, CLOSES, DAILY_SUMMARY, EVENTS, QUALITY, QUOTE_ANALYTICS, QUOTES, TRADES, Table

if TYPE_CHECKING:
    import pyarrow as pa

_CLOSE = time(16)
# The report is whole with its last table.
_REPORT = (DAILY_SUMMARY, BARS)
_LOOKED_AT = (EVENTS, TRADES, QUOTES, CLOSES, QUALITY, *_REPORT, QUOTE_ANALYTICS)


class Word(StrEnum):
    """Whether a day can be used."""

    AVAILABLE = "available"
    DEGRADED = "degraded"
    PENDING = "pending"
    MISSING = "missing"


@dataclass(frozen=True)
class Day:
    """One trading day of one exchange."""

    trade_dt: date
    exchange: str
    word: str
    reason: str | None
    """Why it is not simply available; also that the exchange closes early."""
    since: str | None
    """When what is published of it was published."""
    version: str | None
    """The version of report/daily_summary that is published."""


def are_made_from(of: Mapping[Table, Manifest], made: Sequence[Table], sources: Sequence[Table]) -> bool:
    """Whether tables of a day are all published, and made from what is published of their sources."""
    known = [(of.get(table), source, of.get(source)) for table in made for source in sources]
    return all(one and other and one.was_made_from(source.path, other) for one, source, other in known)


@dataclass(frozen=True)
class _Published:
    """What is published of a day."""

    of: Mapping[Table, Manifest]
    day: date
    closes_before: Manifest | None
    """What is published of the closes that the report reads, of the trading day before."""
    actions: Actions | None
    """The corporate actions of the day; None if they cannot be looked at."""

    def __getitem__(self, table: Table) -> Manifest | None:
        return self.of.get(table)

    @property
    def is_loaded(self) -> bool:
        """Whether the end-of-day load was made from the lines that are published."""
        return are_made_from(self.of, (TRADES, QUOTES), (EVENTS,))

    @property
    def rolled_back(self) -> str | None:
        """Which table people have rolled back, and why."""
        found = ((table, manifest.rolled_back) for table, manifest in self.of.items() if manifest.rolled_back)
        return next((f"{table.path} was rolled back by {why['by']}: {why['reason']}" for table, why in found), None)

    @property
    def newer(self) -> str | None:
        """What the report and its measures are not made from yet."""
        if not self.is_loaded or not are_made_from(self.of, _REPORT, (TRADES, QUOTES)):
            return "a correction is ingested"
        made = [manifest for table in (QUALITY, *_REPORT) if (manifest := self[table])]
        before = self.closes_before
        if before and not all(manifest.was_made_from(CLOSES.path, before) for manifest in made):
            return f"the closes of {before.trade_dt} have changed"
        if self.actions and not all(map(self.actions.are_those_of, made)):
            return "its corporate actions have changed"
        return None

    @property
    def measures(self) -> Manifest | None:
        """The measures of what is loaded; None if they are of other rows."""
        is_of_these = self.is_loaded and are_made_from(self.of, (QUALITY,), (EVENTS, TRADES, QUOTES))
        return self[QUALITY] if is_of_these else None


def days(first: str | date | None = None, last: str | date | None = None) -> "pa.Table":
    """A word for each trading day and exchange, as an Arrow table: one day, a range, or all until today."""
    import pyarrow as pa  # noqa: PLC0415 - takes 0.15 s, for those who read rows

    settings = Settings.from_environment()
    calendar = trading_days(settings.first_trading_day)
    spec = spec_of(first, last)
    found = list(words(settings, calendar.parse(spec) if spec else until_today(calendar)))
    types = {field.name: pa.date32() if field.name == "trade_dt" else pa.string() for field in fields(Day)}
    return pa.Table.from_pylist([asdict(day) for day in found], pa.schema(list(types.items())))


def until_today(calendar: TradingDays) -> list[date]:
    """The trading days up to today, in New York."""
    return sorted(calendar.back_from(datetime.now(NEW_YORK).date()))


def words(settings: Settings, wanted: Sequence[date]) -> Iterator[Day]:
    """A word for each of these days and each exchange."""
    if not wanted:
        return
    lake, raw, calendar = Lake(settings.lake_uri), _Raw(settings.raw_uri), trading_days(settings.first_trading_day)
    first = calendar.previous(wanted[0]) or wanted[0]  # of which the closes count
    of = {table: {found.trade_dt: found for found in lake.published(table, first, wanted[-1])} for table in _LOOKED_AT}
    actions = _actions(settings, calendar, wanted)
    for day in wanted:
        published = _Published(
            {table: found[f"{day}"] for table, found in of.items() if f"{day}" in found},
            day,
            of[CLOSES].get(f"{calendar.previous(day)}"),
            actions.get(day),
        )
        _, closes = calendar.hours(day)
        early = f"closes at {closes:%H:%M}" if closes < _CLOSE else None
        for source in SOURCES:
            word, reason = _word(published, raw, source)
            summary = published[DAILY_SUMMARY]
            yield Day(
                day,
                source.exchange,
                word.value,
                "; ".join(filter(None, (early, reason))) or None,
                summary.published_at if summary else None,
                summary.version if summary else None,
            )


def _actions(settings: Settings, calendar: TradingDays, wanted: Sequence[date]) -> Mapping[date, Actions]:
    """The corporate actions of each day; none of any day if they cannot be looked at."""
    known = CorporateActions(settings.raw_uri)
    try:
        return {day: known.of(day, calendar.previous(day)) for day in wanted}
    except StorageError:
        return {}


def _word(published: _Published, raw: "_Raw", source: Source) -> tuple[Word, str | None]:
    if not any(published[table] for table in _REPORT):
        return _unreported(published) if published[EVENTS] else _delivered(raw, source, published.day)
    if lost := published.rolled_back if published[EVENTS] else "its events are no longer published":
        return Word.DEGRADED, lost
    if newer := published.newer:
        return Word.PENDING, f"{newer}, and its report is not published yet"
    measures = published.measures
    if not measures:
        return Word.DEGRADED, f"its quality is not measured: capstone run {published.day} --job analytical"
    beyond = measures.facts.get(BEYOND, {}).get(source.exchange)
    if beyond is None:
        return Word.MISSING, "the exchange was unknown when the day was made"
    return (Word.DEGRADED, "; ".join(beyond)) if beyond else (Word.AVAILABLE, None)


def _unreported(published: _Published) -> tuple[Word, str | None]:
    if published.measures and (stops := published.measures.facts.get(STOPS)):
        return Word.PENDING, f"it is beyond limits that stop it: {'; '.join(stops)}"
    return Word.PENDING, "it is ingested, and its report is not published yet"


class _Raw:
    """The raw folder: on S3, one list call per format says which days are there, and another lists many of them."""

    def __init__(self, uri: str) -> None:
        self._folder = RawFolder(uri)
        self._read: dict[date, RawDay] = {}

    def arrival(self, source: Source, day: date) -> Arrival:
        """What the exchange has delivered for the day."""
        if day not in self._read:
            self._read[day] = self._days.read(day)
        return self._read[day].arrivals[self._folder.sources.index(source)]

    @cached_property
    def _days(self) -> DayReader:
        formats = dict.fromkeys(source.format for source in self._folder.sources)
        return DayReader(self._folder, {top: frozenset(self._folder.storage.folders(top)) for top in formats})


def _delivered(raw: _Raw, source: Source, day: date) -> tuple[Word, str | None]:
    try:
        arrival = raw.arrival(source, day)
    except StorageError as error:
        return Word.PENDING, f"whether it is delivered cannot be seen: {error}"
    if arrival.unreadable:
        return Word.PENDING, f"whether it is delivered cannot be seen: {arrival.unreadable}"
    if arrival.delivery.files:
        return Word.PENDING, "it is delivered, and not ingested yet"
    if day == datetime.now(NEW_YORK).date():
        return Word.PENDING, "it is today, and nothing is delivered yet"
    return Word.MISSING, None
