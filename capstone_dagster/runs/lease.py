"""How long work outside Dagster counts as going on when no process of ours does it: until its lease ends.

Whoever does such work says so again before that. The lease stands in a tag of the run, so that everybody who looks
judges by what was agreed when the work was last heard of.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Self

import dagster as dg

from capstone_dagster.run_tags import LEASE_TAG


@dataclass(frozen=True)
class Lease:
    """When the work was last heard of, and how long that counts."""

    heard: datetime
    minutes: float

    @classmethod
    def of(cls, run: dg.DagsterRun) -> Self | None:
        """The lease of a run, or None if it has none; retries come with a copy of another run's."""
        tag = re.fullmatch(r"(\d{10,11}) (\d+(?:\.\d+)?) (\S+)", run.tags.get(LEASE_TAG, ""))
        if tag is None or tag[3] != run.run_id:
            return None
        return cls(datetime.fromtimestamp(int(tag[1]), UTC), float(tag[2]))

    @classmethod
    def from_now(cls, minutes: float) -> Self:
        """The lease of work that is heard of now."""
        return cls(datetime.now(UTC).replace(microsecond=0), minutes)

    def tag(self, run_id: str) -> dict[str, str]:
        """The tag of the run that stands for the work."""
        return {LEASE_TAG: f"{self.heard.timestamp():.0f} {self.minutes:.10g} {run_id}"}

    @property
    def ends(self) -> datetime:
        """When the work counts as lost unless it is heard of before."""
        return self.heard + timedelta(minutes=self.minutes)

    @property
    def is_over(self) -> bool:
        """Whether it has ended; so has one from a clock that is far ahead, or it would last until then."""
        return abs(datetime.now(UTC) - self.heard) > timedelta(minutes=self.minutes)

    @property
    def reason(self) -> str:
        """The reason why the work counts as failed."""
        return f"not heard of since {self.heard:%Y-%m-%d %H:%M:%S} UTC (lease of {self.minutes:g} minutes)"
