"""One run per trading day at a time, whoever starts it.

The queue of Dagster's daemon holds back a day that is in progress. Commands that start a day without the queue
(``capstone run``, ``capstone track``) take the day's slot here. Both hold the day's lock while they mark their run as
starting and look at other runs, so that only one of two goes on.
"""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta

import dagster as dg
from dagster_postgres import PostgresRunStorage

from capstone_dagster.assets.job_of_run import what, what_ran
from capstone_dagster.run_storage.locks import locked
from capstone_dagster.run_tags import CODE_SERVER_TAG, LAUNCHER_TAG, PARTITION_TAG
from capstone_dagster.runs.lease import Lease
from capstone_dagster.runs.worker import Worker
from spark_code.errors import ExpectedError

_CODE_SERVER_SECONDS = 5.0
# Whoever marks a run as starting signs it at once, or is gone. A launcher that is late starts no run that has ended.
_SIGNED_WITHIN = timedelta(seconds=30)
# A run that has started without a signature is of somebody who has replaced the executor.
_BEING_STARTED = {dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.CANCELING}
IN_PROGRESS = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


class SlotTakenError(ExpectedError):
    """Another run of the trading day is in progress."""

    def __init__(self, day: date, holder: dg.RunRecord, known_as: str) -> None:
        run, lease = holder.dagster_run, Lease.of(holder.dagster_run)
        self.run_id = run.run_id
        began = holder.start_time and datetime.fromtimestamp(holder.start_time, UTC)
        since = f" since {began:%H:%M:%S} UTC" if began else ""
        until = _outside(lease, known_as) if lease else "; wait until it has ended, or stop it in the UI"
        super().__init__(f"{day} is being worked on by {known_as} ({run.status.value}{since}, run {run.run_id}){until}")


@contextmanager
def day_locked(instance: dg.DagsterInstance, day: str) -> Iterator[None]:
    """Hold the lock of the day, under which its slot is given; of a run of no day, that of its id."""
    storage = instance.run_storage
    if not isinstance(storage, PostgresRunStorage):  # in memory: there is no other process
        yield
        return
    with locked(storage, f"capstone {day}"):
        yield


def holder(instance: dg.DagsterInstance, day: str, besides: str | None = None) -> dg.RunRecord | None:
    """The run that holds the day's slot, other than ``besides``; runs that are lost are ended first."""
    in_progress = instance.get_run_records(dg.RunsFilter(statuses=IN_PROGRESS, tags={PARTITION_TAG: day}))
    others = [record for record in in_progress if record.dagster_run.run_id != besides]
    return next((record for record in others if not end_if_dead(instance, record.dagster_run)), None)


def end_if_dead(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Record that the run has ended if its process is gone or its lease is over; returns whether it has ended."""
    if _lost(instance, run) is None:
        return False
    current = instance.get_run_by_id(run.run_id)  # since it was read, it may have ended, or its lease was renewed
    if current is None or current.is_finished:
        return True
    reason = _lost(instance, current)
    if reason is None:
        return False
    if current.status == dg.DagsterRunStatus.CANCELING:
        instance.report_run_canceled(current, reason)
    else:
        instance.report_run_failed(current, reason)
    return True


def end_dead(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """The same, for callers that do not hold the lock: if several processes look at once, one records the end."""
    if _lost(instance, run) is None:
        return False
    with day_locked(instance, run.tags.get(PARTITION_TAG, run.run_id)):
        return end_if_dead(instance, run)


def _lost(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str | None:
    """Why nothing works on the run any more, if that is certain."""
    if run.is_finished:
        return None
    worker, lease = Worker.of(run), Lease.of(run)
    if worker and worker.is_dead:
        return f"{worker}, which worked on this run, is gone without a result"
    if lease:
        return lease.reason if lease.is_over else None
    return _lost_while_starting(instance, run) if worker is None and run.status in _BEING_STARTED else None


def _lost_while_starting(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str | None:
    launcher = Worker.of(run, LAUNCHER_TAG)
    if launcher and launcher.is_dead and not _has_code_server(run):
        return f"{launcher} and its code server, which were starting this run, are gone"
    if launcher is None and run.status == dg.DagsterRunStatus.STARTING:
        record = instance.get_run_record_by_id(run.run_id)
        if record and datetime.now(UTC) - record.update_timestamp > _SIGNED_WITHIN:
            return "the daemon took this run from the queue, and was gone before it could start it"
    return None


def _has_code_server(run: dg.DagsterRun) -> bool:
    """Whether the code server answers that was asked to start the run; it may be about to."""
    if CODE_SERVER_TAG not in run.tags:
        return False
    server = json.loads(run.tags[CODE_SERVER_TAG])
    with socket.socket(socket.AF_UNIX if "socket" in server else socket.AF_INET) as connection:
        connection.settimeout(_CODE_SERVER_SECONDS)
        try:
            connection.connect(server.get("socket") or (server["host"], server["port"]))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError:  # too busy to answer, or not to be seen from here
            return True
    return True


@contextmanager
def claiming(instance: dg.DagsterInstance, day: date) -> Iterator[None]:
    """Hold the day's lock while you create a run and mark it as starting; an error if the slot is taken."""
    with day_locked(instance, day.isoformat()):
        if taken := holder(instance, day.isoformat()):
            raise SlotTakenError(day, taken, what_ran(instance, taken.dagster_run))
        yield


def mark_starting(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRun:
    """Record that a run holds the slot of its day from now on."""
    _report(instance, run, dg.DagsterEventType.RUN_STARTING)
    return instance.get_run_by_id(run.run_id) or run


def back_to_queue(instance: dg.DagsterInstance, run: dg.DagsterRun, taken: dg.RunRecord) -> None:
    """Put a run back into the queue."""
    say_who_is_waited_for(instance, run, taken)
    _report(instance, run, dg.DagsterEventType.RUN_ENQUEUED)


def say_who_is_waited_for(instance: dg.DagsterInstance, run: dg.DagsterRun, taken: dg.RunRecord) -> None:
    """Write into the log of a waiting run which run works on its day."""
    other, lease = taken.dagster_run, Lease.of(taken.dagster_run)
    outside = _outside(lease, what_ran(instance, other)) if lease else ""
    message = f"Waits in the queue: {what(instance, other)} (run {other.run_id}) works on this day{outside}."
    instance.report_engine_event(message, run)


def _report(instance: dg.DagsterInstance, run: dg.DagsterRun, event: dg.DagsterEventType) -> None:
    instance.report_dagster_event(dg.DagsterEvent(event.value, run.job_name), run.run_id)


def _outside(lease: Lease, known_as: str) -> str:
    """What to say about work outside Dagster with a lease."""
    return (
        f" outside Dagster, last heard of at {lease.heard:%Y-%m-%d %H:%M:%S} UTC. It counts as failed unless it is "
        f"heard of again by {lease.ends:%Y-%m-%d %H:%M:%S} UTC; to end it now, stop its run in the UI, or call "
        f"update_job_status('{known_as}', 'FAILURE')"
    )
