"""Which runs are attempts at which job of a day, and which of them says where the job stands.

The verbs that people use are in ``tracker``; the same rules in SQL in ``job_status.view``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Self

import dagster as dg
from dagster._core.storage.event_log import SqlEventLogStorage, SqlEventLogStorageTable
from sqlalchemy import func, select

from capstone_dagster.assets.job_of_run import assets_of, job_of, what
from capstone_dagster.assets.jobs import ASSETS, HALVES, JobName, job_id
from capstone_dagster.run_tags import PARTITION_TAG, was_refused
from capstone_dagster.runs import outside_run
from capstone_dagster.runs.day_slot import IN_PROGRESS, end_dead
from capstone_dagster.runs.failure_reasons import run_reason
from capstone_dagster.runs.worker import Worker

_STATUS = dg.DagsterRunStatus
# What tells how far a step is; a step that is planned and has not begun has only the first two.
STEP_EVENTS = (
    "ASSET_MATERIALIZATION_PLANNED",
    "ASSET_CHECK_EVALUATION_PLANNED",
    "STEP_START",
    "STEP_SUCCESS",
    "STEP_FAILURE",
)
# What tells in which order runs began, whatever their clocks said: the storage numbers events as they come. A run that
# failed before it began counts from its failure; one that was canceled before says nothing about its job.
BEGINNING, FAILURE = "PIPELINE_START", "PIPELINE_FAILURE"


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
    ended: datetime | None = field(default=None, compare=False)
    worker: str | None = field(default=None, compare=False)
    order: int = field(default=0, compare=False)
    """Grows with every attempt that begins; 0 if it has not begun."""

    @property
    def currency(self) -> tuple[int, int, int]:
        """Which attempt speaks for the job: one in progress, else one that waits, else the latest begun."""
        status = _STATUS(self.status)
        rank = 2 if status in IN_PROGRESS else 1 if status == _STATUS.QUEUED else 0
        return rank, self.order, self.storage_id

    @property
    def failed(self) -> bool:
        """Whether there is a reason to tell."""
        return self.status in (_STATUS.FAILURE.value, _STATUS.CANCELED.value)

    @property
    def seconds(self) -> int | None:
        """How long it took, in whole seconds; 0 if the clock was set back meanwhile."""
        if self.started is None or self.ended is None:
            return None
        return max(0, int((self.ended - self.started).total_seconds()))


@dataclass(frozen=True)
class JobStatus:
    """Where a job id stands; what is known besides makes no two of them different."""

    job_id: str
    status: str
    updated_time: datetime
    run_id: str
    attempts: int
    error: str | None = None
    job: JobName | None = field(default=None, compare=False)
    trading_day: date | None = field(default=None, compare=False)
    started: datetime | None = field(default=None, compare=False)
    ended: datetime | None = field(default=None, compare=False)
    seconds: int | None = field(default=None, compare=False)
    """From the start to the end."""
    worker: str | None = field(default=None, compare=False)
    """Who works or worked on it: a process and its host, or "outside Dagster"."""
    note: str | None = field(default=None, compare=False)
    """The latest run that did only a part of the job, if it came after the attempt that speaks for it."""

    @property
    def facts(self) -> dict[str, Any]:
        """All of it by name, in the order of the columns of the SQL view."""
        told = asdict(self)
        last = {name: told.pop(name) for name in ("error", "note")}
        return {**told, **last}


@dataclass(frozen=True)
class _Step:
    """A step of a run; a retry has only those that were left."""

    event: str
    """The last of the events above."""
    moment: datetime
    started: datetime | None


_Steps = Mapping[str, _Step]


@dataclass(frozen=True)
class JobRuns:
    """The runs of some days, the oldest first, with what of their events tells how they stand."""

    instance: dg.DagsterInstance
    records: Sequence[dg.RunRecord]
    jobs: Mapping[str, JobName | None]
    steps: Mapping[str, _Steps]
    orders: Mapping[str, int]

    @classmethod
    def of(cls, instance: dg.DagsterInstance, records: Sequence[dg.RunRecord]) -> Self:
        """Look up their events: two queries, where Dagster has one per run."""
        jobs = {record.dagster_run.run_id: job_of(instance, record.dagster_run) for record in records}
        whole = [run_id for run_id, job in jobs.items() if job == "daily_pipeline"]
        return cls(instance, records, jobs, _steps(instance, whole), _orders(instance, list(jobs)))

    def attempts(self, job: JobName, day: date) -> list[JobAttempt]:
        """The attempts at the job, in the order in which their runs were made."""
        found: list[JobAttempt] = []
        for record in self._of(day):
            run = record.dagster_run
            run_job = self.jobs[run.run_id]
            if run_job == job:
                found.append(self._attempt(job, record, job, _Standing.of_run(record)))
            elif run_job == "daily_pipeline" and job in HALVES:
                standing = _half(job, record, self.steps.get(run.run_id, {}))
                found += [self._attempt(job, record, run_job, standing)] if standing else []
        return found

    def status(self, job: JobName, day: date) -> JobStatus | None:
        """Where the job stands, or None if it was never run as a whole."""
        attempts = self.attempts(job, day)
        if not attempts:
            return None
        current = max(attempts, key=lambda attempt: attempt.currency)
        return JobStatus(
            job_id=current.job_id,
            status=current.status,
            updated_time=current.updated_time,
            run_id=current.run_id,
            attempts=len(attempts),
            error=run_reason(self.instance, current.run_id) if current.failed else None,
            job=job,
            trading_day=day,
            started=current.started,
            ended=current.ended,
            seconds=current.seconds,
            worker=current.worker,
            note=self.part(job, day, after=current.storage_id),
        )

    def part(self, job: JobName, day: date, after: int = 0) -> str | None:
        """The latest run of those made after another that did only a part of the job, in words."""
        tables = {key.to_user_string() for key in ASSETS[job]}
        for record in reversed(self._of(day)):
            run = record.dagster_run
            is_part = self.jobs[run.run_id] is None and tables.intersection(assets_of(self.instance, run))
            if is_part and record.storage_id > after:
                return f"run {run.run_id} of {what(self.instance, run)} alone: {run.status.value}"
        return None

    def _of(self, day: date) -> list[dg.RunRecord]:
        return [record for record in self.records if record.dagster_run.tags[PARTITION_TAG] == day.isoformat()]

    def _attempt(self, job: JobName, record: dg.RunRecord, run_job: JobName, standing: "_Standing") -> JobAttempt:
        run = record.dagster_run
        worker = Worker.of(run)
        return JobAttempt(
            job_id=job_id(job, run.tags[PARTITION_TAG]),
            status=standing.status.value,
            run_id=run.run_id,
            run_job=run_job,
            started=standing.started,
            updated_time=_utc(standing.updated),
            storage_id=record.storage_id,
            ended=standing.ended,
            worker=str(worker) if worker else "outside Dagster" if outside_run.is_outside(run) else None,
            order=self.orders.get(run.run_id, 0),
        )


def runs_of(instance: dg.DagsterInstance, days: Sequence[date]) -> JobRuns:
    """The runs of these days but the refused; those that are lost are ended first."""
    wanted = dg.RunsFilter(tags={PARTITION_TAG: [day.isoformat() for day in days]})
    records = instance.get_run_records(wanted, ascending=True)
    ended = [end_dead(instance, record.dagster_run) for record in records]
    current = instance.get_run_records(wanted, ascending=True) if any(ended) else records
    return JobRuns.of(instance, [record for record in current if not was_refused(record.dagster_run)])


@dataclass(frozen=True)
class _Standing:
    """Where a run stands, or a half of it."""

    status: dg.DagsterRunStatus
    updated: datetime
    started: datetime | None
    ended: datetime | None

    @classmethod
    def of_run(cls, record: dg.RunRecord) -> Self:
        return cls(
            record.dagster_run.status,
            record.update_timestamp,
            datetime.fromtimestamp(record.start_time, UTC) if record.start_time else None,
            datetime.fromtimestamp(record.end_time, UTC) if record.end_time else None,
        )


def _half(job: JobName, record: dg.RunRecord, steps: _Steps) -> _Standing | None:
    """How far a run of `daily_pipeline` is with one of its halves, or None if it never got there."""
    run, whole = record.dagster_run, _Standing.of_run(record)
    if outside_run.is_outside(run):
        return whole
    own = [steps[step] for step in HALVES[job] if step in steps]
    moments = [step.moment for step in own if step.event.startswith("STEP_")]
    if not moments:
        waits = job == "analytical" and run.status in (_STATUS.STARTING, _STATUS.STARTED)
        status = _STATUS.QUEUED if waits else run.status
        return _Standing(status, whole.updated, None, None) if own and not run.is_finished else None
    started = min((step.started for step in own if step.started), default=None)
    events = {step.event for step in own}
    if "STEP_FAILURE" in events and run.status not in (_STATUS.CANCELING, _STATUS.CANCELED):
        return _Standing(_STATUS.FAILURE, max(moments), started, max(moments))
    if events == {"STEP_SUCCESS"}:
        return _Standing(_STATUS.SUCCESS, max(moments), started, max(moments))
    return _Standing(run.status, whole.updated, started, whole.ended)


def _steps(instance: dg.DagsterInstance, runs: Sequence[str]) -> dict[str, dict[str, _Step]]:
    storage, log = instance.event_log_storage, SqlEventLogStorageTable.c
    found: dict[str, dict[str, _Step]] = {run_id: {} for run_id in runs}
    if not runs or not isinstance(storage, SqlEventLogStorage):
        return found
    query = (
        select(log.run_id, log.step_key, log.dagster_event_type, log.timestamp)
        .where(log.run_id.in_(runs), log.dagster_event_type.in_(STEP_EVENTS), log.step_key.is_not(None))
        .order_by(log.id)
    )
    with storage.index_connection() as connection:
        for run_id, key, event, timestamp in connection.execute(query):
            moment, before = _utc(timestamp), found[run_id].get(key)
            starts = [moment] if event == "STEP_START" else []
            starts += [before.started] if before and before.started else []
            found[run_id][key] = _Step(event, moment, min(starts, default=None))
    return found


def _orders(instance: dg.DagsterInstance, runs: Sequence[str]) -> dict[str, int]:
    storage, log = instance.event_log_storage, SqlEventLogStorageTable.c
    if not runs or not isinstance(storage, SqlEventLogStorage):
        return {}
    query = (
        select(log.run_id, func.max(log.id)).where(log.run_id.in_(runs)).group_by(log.run_id, log.dagster_event_type)
    )
    with storage.index_connection() as connection:
        failed = connection.execute(query.where(log.dagster_event_type == FAILURE)).all()
        began = connection.execute(query.where(log.dagster_event_type == BEGINNING)).all()
    return {run_id: number for run_id, number in [*failed, *began]}  # noqa: C416 - rows are no pairs to mypy


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
