"""One run per trading day at a time, whoever starts it.

The queue of Dagster's daemon holds back a day that is in progress. Those who start a day without the
queue (``capstone run``, ``capstone track``) take the day's slot here. Both sides first mark their run as
starting and then look at the others while they hold the day's lock, so that of two only one goes on.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime

import dagster as dg
from dagster_postgres import PostgresRunStorage

from capstone_dagster.database_locks import locked
from capstone_dagster.errors import ExpectedError
from capstone_dagster.jobs import JOB_NAMES, PARTITION_TAG, job_id
from capstone_dagster.workers import Worker

IN_PROGRESS = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


class SlotTakenError(ExpectedError):
    """Another run of the trading day is in progress."""

    def __init__(self, day: date, holder: dg.RunRecord) -> None:
        run = holder.dagster_run
        self.run_id = run.run_id
        began = holder.start_time and datetime.fromtimestamp(holder.start_time, UTC)
        since = f" since {began:%H:%M:%S} UTC" if began else ""
        super().__init__(
            f"{day} is being worked on by {_named(run, day)} ({run.status.value}{since}, run {run.run_id}); "
            "wait until it has ended, or stop it in the UI"
        )


@contextmanager
def day_locked(instance: dg.DagsterInstance, day: str) -> Iterator[None]:
    """Keep everybody else from deciding about the day's slot meanwhile."""
    storage = instance.run_storage
    if not isinstance(storage, PostgresRunStorage):  # in memory: nobody else is there
        yield
        return
    with locked(storage, f"capstone {day}"):
        yield


def holder(instance: dg.DagsterInstance, day: str, besides: str | None = None) -> dg.RunRecord | None:
    """The run that holds the day's slot, other than ``besides``; one whose process is gone is ended, and holds none."""
    in_progress = instance.get_run_records(dg.RunsFilter(statuses=IN_PROGRESS, tags={PARTITION_TAG: day}))
    others = [record for record in in_progress if record.dagster_run.run_id != besides]
    return next((record for record in others if not end_if_dead(instance, record.dagster_run)), None)


def end_if_dead(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """If the process that works on the run is gone, record that the run has ended with it."""
    worker = _dead_worker(run)
    if worker is None:
        return False
    current = instance.get_run_by_id(run.run_id)  # it may have ended well since it was read
    if current is None or current.is_finished:
        return True
    gone = f"{worker}, which worked on this run, is gone without a result"
    if current.status == dg.DagsterRunStatus.CANCELING:
        instance.report_run_canceled(current, gone)
    else:
        instance.report_run_failed(current, gone)
    return True


def end_dead(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """The same for those who do not hold the day's lock: of many who look at once, one records the end."""
    if _dead_worker(run) is None:
        return False
    with day_locked(instance, run.tags[PARTITION_TAG]):
        return end_if_dead(instance, run)


def _dead_worker(run: dg.DagsterRun) -> Worker | None:
    worker = Worker.of(run)
    return worker if worker and not run.is_finished and worker.is_dead else None


@contextmanager
def claiming(instance: dg.DagsterInstance, day: date) -> Iterator[None]:
    """Hold the day's lock while a run is created and marked as starting; refused if the slot is taken."""
    with day_locked(instance, day.isoformat()):
        if taken := holder(instance, day.isoformat()):
            raise SlotTakenError(day, taken)
        yield


def mark_starting(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRun:
    """Record that a run holds the slot of its day from now on."""
    _report(instance, run, dg.DagsterEventType.RUN_STARTING)
    return instance.get_run_by_id(run.run_id) or run


def back_to_queue(instance: dg.DagsterInstance, run: dg.DagsterRun, taken: dg.RunRecord) -> None:
    """Let a run wait for its turn once more."""
    other = taken.dagster_run
    instance.report_engine_event(f"Waits in the queue: {other.job_name} (run {other.run_id}) works on this day.", run)
    _report(instance, run, dg.DagsterEventType.RUN_ENQUEUED)


def _report(instance: dg.DagsterInstance, run: dg.DagsterRun, what: dg.DagsterEventType) -> None:
    instance.report_dagster_event(dg.DagsterEvent(what.value, run.job_name), run.run_id)


def _named(run: dg.DagsterRun, day: date) -> str:
    return job_id(run.job_name, day) if run.job_name in JOB_NAMES else "a materialization of single assets"
