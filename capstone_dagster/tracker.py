"""The job tracker: ids and statuses of jobs, read from Dagster's run storage; nothing is written twice.

A job id is ``<job>_<yyyy-mm-dd>``, and every run of that job and day is an attempt at it. A run of
`daily_pipeline` is also an attempt at each of its halves as soon as it gets there, judged by the half's own
steps; one that was done outside Dagster has no steps and is judged as a whole. The same rules in SQL, for
people with psql, are in ``job_status_view``.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import get_args

import dagster as dg
from dagster._core.storage.event_log import SqlEventLogStorage, SqlEventLogStorageTable
from sqlalchemy import select

from capstone_dagster import outside_work
from capstone_dagster.errors import ExpectedError
from capstone_dagster.jobs import HALVES, JOB_NAMES, PARTITION_TAG, JobName, job_id, was_refused
from capstone_dagster.reasons import run_reason
from capstone_dagster.slots import IN_PROGRESS, end_dead
from capstone_dagster.trading_days import NoTradingDayError, parse_day

_STATUS = dg.DagsterRunStatus
# What tells how far a step is; a step that is planned and has not begun has only the first two.
STEP_EVENTS = (
    "ASSET_MATERIALIZATION_PLANNED",
    "ASSET_CHECK_EVALUATION_PLANNED",
    "STEP_START",
    "STEP_SUCCESS",
    "STEP_FAILURE",
)

# Of a run: each of its steps with the last of these events and its moment. A retry has only the steps that were left.
_Steps = dict[str, tuple[str, datetime]]


class JobIdError(ExpectedError):
    """No job id, or no status that can be set."""


class NeverRunError(ExpectedError):
    """A job id that has never been run."""


@dataclass(frozen=True)
class JobAttempt:
    """One run as an attempt at a job id."""

    job_id: str
    status: str
    run_id: str
    run_job: JobName
    """The job of the run: `daily_pipeline` where it answers for one of its halves."""
    started: datetime | None
    updated_time: datetime
    storage_id: int

    @property
    def currency(self) -> tuple[int, float, int]:
        """Which attempt speaks for the job: one in progress, else one that waits, else the latest begun."""
        status = _STATUS(self.status)
        rank = 2 if status in IN_PROGRESS else 1 if status == _STATUS.QUEUED else 0
        return rank, self.started.timestamp() if self.started else 0.0, self.storage_id


@dataclass(frozen=True)
class JobStatus:
    """Where a job id stands."""

    job_id: str
    status: str
    updated_time: datetime
    run_id: str
    attempts: int
    error: str | None = None


def parse_job_id(text: str) -> tuple[JobName, date]:
    """The job and the day of a job id."""
    job, _, day = text.rpartition("_")
    if job not in JOB_NAMES or not re.fullmatch(r"\d{4}-\d{2}-\d{2}", day):
        raise JobIdError(f"{text!r} is no job id; it must be <job>_<yyyy-mm-dd> with a job of {', '.join(JOB_NAMES)}")
    name: JobName = next(known for known in get_args(JobName) if known == job)
    return name, parse_day(day)


class Tracker:
    """The three verbs of a job tracker, and the history behind them, over one Dagster instance."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance = instance

    def assign_job_id(self, job: str, day: date | str) -> str:
        """The job id of a job and a day."""
        assigned = job_id(job, day)
        parse_job_id(assigned)
        return assigned

    def get_job_status(self, job_id: str) -> JobStatus:
        """Where the job stands, with the reason if it failed; an error if it has never been run."""
        attempts = self.history(job_id)
        if not attempts:
            raise NeverRunError(f"{job_id} has never been run")
        return self._status(attempts, with_error=True)

    def history(self, job_id: str) -> list[JobAttempt]:
        """All attempts at the job, the oldest first."""
        job, day = parse_job_id(job_id)
        records = self._runs([day.isoformat()])
        return self._attempts(job, day, records, self._steps(records))

    def reason(self, attempt: JobAttempt) -> str | None:
        """Why the attempt failed or was canceled, or None."""
        return run_reason(self._instance, attempt.run_id)

    def latest(self, days: int) -> list[JobStatus]:
        """Where the jobs of the last days that have runs stand, the newest day first."""
        known = dict(self._instance.get_run_tags(tag_keys=[PARTITION_TAG]))
        named = sorted((day for day in known.get(PARTITION_TAG, ()) if _is_day(day)), reverse=True)
        found: list[list[JobAttempt]] = []
        while named and days > 0:
            newest, named = named[:days], named[days:]
            records = self._runs(newest)
            steps = self._steps(records)
            tried = {day: self._jobs_of(date.fromisoformat(day), records, steps) for day in newest}
            found += [attempts for jobs in tried.values() for attempts in jobs]
            days -= sum(map(bool, tried.values()))  # of some days all runs were refused
        return [self._status(attempts, with_error=False) for attempts in found]

    def update_job_status(self, job_id: str, status: str, reason: str | None = None) -> JobStatus:
        """Record work that is done outside Dagster: STARTED takes the day's slot, SUCCESS or FAILURE gives it back.

        The calling process may come and go. STARTED again says that the work goes on: what is not heard of for
        CAPSTONE_LEASE_MINUTES has failed. A result without a beginning, or for work that has been recorded as ended,
        is an attempt of its own, which begins and ends at once.
        """
        job, day = parse_job_id(job_id)
        wanted = status.upper()
        if wanted not in (_STATUS.STARTED.value, _STATUS.SUCCESS.value, _STATUS.FAILURE.value):
            raise JobIdError(f"{status!r} is no status to set; there are STARTED, SUCCESS and FAILURE")
        is_result = wanted != _STATUS.STARTED.value
        run = outside_work.begun(self._instance, job, day)
        if run is None or not (is_result or outside_work.renew(self._instance, run)):
            run = outside_work.begin(self._instance, job, day, worker=None)
        if is_result:
            succeeded = wanted == _STATUS.SUCCESS.value
            outside_work.end(self._instance, run.run_id, succeeded=succeeded, reason=reason)
        return self.get_job_status(job_id)

    def _jobs_of(
        self, day: date, records: Iterable[dg.RunRecord], steps: Mapping[str, _Steps]
    ) -> list[list[JobAttempt]]:
        of_jobs = (self._attempts(job, day, records, steps) for job in JOB_NAMES)
        return [attempts for attempts in of_jobs if attempts]

    def _runs(self, days: Sequence[str]) -> list[dg.RunRecord]:
        """The runs of these days but the refused, the oldest first; those whose process is gone are ended first."""
        wanted = dg.RunsFilter(tags={PARTITION_TAG: list(days)})
        records = self._instance.get_run_records(wanted, ascending=True)
        ended = [end_dead(self._instance, record.dagster_run) for record in records]
        if any(ended):
            records = self._instance.get_run_records(wanted, ascending=True)
        return [record for record in records if not was_refused(record.dagster_run)]

    def _attempts(
        self, job: JobName, day: date, records: Iterable[dg.RunRecord], steps: Mapping[str, _Steps]
    ) -> list[JobAttempt]:
        attempts: list[JobAttempt] = []
        for record in records:
            run = record.dagster_run
            if run.tags[PARTITION_TAG] != day.isoformat():
                continue
            if run.job_name == job:
                attempts.append(_attempt(job, day, record, run.status, record.update_timestamp))
            elif run.job_name == "daily_pipeline" and job in HALVES:
                half = _half(job, record, steps.get(run.run_id, {}))
                attempts += [_attempt(job, day, record, *half)] if half else []
        return attempts

    def _steps(self, records: Iterable[dg.RunRecord]) -> dict[str, _Steps]:
        """The steps of all these runs of `daily_pipeline`: one query, where Dagster has one per run."""
        runs = [record.dagster_run.run_id for record in records if record.dagster_run.job_name == "daily_pipeline"]
        storage, log = self._instance.event_log_storage, SqlEventLogStorageTable.c
        found: dict[str, _Steps] = {run_id: {} for run_id in runs}
        if not runs or not isinstance(storage, SqlEventLogStorage):
            return found
        query = (
            select(log.run_id, log.step_key, log.dagster_event_type, log.timestamp)
            .where(log.run_id.in_(runs), log.dagster_event_type.in_(STEP_EVENTS), log.step_key.is_not(None))
            .order_by(log.id)
        )
        with storage.index_connection() as connection:
            for run_id, step, event, moment in connection.execute(query):
                found[run_id][step] = event, moment.replace(tzinfo=UTC)
        return found

    def _status(self, attempts: list[JobAttempt], *, with_error: bool) -> JobStatus:
        current = max(attempts, key=lambda attempt: attempt.currency)
        failed = with_error and current.status in (_STATUS.FAILURE.value, _STATUS.CANCELED.value)
        return JobStatus(
            job_id=current.job_id,
            status=current.status,
            updated_time=current.updated_time,
            run_id=current.run_id,
            attempts=len(attempts),
            error=self.reason(current) if failed else None,
        )


