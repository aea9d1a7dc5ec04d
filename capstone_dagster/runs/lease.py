"""The lease of work outside Dagster that none of our processes does: the work counts as in progress until it ends.

Whoever does the work renews the lease before that. It is stored in a tag of the run, so that everybody judges by the
minutes that were set when the work was last heard of.
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
        """The lease of a run, if it has one; a retry has a copy of another run's lease, which does not count."""
        tag = re.fullmatch(r"(\d{10,11}) (\d+(?:\.\d+)?) (\S+)", run.tags.get(LEASE_TAG, ""))
        if tag is None or tag[3] != run.run_id:
            return None
        return cls(datetime.fromtimestamp(int(tag[1]), UTC), float(tag[2]))

    @classmethod
    def from_now(cls, minutes: float) -> Self:
        """A lease that begins now."""
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
        """Whether it has ended. A lease from a clock that is far ahead has ended too, or it would last until then."""
        return abs(datetime.now(UTC) - self.heard) > timedelta(minutes=self.minutes)

    @property
    def reason(self) -> str:
        """The reason why the work counts as failed."""
        return f"not heard of since {self.heard:%Y-%m-%d %H:%M:%S} UTC (lease of {self.minutes:g} minutes)"
