"""How good a day is, as its page says it: its word, what became of its lines, and measures that deserve a look."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from capstone_dagster.assets.metadata import rejects_by_reason
from capstone_dagster.pages.sources import Sources
from capstone_dagster.settings import Settings
from capstone_dagster.trading_days import trading_days
from spark_code.schemas import EVENTS, QUOTE_ANALYTICS, QUOTES, TRADES

Verdict = Literal["ok", "warn", "error", "unknown"]
State = Literal["available", "degraded", "pending", "missing"]


@dataclass(frozen=True)
class Measure:
    """One thing that was measured of a day, with what was expected of it."""

    subject: str
    exchange: str | None
    measure: str
    value: Decimal | None
    expected_low: Decimal | None
    expected_high: Decimal | None
    verdict: Verdict
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

    @property
    def rejected_percent(self) -> float:
        """The share of the lines that was rejected."""
        return 100 * self.rejected / self.lines_in if self.lines_in else 0.0


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
    return Quality(events.rows, events.rows - rejected, rejected, rejects, corrections)


def measures_of(sources: Sources, settings: Settings) -> list[Measure]:
    """What was measured of the day. So far from manifests alone: measures of a table would be read here."""
    events, analytics = sources.manifests[EVENTS], sources.manifests[QUOTE_ANALYTICS]
    ratio = Decimal(events.measures["rejected"]) / events.rows if events.rows else Decimal(0)
    allowed = Decimal(str(settings.max_reject_ratio)).normalize()
    measures = [
        Measure(
            subject=EVENTS.path,
            exchange=None,
            measure="reject_ratio",
            value=ratio,
            expected_low=Decimal(0),
            expected_high=allowed,
            verdict="ok" if ratio <= allowed else "warn",
            sentence=f"{100 * ratio:.2f} % of the lines were rejected; {(100 * allowed).normalize():f} % is allowed",
        )
    ]
    without = analytics.rows - analytics.measures["with_close"]
    if sources.day != trading_days(settings.first_trading_day).first:
        measures.append(
            Measure(
                subject=QUOTE_ANALYTICS.path,
                exchange=None,
                measure="quotes_without_previous_close",
                value=Decimal(without),
                expected_low=Decimal(0),
                expected_high=Decimal(0),
                verdict="warn" if without else "ok",
                sentence=f"{without:,} of {analytics.rows:,} quotes have no close of the previous trading day",
            )
        )
    if not sources.is_of_latest_ingest:
        sentence = "the day was ingested again after this report was made; run the report again"
        measures.append(
            Measure(EVENTS.path, None, "ingested_again", Decimal(1), Decimal(0), Decimal(0), "warn", sentence)
        )
    return measures


def word_of(measures: Sequence[Measure]) -> Word:
    """Of a day whose report is published: degraded if a measure warns, with the reasons."""
    bad = [measure.sentence for measure in measures if measure.verdict in ("warn", "error")]
    return Word("degraded", "; ".join(bad)) if bad else Word("available")
