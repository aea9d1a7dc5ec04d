"""One look at the raw folder: which days are there, and what has arrived for them.

A full listing of 100,000 objects on S3 takes half a minute or more, so a look lists a part of them, and the next look
continues where it stopped. ``new_files_cursor`` remembers what earlier looks have seen.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from capstone_dagster.deliveries.listing import DayReader, RawDay
from capstone_dagster.deliveries.misplaced_files import Misplaced, sort_out
from capstone_dagster.trading_days import TradingDays, beginning_with
from spark_code.corporate_actions import FOLDER as REFERENCE
from spark_code.raw_files import RawFolder

# Out of the minute that Dagster gives a tick.
_SECONDS = 2.0
# Nearly all new files are of these days, so every look includes them.
_NEWEST_DAYS = 5


@dataclass(frozen=True)
class Scan:
    """The result of one look."""

    watched: Sequence[date]
    """The latest trading days that have a folder, the oldest first."""
    older: Sequence[date]
    """The days before those, which are not watched."""
    days: Mapping[date, RawDay]
    """The watched days that this look has listed."""
    misplaced: Sequence[Misplaced]
    """Those directly in the raw folder, and those of the days that this look has listed."""
    go_on_at: date | None
    """The day at which the next look continues; None if it starts over."""


@dataclass(frozen=True)
class RawScan:
    """Looks at one raw folder."""

    raw: RawFolder
    calendar: TradingDays
    clock: Callable[[], float]
    """In seconds, from any starting point."""

    def look(self, today: date, most_days: int, known: Container[date], start: date | None) -> Scan:
        """Look at watched days: first at those that are not known yet, then at the others from ``start`` on."""
        tops = dict.fromkeys(source.format for source in self.raw.sources)
        names = {"": self.raw.storage.names("")}
        # Few raw folders have one with corporate actions; the others cost no request for it.
        reference = {REFERENCE} & {*names[""][0]}
        names |= {folder: self.raw.storage.names(folder) for folder in (*tops, *reference)}
        days, misplaced = sort_out(self.raw, names, self.calendar, today)
        watched, older = days[-most_days:], days[:-most_days]
        reader = DayReader(self.raw, {top: frozenset(names[top][0]) for top in tops})
        looked, go_on_at = self._sweep(reader, watched, known, start)
        for day in watched[-_NEWEST_DAYS:]:
            if day in known and day not in looked:
                looked[day] = reader.read(day)
        misplaced += [found for day in sorted(looked) for found in looked[day].misplaced]
        return Scan(watched, older, looked, misplaced, go_on_at)

    def _sweep(
        self, reader: DayReader, watched: Sequence[date], known: Container[date], start: date | None
    ) -> tuple[dict[date, RawDay], date | None]:
        """Look at as many days as there is time for, at least one; also returns where the next look continues."""
        deadline = self.clock() + _SECONDS
        looked: dict[date, RawDay] = {}
        unknown = [day for day in watched if day not in known]
        others = [day for day in watched if day in known]
        for day in [*unknown, *beginning_with(start, others)]:
            if looked and (self.clock() >= deadline or reader.list_calls > len(watched)):
                return looked, day if day in known else start
            looked[day] = reader.read(day)
        return looked, None
