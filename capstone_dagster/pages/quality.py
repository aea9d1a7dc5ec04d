"""How good a day is, as its page says it: its word, what became of its lines, and measures that deserve a look."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from capstone_dagster.assets.metadata import rejected_percent, rejects_by_reason
from capstone_dagster.pages.sources import Sources
from capstone_dagster.wording import printable
from spark_code.quality_limits import BEYOND_LIMITS, Verdict
from spark_code.schemas import EVENTS, QUOTES, TRADES
from spark_code.wording import shortened

State = Literal["available", "degraded"]
# The index reads the reason in the head of the page.
_LONGEST_REASON = 1000


@dataclass(frozen=True)
class Measure:
    """What is beyond its limits, in a sentence."""

    exchange: str | None
    verdict: str
    sentence: str


@dataclass(frozen=True)
class Word:
    """What people may think of a day, in one word, and why."""

    state: State
    reason: str = ""


@dataclass(frozen=True)
class Reject:
    """How many lines were rejected for one reason, with one of them."""

    reason: str
    lines: int
    file: str | None
    line: str | None


@dataclass(frozen=True)
class Quality:
    """What became of the day's lines."""

    lines_in: int
    accepted: int
    rejected: int
    rejects: Sequence[Reject]
    corrections: int | None
    """Accepted lines of which a later arrival has replaced the event; None if the load is of another ingest."""
    late: int
    rejected_percent: float


def quality(sources: Sources) -> Quality:
    """Of the published lines, with an example for each reason that occurred."""
    events = sources.manifests[EVENTS]
    rejected = events.measures["rejected"]
    examples: dict[str, Mapping[str, Any]] = {}
    for row in sources.rejects() if rejected else ():
        examples.setdefault(row["reject_reason"], row)
    rejects = [
        Reject(reason, lines, *(examples.get(reason, {}).get(name) for name in ("source_file", "line")))
        for reason, lines in rejects_by_reason(events).items()
    ]
    loaded = sum(sources.manifests[table].rows for table in (TRADES, QUOTES))
    corrections = events.rows - rejected - loaded if sources.is_of_latest_ingest else None
    percent, accepted = rejected_percent(events), events.rows - rejected
    return Quality(events.rows, accepted, rejected, rejects, corrections, late_events(sources), percent)


def late_events(sources: Sources) -> int:
    """How many events arrived after their trading day."""
    return int(sum(row["value"] for row in sources.measures if row["measure"] == "late"))


def measures_of(sources: Sources) -> list[Measure]:
    """The measures of the day that are beyond their limits."""
    measures = [
        Measure(row["exchange"], row["verdict"], row["sentence"])
        for row in sources.measures
        if row["verdict"] in BEYOND_LIMITS
    ]
    if not sources.is_of_latest_ingest:
        sentence = "the day was ingested again after its quality was measured and reported; run analytical again"
        measures.append(Measure(None, Verdict.WARN, sentence))
    return measures


def word_of(measures: Sequence[Measure]) -> Word:
    """Of a day whose report is published: degraded if a measure warns, with the reasons."""
    bad = "; ".join(f"{each.exchange}: {each.sentence}" if each.exchange else each.sentence for each in measures)
    return Word("degraded", shortened(printable(bad), _LONGEST_REASON)) if bad else Word("available")
