"""The sensor that alerts people of every published day of which too many lines were rejected.

It reads what the run storage knows of every published version, and asks the lake nothing. The check ``lines`` shows
the same beside the asset, within the limits of a day's quality.
"""

import time
from collections.abc import Sequence
from contextlib import suppress

import dagster as dg

from capstone_dagster.assets.job_of_run import what_ran
from capstone_dagster.assets.table_assets import asset_key
from capstone_dagster.automation.alerts.messages import Alert
from capstone_dagster.automation.alerts.run_events import EVENTS_PER_TICK, Judgement, Watched, alert_sensor
from capstone_dagster.automation.ticks import Clock
from capstone_dagster.pages.addresses import address, page_key
from capstone_dagster.settings import Settings
from capstone_dagster.trading_days import NoTradingDayError, parse_day
from spark_code.schemas import EVENTS

_EVENTS = asset_key(EVENTS)
_REASONS_SHOWN = 5


def rejected_lines(settings: Settings, clock: Clock = time.time) -> dg.SensorDefinition:
    """The sensor."""

    def judge(instance: dg.DagsterInstance, record: dg.EventLogRecord, age: float) -> Judgement:
        del age
        run, published = instance.get_run_by_id(record.run_id), record.asset_materialization
        if run is None or published is None:
            return None
        return _alert(instance, settings, run, published)

    return alert_sensor(
        settings,
        "rejected_lines",
        f"Alerts once if more than {settings.max_reject_ratio:.2%} of the lines of a published day were rejected "
        "(CAPSTONE_MAX_REJECT_RATIO), with the most frequent reasons.",
        Watched(_published, judge),
        clock,
    )


def _published(instance: dg.DagsterInstance, after: int | None) -> Sequence[dg.EventLogRecord]:
    if after is None:
        return instance.fetch_materializations(_EVENTS, limit=1).records
    later = dg.AssetRecordsFilter(_EVENTS, after_storage_id=after)
    return instance.fetch_materializations(later, limit=EVENTS_PER_TICK, ascending=True).records


def _alert(
    instance: dg.DagsterInstance, settings: Settings, run: dg.DagsterRun, published: dg.AssetMaterialization
) -> Alert | None:
    rejected, lines = (published.metadata.get(name) for name in ("rejected", "lines_in"))
    if not isinstance(rejected, dg.IntMetadataValue) or not isinstance(lines, dg.IntMetadataValue):
        return None  # somebody has reported a materialization by hand
    ratio, allowed = (rejected.value or 0) / (lines.value or 1), settings.max_reject_ratio
    if ratio <= allowed:
        return None
    text = [
        f"Day: {published.partition}",
        f"Rejected: {rejected.value:,} of {lines.value:,} lines, which is {ratio:.2%}; allowed are {allowed:.2%}",
        f"Mostly: {_reasons(published)}",
    ]
    title = f"{what_ran(instance, run)}: {ratio:.2%} of the lines were rejected"
    return Alert(title, "\n".join(text), run.run_id, _page(settings, f"{published.partition}"))


def _page(settings: Settings, day: str) -> str | None:
    if settings.pages_url:
        with suppress(NoTradingDayError):  # somebody has reported a materialization by hand
            return address(settings, page_key(parse_day(day)))
    return None


def _reasons(published: dg.AssetMaterialization) -> str:
    """The most frequent first, from the table that people see; in older releases, and by hand, it is none."""
    shown = published.metadata.get("rejects_by_reason")
    records = shown.records if isinstance(shown, dg.TableMetadataValue) else []
    counts = [(record.data.get("reason"), record.data.get("lines")) for record in records]
    reasons = [f"{reason} {lines:,}" for reason, lines in counts if reason and isinstance(lines, int)]
    return ", ".join(reasons[:_REASONS_SHOWN]) or "not recorded"
