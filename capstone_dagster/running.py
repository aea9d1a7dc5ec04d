"""Run trading days through Dagster in this process, and sum up what came of it.

All days that a process runs share one Spark session.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableJob
from dagster._core.execution.api import execute_run

from capstone_dagster.automation.due import Judge
from capstone_dagster.direct_runs import begin
from capstone_dagster.jobs import JOB_NAMES, JobName, job_id
from capstone_dagster.metadata import rejects_by_reason
from capstone_dagster.restarts import outlasting_restarts
from capstone_dagster.settings import Settings
from capstone_dagster.slots import SlotTakenError
from capstone_dagster.spark_process import forget_dead_session
from capstone_dagster.trading_days import trading_days
from capstone_dagster.workers import Worker
from spark_code.lake import Lake, LakeError
from spark_code.locations import StorageError
from spark_code.raw_files import MissingDeliveryError, RawFolder, UnreadableNameError
from spark_code.schemas import CLOSES, EVENTS, QUOTE_ANALYTICS

REFUSED = "REFUSED"


@dataclass(frozen=True)
class Outcome:
    """How one job of one trading day ended."""

    job_id: str
    """Only the day, where single assets are run."""
    day: date
    status: str
    """One of Dagster's, or REFUSED where another run of the day is in progress, or its files are missing."""
    run_id: str
    """Of the run, or of the one in progress; empty where there is none."""
    reason: str | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the run ended in success."""
        return self.status == dg.DagsterRunStatus.SUCCESS.value

    def __str__(self) -> str:
        """Tell it in a line."""
        return self.status if self.succeeded else f"{self.status}, {self.reason or f'run {self.run_id}'}"


def in_terminal(*, allow_missing_closes: bool) -> Mapping[str, Any]:
    """The run config of a run whose progress goes to the terminal."""
    report_options = {"report_options": {"config": {"allow_missing_closes": True}}}
    return {"loggers": {"progress": {}}, **({"resources": report_options} if allow_missing_closes else {})}


def reaped(settings: Settings, instance: dg.DagsterInstance) -> list[str]:
    """End what dead runs have left on EMR, if that is where steps run; what was done, in words."""
    if settings.emr is None:
        return []
    from capstone_dagster.emr.reaper import reap_now  # takes a second, for those who have EMR

    return reap_now(settings.emr, instance)


def is_missing(settings: Settings, instance: dg.DagsterInstance, name: JobName, day: date) -> bool:
    """Whether the job has something to do for the day: it was not run yet, or its files or closes are others since."""
    judge, previous = (
        Judge(instance, Lake(settings.lake_uri), ()),
        trading_days(settings.first_trading_day).previous(day),
    )
    try:
        is_reported = name == "preprocessing" or judge.report(day, previous) == "current"
        return not (is_reported and (name == "analytical" or _is_loaded(judge, RawFolder(settings.raw_uri), day)))
    except (LakeError, StorageError, UnreadableNameError):  # its run says so
        return True


def _is_loaded(judge: Judge, raw: RawFolder, day: date) -> bool:
    try:
        return judge.is_loaded(day, raw.deliveries(day))
    except MissingDeliveryError:  # of a day long ago, its files may be gone
        return judge.lake.manifest(CLOSES, day) is not None


def undelivered(settings: Settings, name: JobName, day: date) -> Outcome | None:
    """The refusal of a job whose raw files are not there; None if they are, or if the job reads none."""
    if name == "analytical":
        return None
    raw = RawFolder(settings.raw_uri)
    reason: Exception | None
    try:
        reason = raw.missing(day, raw.found(day))
    except UnreadableNameError as unreadable:
        reason = unreadable
    except StorageError:  # may pass: the step that reads the files tries again
        return None
    return Outcome(job_id(name, day), day, REFUSED, "", str(reason)) if reason else None


def run_day(  # noqa: PLR0913 - a run has that many facets, and all but three are named
    instance: dg.DagsterInstance,
    job: ReconstructableJob,
    day: date,
    *,
    run_config: Mapping[str, Any],
    selection: frozenset[dg.AssetKey] | None = None,
    tags: Mapping[str, str] | None = None,
) -> Outcome:
    """Run the job, or a selection of its assets, for one day."""
    name = job.job_name
    known_as = job_id(name, day) if name in JOB_NAMES and selection is None else f"{day}"
    with outlasting_restarts():
        try:
            worker = Worker.process()
            run = begin(instance, job, day, worker=worker, run_config=run_config, selection=selection, tags=tags)
        except SlotTakenError as taken:
            return Outcome(known_as, day, REFUSED, taken.run_id, str(taken))
        if not execute_run(job, run, instance).success:
            forget_dead_session()
        ended = instance.get_run_by_id(run.run_id) or run
    return Outcome(known_as, day, ended.status.value, run.run_id)


def summary(outcomes: Sequence[Outcome], lake: Lake) -> str:
    """A table of the jobs with their statuses, and where the lines of each day went."""
    header = f"{'job id':<28} {'status':<9} lines in = accepted + rejected"
    return "\n".join([header, *(line for outcome in outcomes for line in _summed_up(outcome, lake))])


def _summed_up(outcome: Outcome, lake: Lake) -> list[str]:
    job = f"{outcome.job_id:<28} {outcome.status:<9}"
    events = lake.manifest(EVENTS, outcome.day) if outcome.succeeded else None
    if events is None:
        return [job.rstrip()]
    rejected, report = events.measures["rejected"], lake.manifest(QUOTE_ANALYTICS, outcome.day)
    # A report that an earlier run made says nothing about this one.
    report_rows = f"; report rows {report.rows:,}" if report and report.run_id == outcome.run_id else ""
    lines = f"{events.rows:,} = {events.rows - rejected:,} + {rejected:,}"
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in rejects_by_reason(events).items())
    return [f"{job} {lines}{report_rows}", f"    rejected: {reasons or 'none'}"]
