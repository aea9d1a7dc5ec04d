"""Unfinished runs: they wait, work, or have failed and Dagster's daemon will try them again.

``needed_runs`` judges what else a day needs; ``failed_jobs`` alerts people to failures that are final.
"""

from datetime import UTC, datetime, timedelta

import dagster as dg

from capstone_dagster.run_tags import RETRIED_AS_TAG, WILL_RETRY_TAG
from capstone_dagster.runs.day_slot import IN_PROGRESS, end_dead

# The daemon begins the next attempt within seconds. If it has not begun by then, for example because a backfill was
# stopped, it never will: then the day must not wait any longer, and people must know.
NEXT_ATTEMPT_SECONDS = 600.0

_STATUS = dg.DagsterRunStatus
_UNFINISHED = [_STATUS.QUEUED, *IN_PROGRESS]


def end_lost_runs(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """Record the end of runs whose process is gone; returns those that wait or work."""
    runs = instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED))
    return [run for run in runs if not end_dead(instance, run)]


def unfinished_runs(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """The runs that wait, work, or failed and will be tried again; runs whose process is gone are ended first."""
    going_on = end_lost_runs(instance)
    # Queried last, so that it includes a run that fails in between or was just ended.
    since = datetime.now(UTC) - timedelta(seconds=NEXT_ATTEMPT_SECONDS)
    failed = dg.RunsFilter(statuses=[_STATUS.FAILURE], tags={WILL_RETRY_TAG: "true"}, updated_after=since)
    records = [record for record in instance.get_run_records(failed) if (record.end_time or 0) > since.timestamp()]
    attempts = ((record.dagster_run, attempt_after(instance, record.dagster_run)) for record in records)
    return going_on + [run for before, run in attempts if run and (run is before or not run.is_finished)]


def attempt_after(instance: dg.DagsterInstance, failed: dg.DagsterRun) -> dg.DagsterRun | None:
    """The run that tries a failed one again; until the daemon has started it, the failed run itself."""
    run_id = failed.tags.get(RETRIED_AS_TAG)
    return instance.get_run_by_id(run_id) if run_id else failed


def in_words(run: dg.DagsterRun) -> str:
    """The state of an unfinished run."""
    return f"{'failed, is tried again' if run.is_finished else run.status.value}, run {run.run_id}"
