"""The sensor that alerts people of every run that has failed for good, whoever started it.

Not Dagster's run failure sensor: its cursor passes every failure at once, so that nothing can wait for the next attempt
or for a channel that is away. And a run of ``capstone run`` it sees only when it looks at every code location.
"""

import time
from collections.abc import Sequence

import dagster as dg

from capstone_dagster.alerts import Alert
from capstone_dagster.automation.event_alerts import EVENTS_PER_TICK, Clock, Judgement, Watched, alert_sensor
from capstone_dagster.jobs import DAYS_TAG, JOB_NAMES, PARTITION_TAG, RANGE_TAGS, is_over_days, job_id
from capstone_dagster.reasons import run_reason
from capstone_dagster.settings import Settings

# Dagster's daemon begins the next attempt within seconds. If it does not, as after a backfill was stopped, people
# shall know.
RETRY_SECONDS = 600.0
_MOST_OF_A_REASON = 1_000
_WILL_RETRY_TAG, _RETRIED_BY_TAG = "dagster/will_retry", "dagster/auto_retry_run_id"
_RETRY_NUMBER_TAG = "dagster/retry_number"


def failed_jobs(settings: Settings, clock: Clock = time.time) -> dg.SensorDefinition:
    """The sensor."""
    return alert_sensor(
        settings,
        "failed_jobs",
        "Alerts once for every run that has failed and will not be tried again, with the reason.",
        Watched(_failures, _judge),
        clock,
    )


def days_of(run: dg.DagsterRun) -> str | None:
    """The trading day of a run, or the first and the last of several."""
    return "..".join(run.tags[tag] for tag in RANGE_TAGS) if is_over_days(run) else run.tags.get(PARTITION_TAG)


def what_ran(run: dg.DagsterRun) -> str:
    """The job id of a run, or the assets if it was not one of the jobs."""
    day = days_of(run)
    if run.job_name in JOB_NAMES and day:
        return job_id(run.job_name, day)
    names = ", ".join(sorted(key.to_user_string() for key in run.asset_selection or ())) or run.job_name
    return f"{names} of {day}" if day else names


def _failures(instance: dg.DagsterInstance, after: int | None) -> Sequence[dg.EventLogRecord]:
    if after is None:
        return instance.fetch_run_status_changes(dg.DagsterEventType.RUN_FAILURE, limit=1).records
    later = dg.RunStatusChangeRecordsFilter(dg.DagsterEventType.RUN_FAILURE, after_storage_id=after)
    return instance.fetch_run_status_changes(later, limit=EVENTS_PER_TICK, ascending=True).records


def _judge(instance: dg.DagsterInstance, record: dg.EventLogRecord, age: float) -> Judgement:
    run = instance.get_run_by_id(record.run_id)
    if run is None or _is_told_by_another(run):
        return None
    if run.is_finished and run.status != dg.DagsterRunStatus.FAILURE:
        return None
    is_overdue = age > RETRY_SECONDS
    # The event comes first, then the status of the run, then the tag.
    if not run.is_finished or (_WILL_RETRY_TAG not in run.tags and instance.run_retries_enabled):
        return _alert(instance, run) if is_overdue else "later"
    if run.tags.get(_WILL_RETRY_TAG) != "true":
        return _alert(instance, run)
    if _is_tried_again(instance, run):
        return None
    return _alert(instance, run, "\nIt was to be tried again, but no attempt has begun.") if is_overdue else "later"


def _is_told_by_another(run: dg.DagsterRun) -> bool:
    """Whether the run is a day of a run over several, which tells of its days; re-executed alone it has a parent."""
    return DAYS_TAG in run.tags and not is_over_days(run) and run.parent_run_id is None


def _is_tried_again(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    next_run_id = run.tags.get(_RETRIED_BY_TAG)
    next_run = instance.get_run_by_id(next_run_id) if next_run_id else None
    return bool(next_run and next_run.status != dg.DagsterRunStatus.NOT_STARTED)


def _alert(instance: dg.DagsterInstance, run: dg.DagsterRun, remark: str = "") -> Alert:
    reason = run_reason(instance, run.run_id) or "not recorded"
    shown = reason if len(reason) <= _MOST_OF_A_REASON else f"{reason[:_MOST_OF_A_REASON]}..."
    attempts = int(run.tags.get(_RETRY_NUMBER_TAG, "0")) + 1
    lines = [f"Day: {days_of(run) or 'none'}", f"Reason: {shown}", f"Attempts: {attempts}"]
    return Alert(f"{what_ran(run)} failed", "\n".join(lines) + remark, run.run_id)
