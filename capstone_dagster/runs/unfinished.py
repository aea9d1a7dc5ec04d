"""The runs that are not at their end: they wait, work, or have failed and are tried again by Dagster's daemon.

What a day needs besides is judged in ``needed_runs``; which failures are final, and told to people, in ``failed_jobs``.
"""

from datetime import UTC, datetime, timedelta

import dagster as dg

from capstone_dagster.run_tags import PARTITION_TAG, RETRIED_AS_TAG, WILL_RETRY_TAG
from capstone_dagster.runs.day_slot import IN_PROGRESS, end_dead

# The daemon begins the next attempt within seconds. What it has not begun by then, as after a backfill was stopped,
# it cannot begin: that must not keep a day waiting for ever, and people shall know.
NEXT_ATTEMPT_SECONDS = 600.0

_STATUS = dg.DagsterRunStatus
_UNFINISHED = [_STATUS.QUEUED, *IN_PROGRESS]


def unfinished_runs(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """The runs that wait or work, or that failed and are tried again; those whose process is gone are ended first."""
    runs = instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED))
    going_on = [run for run in runs if PARTITION_TAG not in run.tags or not end_dead(instance, run)]
    # Asked last: a run that fails in between, or was just ended, is among these.
    since = datetime.now(UTC) - timedelta(seconds=NEXT_ATTEMPT_SECONDS)
    failed = dg.RunsFilter(statuses=[_STATUS.FAILURE], tags={WILL_RETRY_TAG: "true"}, updated_after=since)
    records = [record for record in instance.get_run_records(failed) if (record.end_time or 0) > since.timestamp()]
    attempts = ((record.dagster_run, attempt_after(instance, record.dagster_run)) for record in records)
    return going_on + [run for before, run in attempts if run and (run is before or not run.is_finished)]


def attempt_after(instance: dg.DagsterInstance, failed: dg.DagsterRun) -> dg.DagsterRun | None:
    """The run by which the daemon tries a failed one again; until there is one, that one stands for it."""
    run_id = failed.tags.get(RETRIED_AS_TAG)
    return instance.get_run_by_id(run_id) if run_id else failed


def in_words(run: dg.DagsterRun) -> str:
    """How it stands with one of them."""
    return f"{'failed, is tried again' if run.is_finished else run.status.value}, run {run.run_id}"
