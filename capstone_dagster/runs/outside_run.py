"""Runs that stand for work outside Dagster: they begin in the slot of their day, and end with the result of the work.

Either one of our own processes does the work, and can be checked, or the work has a lease.
"""

from datetime import date

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableJob

from capstone_dagster.assets.jobs import JobName, time_limit
from capstone_dagster.run_tags import OUTSIDE_TAG, PARTITION_TAG
from capstone_dagster.runs.day_run import begin as begin_run
from capstone_dagster.runs.day_slot import IN_PROGRESS, day_locked, say_who_is_waited_for
from capstone_dagster.runs.lease import Lease
from capstone_dagster.runs.worker import Worker
from capstone_dagster.settings import Settings
from capstone_dagster.trading_days import trading_days


def is_outside(run: dg.DagsterRun) -> bool:
    """Whether the run stands for such work; a retry has a copy of another run's tags."""
    return run.tags.get(OUTSIDE_TAG) == run.run_id


def begin(  # noqa: PLR0913 - a run has that many facets, and all but three are named
    instance: dg.DagsterInstance,
    job: ReconstructableJob,
    day: date,
    *,
    settings: Settings,
    worker: Worker | None,
    selection: frozenset[dg.AssetKey] | None = None,
) -> dg.DagsterRun:
    """Take the day's slot until the work ends, its worker is gone, or, without a worker, its lease is over.

    With a selection, the work is about these assets of the job, and is no attempt at it.
    """
    trading_days(settings.first_trading_day).require(day)
    lease = None if worker else Lease.from_now(settings.lease_minutes)
    limit = time_limit(settings)
    run = begin_run(instance, job, day, worker=worker, selection=selection, tags=limit, is_outside=True, lease=lease)
    _report(instance, run, dg.DagsterEventType.RUN_START, "Work outside Dagster has begun.")
    _tell_waiting_runs(instance, run)
    return run


def renew(instance: dg.DagsterInstance, run: dg.DagsterRun, minutes: float) -> bool:
    """Renew the lease; returns False if the work has ended, was asked to stop, or has no lease."""
    with day_locked(instance, run.tags[PARTITION_TAG]):
        current = _known(instance, run.run_id)
        if current.status != dg.DagsterRunStatus.STARTED or Lease.of(current) is None:
            return False
        lease = Lease.from_now(minutes)
        instance.add_run_tags(run.run_id, lease.tag(run.run_id))
    return True


def _tell_waiting_runs(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    of_day = {PARTITION_TAG: run.tags[PARTITION_TAG]}
    record = instance.get_run_record_by_id(run.run_id)
    for waits in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED], tags=of_day)):
        if record:
            say_who_is_waited_for(instance, waits, record)


def begun(instance: dg.DagsterInstance, job: JobName, day: date) -> dg.DagsterRun | None:
    """The work in progress that has a lease, if there is any."""
    tags = {PARTITION_TAG: day.isoformat()}
    runs = instance.get_runs(dg.RunsFilter(job_name=job, statuses=IN_PROGRESS, tags=tags))
    return next((run for run in runs if is_outside(run) and Lease.of(run)), None)


def end(instance: dg.DagsterInstance, run: dg.DagsterRun, *, succeeded: bool, reason: str | None) -> bool:
    """Record the result; returns False if the run has already ended."""
    with day_locked(instance, run.tags[PARTITION_TAG]):
        current = _known(instance, run.run_id)
        if current.is_finished:
            return False
        if current.status == dg.DagsterRunStatus.CANCELING:
            instance.report_run_canceled(current, reason)
        elif succeeded:
            _report(instance, current, dg.DagsterEventType.RUN_SUCCESS, reason)
        else:
            instance.report_run_failed(current, reason)
    return True


def _known(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRun:
    record = instance.get_run_record_by_id(run_id)
    if record is None:
        raise LookupError(f"run {run_id} was deleted while its work went on")
    return record.dagster_run


def _report(instance: dg.DagsterInstance, run: dg.DagsterRun, what: dg.DagsterEventType, message: str | None) -> None:
    instance.report_dagster_event(dg.DagsterEvent(what.value, run.job_name, message=message), run.run_id)
