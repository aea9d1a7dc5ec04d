"""Edge: what is published of a day to measures of its quality.

Grain out: one row per measure, table and exchange. ``quality_sums`` sums the events up, ``quality_measures`` says
what the sums mean, and ``quality_limits`` judges it.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta
from functools import partial
from typing import Any

from spark_code.corporate_actions import NO_ACTIONS, Actions
from spark_code.drafts import Draft, Published
from spark_code.few_rows import few_rows
from spark_code.lake import Lake, LakeError, require_common_inputs, require_made_from
from spark_code.manifest import Manifest
from spark_code.quality_limits import BEYOND_LIMITS, OF_MEDIAN, PAST_DAYS, BadDayError, Limits, Verdict, judge
from spark_code.quality_measures import MEASURES, Sums
from spark_code.quality_sums import summed_up
from spark_code.raw_files import SOURCES
from spark_code.schemas import QUALITY, conform
from spark_code.storage import at_once

_log = logging.getLogger(__name__)

# Raised when the same input gives other rows from now on: the UI then shows what was made before as out of date.
CODE_VERSION = "2"

# Of the days before, as their manifests tell it: exchange -> measure -> value.
Totals = Mapping[str, Mapping[str, int]]
_TOTALS, STOPS = "totals", "stops"
# And for whoever wants a word for the day: exchange -> sentences of the measures beyond their limits.
BEYOND = "beyond_limits"
# More days than 20 trading days can take.
_SPAN = timedelta(days=2 * PAST_DAYS)


@dataclass(frozen=True)
class Circumstances:
    """What a day is judged by that is not in its tables."""

    hours: tuple[time, time]
    """When the exchanges open and close."""
    limits: Limits
    past: Sequence[Totals]
    """Of the days before, the latest last."""

    @classmethod
    def of(cls, lake: Lake, day: date, hours: tuple[time, time], limits: Limits) -> "Circumstances":
        """With the days before that are in the lake."""
        before = [known for known in lake.pointed(QUALITY) if day - _SPAN <= known < day]
        published = [found for found in at_once(partial(_of_past, lake), before) if found]
        return cls(hours, limits, [manifest.facts.get(_TOTALS, {}) for manifest in published[-PAST_DAYS:]])


def _of_past(lake: Lake, day: date) -> Manifest | None:
    """What is published of a day before; a pointer that is damaged only makes less known of what is usual."""
    try:
        return lake.manifest(QUALITY, day)
    except LakeError as error:
        _log.warning("%s", error)
        return None


def build(  # noqa: PLR0913, PLR0917 - one for each thing that it reads
    events: Published,
    trades: Published,
    quotes: Published,
    previous_closes: Published,
    circumstances: Circumstances,
    actions: Actions = NO_ACTIONS,
) -> tuple[Draft]:
    """Draft ``quality/measures`` of the day."""
    require_common_inputs(trades, quotes)
    require_made_from(trades, events)
    read = (events, trades, quotes, previous_closes)
    drift = events.manifest.facts.get("schema_drift") if events.manifest else None
    files = {published.table: published.paths for published in read}
    sums = summed_up(events.storage, files, events.day, circumstances.hours, actions)
    of_exchanges = {}
    for source in SOURCES:
        found = sums[source.exchange]
        found["superseded"] = found["lines"] - found["rejected"] - found["trades"] - found["quotes"]
        unknown = None if drift is None else _fields_of(drift, source.folder(events.day))
        of_exchanges[source.exchange] = Sums(found, unknown, has_closes=previous_closes.manifest is not None)
    rows = list(_rows(events.day, of_exchanges, circumstances))
    beyond: dict[str, list[str]] = {exchange: [] for exchange in of_exchanges}
    for row in rows:
        if row["verdict"] in BEYOND_LIMITS:
            beyond[row["exchange"]].append(row["sentence"])
    stops = [f"{row['exchange']}: {row['sentence']}" for row in rows if row["verdict"] == Verdict.ERROR]
    totals = {exchange: {name: int(of[name]) for name in OF_MEDIAN} for exchange, of in of_exchanges.items()}
    measures = few_rows(events.rows.sparkSession, (tuple(row.values()) for row in rows), QUALITY.schema)
    draft = Draft(
        QUALITY,
        conform(measures.coalesce(1), QUALITY),
        inputs={name: version for used in (*read, actions) for name, version in used.as_input().items()},
        expected_rows=len(rows),
        facts=lambda: {_TOTALS: totals, BEYOND: beyond, STOPS: stops},
        day=events.day,
        input_digests={name: digest for table in read for name, digest in table.digest_as_input().items()},
    )
    return (draft,)


def require_good(measures: Published) -> None:
    """Refuse to go on with a day whose measures are beyond a limit that stops it."""
    if stops := measures.manifest and measures.manifest.facts.get(STOPS):
        raise BadDayError(
            f"{measures.day} is beyond limits that stop a day (CAPSTONE_QUALITY_LIMITS): {'; '.join(stops)}"
        )


def _rows(day: date, of_exchanges: Mapping[str, Sums], circumstances: Circumstances) -> Iterator[dict[str, Any]]:
    for exchange, sums in of_exchanges.items():
        totals = [before.get(exchange, {}) for before in circumstances.past]
        for measure in MEASURES:
            past = [of[measure.name] for of in totals if measure.name in of]
            found = judge(measure, sums, circumstances.limits.of.get(measure.name), past)
            severity = Verdict.ERROR if found.stops else Verdict.WARN
            values = (
                *(day, measure.subject.path, exchange, measure.name, found.value, found.low, found.high),
                *(severity.value, found.verdict.value, found.sentence),
            )
            yield dict(zip(QUALITY.columns, values, strict=True))


def _fields_of(drift: Mapping[str, Sequence[str]], folder: str) -> list[str]:
    names = {name for file, names in drift.items() if file.startswith(f"{folder}/") for name in names}
    return sorted(names)