def _half(job: JobName, record: dg.RunRecord, steps: _Steps) -> tuple[dg.DagsterRunStatus, datetime] | None:
    """How far a run of `daily_pipeline` is with one of its halves, or None if it never got there."""
    run = record.dagster_run
    if outside_work.is_outside(run):
        return run.status, record.update_timestamp
    own = [steps[step] for step in HALVES[job] if step in steps]
    moments = [moment for event, moment in own if event.startswith("STEP_")]
    if not moments:
        waits = job == "analytical" and run.status in (_STATUS.STARTING, _STATUS.STARTED)
        status = _STATUS.QUEUED if waits else run.status
        return (status, record.update_timestamp) if own and not run.is_finished else None
    events = {event for event, _ in own}
    if "STEP_FAILURE" in events and run.status not in (_STATUS.CANCELING, _STATUS.CANCELED):
        return _STATUS.FAILURE, max(moments)
    if events == {"STEP_SUCCESS"}:
        return _STATUS.SUCCESS, max(moments)
    return run.status, record.update_timestamp


def _attempt(
    job: JobName, day: date, record: dg.RunRecord, status: dg.DagsterRunStatus, updated: datetime
) -> JobAttempt:
    run_job: JobName = next(name for name in JOB_NAMES if name == record.dagster_run.job_name)
    return JobAttempt(
        job_id=job_id(job, day),
        status=status.value,
        run_id=record.dagster_run.run_id,
        run_job=run_job,
        started=datetime.fromtimestamp(record.start_time, UTC) if record.start_time else None,
        updated_time=updated if updated.tzinfo else updated.replace(tzinfo=UTC),
        storage_id=record.storage_id,
    )


def _is_day(text: str) -> bool:
    try:
        return bool(parse_day(text))
    except NoTradingDayError:
        return False
