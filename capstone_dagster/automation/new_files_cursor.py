"""What the sensor ``new_files`` remembers from tick to tick, and its cursor.

The memory saves work and repeated warnings. If it is lost, run storage and lake still say what was run, so nothing is
run twice and nothing is lost.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Literal, Self

from capstone_dagster.automation.ticks import SensorCursor
from capstone_dagster.deliveries.misplaced_files import Misplaced
from capstone_dagster.trading_days import TradingDays

# In place of a fingerprint: the day was settled before this exchange became a source.
_NOTHING = "-"

Span = tuple[date, date]
"""The first and the last of consecutive trading days."""


class _Cursor(SensorCursor, frozen=True):
    """The memory as it is stored.

    Dagster keeps the cursor of every tick for a week, so settled days, which are nearly all, are stored compactly.
    """

    version: Literal[2] = 2
    """A cursor of another version is from another release, and is ignored."""
    exchanges: Sequence[str]
    settled: dict[date, str]
    """The fingerprints of these exchanges, separated by spaces."""
    open: dict[date, dict[str, tuple[str, float, bool]]]
    told: Sequence[str]
    past: Sequence[Span]
    next: tuple[date | None, date | None]


@dataclass
class Seen:
    """The last known state of one exchange's delivery of a day."""

    fingerprint: str
    since: datetime
    is_recorded: bool = False
    """Whether the delivery was complete and its arrival is in the run storage."""


@dataclass
class Ledger:
    """The memory."""

    days: dict[date, dict[str, Seen]] = field(default_factory=dict)
    """The deliveries of each day, by exchange."""
    settled: set[date] = field(default_factory=set)
    """The days that need nothing until their files change."""
    announced: set[str] = field(default_factory=set)
    """The misplaced files that a warning has named."""
    past: list[Span] = field(default_factory=list)
    """The days that are no longer watched: they were settled, or a warning has called them too old."""
    look_at: date | None = None
    """The day at which the next look at the raw folder continues."""
    judge_at: date | None = None
    """The day at which the next tick continues to judge."""

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """Read the text that ``str`` has written; if it cannot be read, begin with an empty memory."""
        stored = _Cursor.parse(text)
        try:
            return cls._of(stored) if stored else cls()
        except ValueError:  # more or fewer fingerprints than exchanges
            return cls()

    @classmethod
    def _of(cls, stored: _Cursor) -> Self:
        long_ago = datetime.fromtimestamp(0, UTC)
        settled = {
            day: {
                exchange: Seen(fingerprint, long_ago, is_recorded=True)
                for exchange, fingerprint in zip(stored.exchanges, fingerprints.split(), strict=True)
                if fingerprint != _NOTHING
            }
            for day, fingerprints in stored.settled.items()
        }
        not_settled = {
            day: {
                exchange: Seen(fingerprint, datetime.fromtimestamp(since, UTC), is_recorded)
                for exchange, (fingerprint, since, is_recorded) in seen.items()
            }
            for day, seen in stored.open.items()
        }
        return cls(settled | not_settled, set(settled), set(stored.told), list(stored.past), *stored.next)

    def __str__(self) -> str:
        exchanges = sorted({exchange for day in self.settled for exchange in self.days[day]})
        days = sorted(self.days.items())
        stored = _Cursor(
            exchanges=exchanges,
            settled={
                day: " ".join(seen[name].fingerprint if name in seen else _NOTHING for name in exchanges)
                for day, seen in days
                if day in self.settled
            },
            open={
                day: {
                    exchange: (one.fingerprint, one.since.timestamp(), one.is_recorded)
                    for exchange, one in seen.items()
                }
                for day, seen in days
                if day not in self.settled
            },
            told=sorted(self.announced),
            past=self.past,
            next=(self.look_at, self.judge_at),
        )
        return str(stored)

    def see(self, day: date, exchange: str, fingerprint: str, now: datetime) -> Seen:
        """Remember a delivery; returns everything known about it."""
        exchanges = self.days.setdefault(day, {})
        seen = exchanges.get(exchange)
        if seen is None or seen.fingerprint != fingerprint:
            seen = exchanges[exchange] = Seen(fingerprint, now)
            self.settled.discard(day)
        seen.since = min(seen.since, now)  # the clock may have been set back
        return seen

    def watch(self, watched: Collection[date], older: Sequence[date], calendar: TradingDays) -> list[Span]:
        """Forget the days that are not watched; returns the older ones that were never settled or announced."""
        news = [day for day in older if day not in self.settled and not any(a <= day <= b for a, b in self.past)]
        self.past = spans(older, calendar)
        self.days = {day: seen for day, seen in self.days.items() if day in watched}
        self.settled &= self.days.keys()
        return spans(news, calendar)

    def announce(self, misplaced: Sequence[Misplaced], not_looked_at: Collection[date]) -> list[Misplaced]:
        """Remember misplaced files; returns those that are new. Files that are gone are forgotten."""
        hidden = {f"{day}" for day in not_looked_at}
        before = {place for place in self.announced if place.partition("/")[2][:10] in hidden}
        news = [found for found in misplaced if found.place not in self.announced]
        self.announced = before | {found.place for found in misplaced}
        return news


def spans(days: Sequence[date], calendar: TradingDays) -> list[Span]:
    """Group sorted trading days into runs of consecutive ones."""
    made: list[Span] = []
    for day in days:
        if made and calendar.next(made[-1][1]) == day:
            made[-1] = (made[-1][0], day)
        else:
            made.append((day, day))
    return made
