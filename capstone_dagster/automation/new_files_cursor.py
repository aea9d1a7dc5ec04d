"""What the sensor ``new_files`` remembers from tick to tick, as the text of its cursor.

It saves work and repeated warnings. Whoever loses it finds out again from run storage and lake what was run, so that
nothing is run twice and nothing is lost.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Self

from capstone_dagster.deliveries.misplaced_files import Stray
from capstone_dagster.trading_days import TradingDays

# A cursor with another number is from another release, and counts as none.
_VERSION = 2
# Of a day that was settled when the exchange was none of the sources yet.
_NOTHING = "-"

Span = tuple[date, date]
"""The first and the last of consecutive trading days."""


@dataclass
class Seen:
    """What was last seen of one exchange's delivery of a day."""

    fingerprint: str
    since: datetime
    is_recorded: bool = False
    """Whether it was complete, and the run storage was told of it."""


@dataclass
class Ledger:
    """The memory."""

    days: dict[date, dict[str, Seen]] = field(default_factory=dict)
    """What was seen of every exchange."""
    settled: set[date] = field(default_factory=set)
    """The days that need nothing until their files change."""
    told: set[str] = field(default_factory=set)
    """The places of strays that were told."""
    past: list[Span] = field(default_factory=list)
    """The days that are not watched any more: settled before, or told to be too old."""
    look_at: date | None = None
    """The day with which the next look at the raw folder goes on."""
    judge_at: date | None = None
    """The day with which the next judging goes on."""

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """Read what ``str`` has written; what cannot be read counts as nothing."""
        try:
            given = json.loads(text or "{}")
            return cls._of(given) if given["version"] == _VERSION else cls()
        except (ValueError, LookupError, TypeError, AttributeError):
            return cls()

    @classmethod
    def _of(cls, given: Mapping[str, Any]) -> Self:
        exchanges = given["exchanges"]
        long_ago = datetime.fromtimestamp(0, UTC)
        days = {
            date.fromisoformat(day): {
                exchange: Seen(fingerprint, long_ago, is_recorded=True)
                for exchange, fingerprint in zip(exchanges, fingerprints.split(), strict=True)
                if fingerprint != _NOTHING
            }
            for day, fingerprints in given["settled"].items()
        }
        settled = set(days)
        for day, seen in given["open"].items():
            days[date.fromisoformat(day)] = {
                exchange: Seen(fingerprint, datetime.fromtimestamp(since, UTC), is_recorded)
                for exchange, (fingerprint, since, is_recorded) in seen.items()
            }
        past = [(date.fromisoformat(first), date.fromisoformat(last)) for first, last in given["past"]]
        look_at, judge_at = (text and date.fromisoformat(text) for text in given["next"])
        return cls(days, settled, set(given["told"]), past, look_at, judge_at)

    def __str__(self) -> str:
        # Dagster keeps the cursor of every tick for a week: the days that are settled, nearly all, are written short.
        exchanges = sorted({exchange for day in self.settled for exchange in self.days[day]})
        days = sorted(self.days.items())
        return json.dumps(
            {
                "version": _VERSION,
                "exchanges": exchanges,
                "settled": {
                    f"{day}": " ".join(seen[name].fingerprint if name in seen else _NOTHING for name in exchanges)
                    for day, seen in days
                    if day in self.settled
                },
                "open": {
                    f"{day}": {
                        exchange: [one.fingerprint, one.since.timestamp(), one.is_recorded]
                        for exchange, one in seen.items()
                    }
                    for day, seen in days
                    if day not in self.settled
                },
                "told": sorted(self.told),
                "past": [[f"{first}", f"{last}"] for first, last in self.past],
                "next": [day and f"{day}" for day in (self.look_at, self.judge_at)],
            },
            separators=(",", ":"),
        )

    def see(self, day: date, exchange: str, fingerprint: str, now: datetime) -> Seen:
        """Note what lies there; returns it with what is known of it."""
        exchanges = self.days.setdefault(day, {})
        seen = exchanges.get(exchange)
        if seen is None or seen.fingerprint != fingerprint:
            seen = exchanges[exchange] = Seen(fingerprint, now)
            self.settled.discard(day)
        seen.since = min(seen.since, now)  # the clock may have been set back
        return seen

    def watch(self, watched: Collection[date], older: Sequence[date], calendar: TradingDays) -> list[Span]:
        """Forget the days that are not watched; returns the older ones that were never settled, nor told before."""
        news = [day for day in older if day not in self.settled and not any(a <= day <= b for a, b in self.past)]
        self.past = spans(older, calendar)
        self.days = {day: seen for day, seen in self.days.items() if day in watched}
        self.settled &= self.days.keys()
        return spans(news, calendar)

    def tell(self, strays: Sequence[Stray], not_looked_at: Collection[date]) -> list[Stray]:
        """Note strays as told; returns those that were not before. What is gone is forgotten."""
        hidden = {f"{day}" for day in not_looked_at}
        before = {place for place in self.told if place.partition("/")[2][:10] in hidden}
        news = [stray for stray in strays if stray.place not in self.told]
        self.told = before | {stray.place for stray in strays}
        return news


def spans(days: Sequence[date], calendar: TradingDays) -> list[Span]:
    """Sorted trading days as first and last of those that follow each other."""
    made: list[Span] = []
    for day in days:
        if made and calendar.next(made[-1][1]) == day:
            made[-1] = (made[-1][0], day)
        else:
            made.append((day, day))
    return made
