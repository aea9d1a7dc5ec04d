"""One look at the raw folder: which days lie there, what has come of them, and whether a delivery is complete.

A full listing of 100,000 objects on S3 takes half a minute and more, so a look takes a part of them, and the next
goes on where it stopped. What was seen in earlier looks is in ``new_files_cursor``.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from capstone_dagster.deliveries.listing import DayReader, RawDay
from capstone_dagster.deliveries.misplaced_files import Stray, sort_out
from capstone_dagster.trading_days import TradingDays
from spark_code.raw_files import SUCCESS, Delivery, RawFolder

# Of the minute that Dagster gives a sensor.
_SECONDS = 2.0
# Nearly all that is new is of these: they are looked at every time.
_NEWEST_DAYS = 5


@dataclass(frozen=True)
class Scan:
    """What one look has found."""

    watched: Sequence[date]
    """The latest trading days that have a folder, the oldest first."""
    older: Sequence[date]
    """Those before, which nobody watches."""
    days: Mapping[date, RawDay]
    """Of the watched days those that were looked at this time."""
    strays: Sequence[Stray]
    """Those of the raw folder, and of the days that were looked at."""
    go_on_at: date | None
    """The day with which the next look goes on; None if it begins anew."""


@dataclass(frozen=True)
class RawScan:
    """Looks at one raw folder."""

    raw: RawFolder
    calendar: TradingDays
    clock: Callable[[], float]
    """In seconds, from any moment on."""

    def look(self, today: date, most_days: int, known: Container[date], start: date | None) -> Scan:
        """Look at watched days: at first at those that nobody knows, then at the others from ``start`` on."""
        tops = dict.fromkeys(source.format for source in self.raw.sources)
        names = {folder: self.raw.storage.names(folder) for folder in ("", *tops)}
        days, strays = sort_out(self.raw, names, self.calendar, today)
        watched, older = days[-most_days:], days[:-most_days]
        reader = DayReader(self.raw, {top: frozenset(names[top][0]) for top in tops})
        looked, go_on_at = self._sweep(reader, watched, known, start)
        for day in watched[-_NEWEST_DAYS:]:
            if day in known and day not in looked:
                looked[day] = reader.read(day)
        strays += [stray for day in sorted(looked) for stray in looked[day].strays]
        return Scan(watched, older, looked, strays, go_on_at)

    def _sweep(
        self, reader: DayReader, watched: Sequence[date], known: Container[date], start: date | None
    ) -> tuple[dict[date, RawDay], date | None]:
        """As many days as there is time for, and at least one; and where the next look goes on."""
        deadline = self.clock() + _SECONDS
        looked: dict[date, RawDay] = {}
        unknown = [day for day in watched if day not in known]
        others = [day for day in watched if day in known]
        for day in [*unknown, *beginning_with(start, others)]:
            if looked and (self.clock() >= deadline or reader.list_calls > len(watched)):
                return looked, day if day in known else start
            looked[day] = reader.read(day)
        return looked, None


def beginning_with(start: date | None, days: Sequence[date]) -> list[date]:
    """The days in their order from one of them on, and then those before it."""
    return sorted(days, key=lambda day: (start is not None and day < start, day))


def still_arriving(deliveries: Sequence[Delivery], quiet_seconds: float, now: datetime) -> list[str]:
    """The exchanges whose delivery is not complete, asked by somebody who has not seen it before."""
    return [found.source.exchange for found in deliveries if why_incomplete(found, quiet_seconds, now, since=now)]


def why_incomplete(delivery: Delivery, quiet_seconds: float, now: datetime, since: datetime) -> str | None:
    """What the delivery waits for, or None if it is complete; ``since`` when it was seen as it is now.

    Where clocks differ, the time of a file may lie in the future: then it counts since when nothing has changed.
    """
    if not delivery.files:
        return "it has delivered no data file"
    newest = max(delivery.files, key=lambda stored: stored.last_modified)
    changed = since if newest.last_modified > now else newest.last_modified
    unchanged = (now - changed).total_seconds()
    if delivery.has_success or unchanged >= quiet_seconds:
        return None
    name = newest.key.rsplit("/", 1)[-1]
    return (
        f"{name} is {unchanged:.0f} s old; a {SUCCESS} that is not older, or {quiet_seconds:g} s without a change, "
        "completes the delivery"
    )
