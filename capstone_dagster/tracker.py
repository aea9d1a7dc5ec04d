"""The job tracker: ids and statuses of jobs, read from Dagster's run storage; nothing is written twice.

A job id is ``<job>_<yyyy-mm-dd>``, and every run that does that job of that day is an attempt at it, by whatever name
Dagster started it (``assets.job_of_run``). A run of `daily_pipeline` is also an attempt at each of its halves as soon
as it gets there, judged by the half's own steps; one that was done outside Dagster has no steps and is judged as a
whole. A run that does only a part of a job is no attempt, and a note beside it. The rules are in
``job_status.attempts_sql``.
"""

import re
from datetime import date
from typing import get_args

import dagster as dg

from capstone_dagster.assets.jobs import JOB_NAMES, JobName, job_id
from capstone_dagster.job_status.attempts import JobAttempt, JobStatus, runs_of, storage_of
from capstone_dagster.run_tags import PARTITION_TAG
from capstone_dagster.runs import outside_run
from capstone_dagster.runs.failure_reasons import run_reason
from capstone_dagster.settings import Settings
from capstone_dagster.trading_days import NoTradingDayError, parse_day
from spark_code.errors import ExpectedError

__all__ = ["JobAttempt", "JobIdError", "JobStatus", "NeverRunError", "Tracker", "parse_job_id"]

_STATUS = dg.DagsterRunStatus


class JobIdError(ExpectedError):
    """No job id, or no status that can be set."""


class NeverRunError(ExpectedError):
    """A job id that has never been run."""


def parse_job_id(text: str) -> tuple[JobName, date]:
    """The job and the day of a job id."""
    job, _, day = text.rpartition("_")
    if job not in JOB_NAMES or not re.fullmatch(r"\d{4}-\d{2}-\d{2}", day):
        raise JobIdError(
            f"{text!r} is not a job id; it must be <job>_<yyyy-mm-dd> with a job of {', '.join(JOB_NAMES)}"
        )
    name: JobName = next(known for known in get_args(JobName) if known == job)
    return name, parse_day(day)


class Tracker:
    """The three verbs of a job tracker, and the history behind them, over one Dagster instance."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        storage_of(instance)  # asked now: an update would be half done before it came to that
        self._instance = instance

    def assign_job_id(self, job: str, day: date | str) -> str:
        """The job id of a job and a day."""
        assigned = job_id(job, day)
        parse_job_id(assigned)
        return assigned

    def get_job_status(self, job_id: str) -> JobStatus:
        """Where the job stands, with the reason if it failed; an error if it has never been run."""
        job, day = parse_job_id(job_id)
        runs = runs_of(self._instance, [day])
        if found := runs.status(job, day):
            return found
        part = runs.part(job, day)
        raise NeverRunError(f"{job_id} has never been run{f' as a whole ({part})' if part else ''}")

    def history(self, job_id: str) -> list[JobAttempt]:
        """All attempts at the job, the oldest first."""
        job, day = parse_job_id(job_id)
        return runs_of(self._instance, [day]).attempts(job, day)

    def reason(self, attempt: JobAttempt) -> str | None:
        """Why the attempt failed or was canceled, or None."""
        return run_reason(self._instance, attempt.run_id)

    def latest(self, days: int) -> list[JobStatus]:
        """Where the jobs of the last days that have runs stand, the newest day first."""
        known = dict(self._instance.get_run_tags(tag_keys=[PARTITION_TAG]))
        named = sorted((day for day in known.get(PARTITION_TAG, ()) if _is_day(day)), reverse=True)
        found: list[JobStatus] = []
        while named and days > 0:
            newest, named = [date.fromisoformat(day) for day in named[:days]], named[days:]
            runs = runs_of(self._instance, newest)
            of_jobs = {day: [runs.status(job, day) for job in JOB_NAMES] for day in newest}
            found += [status for jobs in of_jobs.values() for status in jobs if status]
            days -= sum(map(any, of_jobs.values()))  # of some days all runs were refused, or did parts of jobs
        return found

    def update_job_status(self, job_id: str, status: str, reason: str | None = None) -> JobStatus:
        """Record work that is done outside Dagster: STARTED takes the day's slot, SUCCESS or FAILURE gives it back.

        The calling process may come and go. STARTED again says that the work goes on: what is not heard of for
        CAPSTONE_LEASE_MINUTES has failed. A result without a beginning, or for work that has been recorded as ended,
        is an attempt of its own, which begins and ends at once.
        """
        job, day = parse_job_id(job_id)
        wanted = status.upper()
        if wanted not in (_STATUS.STARTED.value, _STATUS.SUCCESS.value, _STATUS.FAILURE.value):
            raise JobIdError(f"{status!r} cannot be set; use STARTED, SUCCESS or FAILURE")
        instance, succeeded, settings = self._instance, wanted == _STATUS.SUCCESS.value, Settings.from_environment()
        begun = outside_run.begun(instance, job, day)
        if wanted == _STATUS.STARTED.value:
            if not (begun and outside_run.renew(instance, begun, settings.lease_minutes)):
                self._begin(job, day, settings)
        elif not (begun and outside_run.end(instance, begun, succeeded=succeeded, reason=reason)):
            late = self._begin(job, day, settings)
            outside_run.end(instance, late, succeeded=succeeded, reason=reason)
        return self.get_job_status(job_id)

    def _begin(self, job: JobName, day: date, settings: Settings) -> dg.DagsterRun:
        from capstone_dagster.definitions import code_location  # noqa: PLC0415 - builds them all, in 0.8 s

        form = code_location().get_reconstructable_job(job)
        return outside_run.begin(self._instance, form, day, settings=settings, worker=None)


def _is_day(text: str) -> bool:
    try:
        return bool(parse_day(text))
    except NoTradingDayError:
        return False
