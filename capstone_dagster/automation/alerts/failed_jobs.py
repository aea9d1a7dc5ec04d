"""The sensor ``failed_jobs``: alerts people to every run that has failed for good, whoever started it.

A run over several days alerts for its days: when it fails, or when it is canceled and cannot report them itself.

This is not Dagster's run failure sensor, whose cursor passes every failure at once: an alert could not wait for the
next attempt, or for a channel that is down.
"""

import time
from collections.abc import Mapping, Sequence

import dagster as dg

from capstone_dagster.assets.job_of_run import days_of, what_ran
from capstone_dagster.automation.alerts.messages import Alert
from capstone_dagster.automation.alerts.run_events import EVENTS_PER_TICK, Judgement, Watched, alert_sensor
from capstone_dagster.automation.ticks import Clock
from capstone_dagster.run_tags import (
    DAYS_TAG,
    PARTITION_TAG,
    RETRY_NUMBER_TAG,
    WILL_RETRY_TAG,
    is_over_days,
    number_in,
    was_refused,
)
from capstone_dagster.runs.failure_reasons import run_reason
from capstone_dagster.runs.unfinished_runs import NEXT_ATTEMPT_SECONDS, attempt_after
from capstone_dagster.settings import Settings
from capstone_dagster.wording import few
from spark_code.wording import shortened

_REASON_LENGTH = 1_000
_DAYS_SHOWN = 20


def failed_jobs(settings: Settings, clock: Clock = time.time) -> dg.SensorDefinition:
    """The sensor."""
    return alert_sensor(
        settings,
        "failed_jobs",
        "Alerts once for every run that has failed and will not be tried again, with the reason.",
        Watched(_ends, _judge),
        clock,
    )


def _ends(instance: dg.DagsterInstance, after: int | None) -> Sequence[dg.EventLogRecord]:
    found: list[dg.EventLogRecord] = []
    for kind in (dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED):
        if after is None:
            found += instance.fetch_run_status_changes(kind, limit=1).records
        else:
            later = dg.RunStatusChangeRecordsFilter(kind, after_storage_id=after)
            found += instance.fetch_run_status_changes(later, limit=EVENTS_PER_TICK, ascending=True).records
    return sorted(found, key=lambda record: record.storage_id)[:EVENTS_PER_TICK]


def _judge(instance: dg.DagsterInstance, record: dg.EventLogRecord, age: float) -> Judgement:
    run = instance.get_run_by_id(record.run_id)
    if run is None or run.status == dg.DagsterRunStatus.SUCCESS or was_refused(run) or _is_reported_by_range(run):
        return None
    if run.status == dg.DagsterRunStatus.CANCELED:
        return _alert_of_days(instance, run) if is_over_days(run) else None
    is_overdue = age > NEXT_ATTEMPT_SECONDS
    # The event comes first, then the status of the run, then the tag.
    if not run.is_finished or (WILL_RETRY_TAG not in run.tags and instance.run_retries_enabled):
        return _alert(instance, run) if is_overdue else "later"
    if run.tags.get(WILL_RETRY_TAG) != "true":
        return _alert(instance, run)
    if _is_tried_again(instance, run):
        return None
    return _alert(instance, run, "\nIt was to be tried again, but no attempt has begun.") if is_overdue else "later"


def _is_reported_by_range(run: dg.DagsterRun) -> bool:
    """Whether a run over several days reports this day; a day that was re-executed alone has a parent run."""
    return DAYS_TAG in run.tags and not is_over_days(run) and run.parent_run_id is None


def _is_tried_again(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    after = attempt_after(instance, run)
    return after is not None and after is not run and after.status != dg.DagsterRunStatus.NOT_STARTED


def _alert(instance: dg.DagsterInstance, run: dg.DagsterRun, remark: str = "") -> Alert:
    attempts, reason = number_in(run, RETRY_NUMBER_TAG) + 1, _reason(instance, run)
    lines = [f"Day: {days_of(run) or 'none'}", f"Reason: {reason}", f"Attempts: {attempts}"]
    failed = _failed_days(instance, run) if is_over_days(run) else {}
    if not all(day in reason for day in failed):  # the run itself was lost or stopped, and could not name them
        lines.append(_named(instance, failed))
    return Alert(f"{what_ran(instance, run)} failed", "\n".join(lines) + remark, run.run_id)


def _alert_of_days(instance: dg.DagsterInstance, canceled: dg.DagsterRun) -> Alert | None:
    """The alert of days that failed in a run over several days that was canceled, if there are any."""
    failed = _failed_days(instance, canceled)
    title = f"{what_ran(instance, canceled)} was canceled, and days of it had failed"
    return Alert(title, _named(instance, failed), canceled.run_id) if failed else None


def _failed_days(instance: dg.DagsterInstance, over_days: dg.DagsterRun) -> dict[str, dg.DagsterRun]:
    """The days that failed in a run over several days, or in the runs that it resumes, each with its last run."""
    of_range = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.SUCCESS],
        tags={DAYS_TAG: over_days.tags.get(DAYS_TAG, over_days.run_id)},
    )
    runs = [run for run in instance.get_runs(of_range) if PARTITION_TAG in run.tags]
    succeeded = {run.tags[PARTITION_TAG] for run in runs if run.status == dg.DagsterRunStatus.SUCCESS}
    return {run.tags[PARTITION_TAG]: run for run in reversed(runs) if run.tags[PARTITION_TAG] not in succeeded}


def _named(instance: dg.DagsterInstance, failed: Mapping[str, dg.DagsterRun]) -> str:
    days = sorted(failed)
    return f"Failed: {few(days, _DAYS_SHOWN, ', ')}\nReason of the first: {_reason(instance, failed[days[0]])}"


def _reason(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    return shortened(run_reason(instance, run.run_id) or "not recorded", _REASON_LENGTH)
