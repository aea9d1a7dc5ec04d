"""Where jobs stand, read from Dagster's tables: the rules are the SQL text in ``attempts_sql``.

The verbs that people use are in ``tracker``; the same text for people with psql is in ``view``.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES
from dagster_postgres import PostgresRunStorage
from sqlalchemy import Row

from capstone_dagster.assets.jobs import JobName
from capstone_dagster.job_status.attempts_sql import attempts, quoted
from capstone_dagster.run_tags import PARTITION_TAG
from capstone_dagster.runs.day_slot import end_dead
from capstone_dagster.runs.failure_reasons import run_reason
from spark_code.errors import ExpectedError

_STATUS = dg.DagsterRunStatus
# By the tag and not by the column of the run, which has no index.
_OF_DAYS = f"run_id IN (SELECT run_id FROM run_tags WHERE key = {quoted(PARTITION_TAG)} AND value = ANY(%(days)s))"  # noqa: S608 - a name of our own
_STATEMENT = f"WITH RECURSIVE {attempts(_OF_DAYS)} SELECT * FROM attempts ORDER BY id"  # noqa: S608 - the same


class NoPostgresError(ExpectedError):
    """Statuses of an instance whose run storage is not on Postgres."""


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
    seconds: int | None = field(default=None, compare=False)
    """How long it took, in whole seconds; 0 if the clock was set back meanwhile."""

    @property
    def failed(self) -> bool:
        """Whether there is a reason to tell."""
        return self.status in (_STATUS.FAILURE.value, _STATUS.CANCELED.value)


@dataclass(frozen=True)
class JobStatus:
    """The status of a job id; two are equal if the fields without a default are."""

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
        facts = asdict(self)
        last = {name: facts.pop(name) for name in ("error", "note")}
        return {**facts, **last}


@dataclass(frozen=True)
class JobRuns:
    """The attempts at the jobs of some days, and what did only parts of them."""

    instance: dg.DagsterInstance
    rows: Sequence[Row[Any]]

    def attempts(self, job: JobName, day: date) -> list[JobAttempt]:
        """The attempts at the job, in the order in which their runs were made."""
        return [_attempt(row) for row in self._of(job, day) if row.run_id]

    def status(self, job: JobName, day: date) -> JobStatus | None:
        """Where the job stands, or None if it was never run as a whole."""
        row = next((row for row in self._of(job, day) if row.is_current), None)
        if row is None:
            return None
        current = _attempt(row)
        return JobStatus(
            job_id=current.job_id,
            status=current.status,
            updated_time=current.updated_time,
            run_id=current.run_id,
            attempts=row.attempts,
            error=run_reason(self.instance, current.run_id) if current.failed else None,
            job=job,
            trading_day=day,
            started=current.started,
            ended=current.ended,
            seconds=current.seconds,
            worker=current.worker,
            note=row.note,
        )

    def part(self, job: JobName, day: date) -> str | None:
        """Of a job that was never run as a whole, the latest run that did a part of it, in words."""
        return next((row.note for row in self._of(job, day)), None)

    def _of(self, job: JobName, day: date) -> list[Row[Any]]:
        return [row for row in self.rows if (row.job, row.partition) == (job, day.isoformat())]


def _attempt(row: Row[Any]) -> JobAttempt:
    return JobAttempt(
        job_id=row.job_id,
        status=row.status,
        run_id=row.run_id,
        run_job=row.run_job,
        started=_utc(row.started),
        updated_time=row.updated_time.astimezone(UTC),
        storage_id=row.id,
        ended=_utc(row.ended),
        worker=row.worker,
        seconds=row.seconds,
    )


def _utc(moment: datetime | None) -> datetime | None:
    return moment and moment.astimezone(UTC)


def runs_of(instance: dg.DagsterInstance, days: Sequence[date]) -> JobRuns:
    """The attempts at jobs of these days; runs that are lost are ended first."""
    storage, named = storage_of(instance), [day.isoformat() for day in days]
    unfinished = dg.RunsFilter(statuses=NOT_FINISHED_STATUSES, tags={PARTITION_TAG: named})
    for record in instance.get_run_records(unfinished, ascending=True):
        end_dead(instance, record.dagster_run)
    with storage.connect() as connection:
        return JobRuns(instance, connection.exec_driver_sql(_STATEMENT, {"days": named}).all())


def storage_of(instance: dg.DagsterInstance) -> PostgresRunStorage:
    """The run storage, if statuses can be read from it."""
    if not isinstance(instance.run_storage, PostgresRunStorage):
        raise NoPostgresError(
            "statuses of jobs need the run storage on Postgres, as deploy/dagster.yaml has it; "
            "Python finds it with: capstone exec -- python"
        )
    return instance.run_storage
