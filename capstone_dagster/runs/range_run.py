"""A run over several trading days: it starts a separate run for each day, one after another with one Spark.

So every day has its own job id, slot, events and result, and a day that fails stops no other. The run over all days
fails at its end if one of them did not succeed. If it is tried again after its process was lost, or re-executed from
failure, it runs only the days that are missing.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableJob, ReconstructableRepository
from dagster._core.errors import raise_execution_interrupts

from capstone_dagster.assets.job_of_run import job_of_assets, what
from capstone_dagster.assets.jobs import longest_day, time_limit
from capstone_dagster.run_tags import (
    BACKFILL_TAG,
    BACKFILL_TAGS,
    DAYS_TAG,
    MAX_RETRIES_TAG,
    MAX_RUNTIME_TAG,
    PARTITION_TAG,
    RANGE_TAGS,
    RESUME_TAG,
)
from capstone_dagster.runs.day_run import REFUSED, Outcome, run_day, was_asked_to_stop
from capstone_dagster.runs.failure_reasons import run_reason
from capstone_dagster.runs.interruptions import noticing_interruptions
from capstone_dagster.settings import Settings
from capstone_dagster.steps.ended_runs import require_in_progress
from capstone_dagster.trading_days import trading_days
from spark_code.errors import ExpectedError

_PAUSE_SECONDS = 5.0
_REASONS_SHOWN = 10


class DaysError(ExpectedError):
    """Days of a run over several days did not succeed."""


def run_days(
    instance: dg.DagsterInstance, run: dg.DagsterRun, jobs: ReconstructableRepository, settings: Settings
) -> None:
    """Run the days of the range that are missing, the oldest first."""
    # A run that was lost before this point has left no tag.
    chain = run.tags.get(DAYS_TAG, run.run_id) if run.tags.get(RESUME_TAG) == "true" else run.run_id
    days = trading_days(settings.first_trading_day).parse(_days_named(run))
    missing = sorted(set(days) - _succeeded(instance, run, chain))
    tags = {DAYS_TAG: chain, MAX_RUNTIME_TAG: f"{len(missing) * longest_day(settings)}"}
    instance.add_run_tags(run.run_id, tags)
    instance.report_engine_event(f"{len(missing)} of {len(days)} days are run, each by a run tagged {DAYS_TAG}.", run)
    name, selection = _what(run)
    to_do = _Days(instance, run, chain, jobs.get_reconstructable_job(name), selection, settings)
    failed = list(to_do.failures(missing))
    if failed:
        # Failed steps were already tried again if that may help. A second run over the days helps only after a lost
        # process.
        instance.add_run_tags(run.run_id, {MAX_RETRIES_TAG: "0"})
        raise DaysError(_failure(instance, failed, len(missing)))


@dataclass(frozen=True)
class _Days:
    """The days of one run over several."""

    instance: dg.DagsterInstance
    run: dg.DagsterRun
    chain: str
    job: ReconstructableJob
    selection: frozenset[dg.AssetKey] | None
    settings: Settings

    def failures(self, days: Sequence[date]) -> Iterator[Outcome]:
        """Run the days; yields those that did not succeed."""
        with noticing_interruptions() as was_interrupted, _one_cluster(self.instance, self.run, self.settings):
            for day in days:
                require_in_progress(self.instance, self.run.run_id)
                outcome = self._when_free(day)
                self._log(f"{outcome.job_id}: {outcome.status} (run {outcome.run_id})")
                if was_interrupted() and not self._only_day_was_stopped(outcome):
                    raise dg.DagsterExecutionInterruptedError
                if not outcome.succeeded:
                    yield outcome

    def _when_free(self, day: date) -> Outcome:
        """Run a day; while another run works on it, wait: the later days need its closes."""
        waits_for = None
        while (outcome := self._day(day)).status == REFUSED:
            if outcome.run_id != waits_for:
                self._log(f"{outcome.job_id} waits: {outcome.reason}")
                waits_for = outcome.run_id
            with raise_execution_interrupts():
                time.sleep(_PAUSE_SECONDS)
            require_in_progress(self.instance, self.run.run_id)
        return outcome

    def _day(self, day: date) -> Outcome:
        tags = {DAYS_TAG: self.chain, **self._backfill_tags, **time_limit(self.settings)}
        config = self.run.run_config
        return run_day(self.instance, self.job, day, selection=self.selection, run_config=config, tags=tags)

    @cached_property
    def _backfill_tags(self) -> dict[str, str]:
        """The tags of a backfill of assets, which finds what was materialized by its tags.

        A backfill of a job gets none: its page fails if a run with its tags is not over several days.
        """
        backfill = self.instance.get_backfill(self.run.tags.get(BACKFILL_TAG, ""))
        is_of_assets = backfill is not None and backfill.is_asset_backfill
        return {tag: self.run.tags[tag] for tag in BACKFILL_TAGS if is_of_assets and tag in self.run.tags}

    def _only_day_was_stopped(self, outcome: Outcome) -> bool:
        """Whether only the day's run was stopped: both runs share one process."""
        run = self.instance.get_run_by_id(self.run.run_id)
        is_asked_to_stop = run is None or run.status == dg.DagsterRunStatus.CANCELING
        return not is_asked_to_stop and was_asked_to_stop(self.instance, outcome)

    def _log(self, message: str) -> None:
        self.instance.report_engine_event(message, self.run)


def _days_named(run: dg.DagsterRun) -> str:
    return "..".join(run.tags[tag] for tag in RANGE_TAGS)


def _succeeded(instance: dg.DagsterInstance, over_days: dg.DagsterRun, chain: str) -> set[date]:
    """The days that runs over these days have completed, and not only a part of their assets."""
    succeeded = dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS], tags={DAYS_TAG: chain})
    wanted = what(instance, over_days)
    named = [run.tags.get(PARTITION_TAG) for run in instance.get_runs(succeeded) if what(instance, run) == wanted]
    return {date.fromisoformat(day) for day in named if day}


def _what(run: dg.DagsterRun) -> tuple[str, frozenset[dg.AssetKey] | None]:
    """The job for the runs of the days, and the selected assets; None if the selection is a whole job."""
    named = job_of_assets(run)
    if named or not run.asset_selection:
        return named or run.job_name, None
    return run.job_name, frozenset(run.asset_selection)


@contextmanager
def _one_cluster(instance: dg.DagsterInstance, run: dg.DagsterRun, settings: Settings) -> Iterator[None]:
    """On EMR, use one cluster for all days."""
    if settings.emr is None:
        yield
        return
    from capstone_dagster.emr.launcher import cluster_of_days, owner_of  # noqa: PLC0415 - takes 0.3 s, for those who have EMR

    with cluster_of_days(settings.emr, owner_of(instance, run)):
        yield


def _failure(instance: dg.DagsterInstance, failed: Sequence[Outcome], days: int) -> str:
    """The message of the failure; the days come first, because an alert shows only the beginning."""
    named = ", ".join(f"{outcome.day}" for outcome in failed)
    reasons = "; ".join(
        f"{outcome.job_id} {outcome.status}: {run_reason(instance, outcome.run_id)}"
        for outcome in failed[:_REASONS_SHOWN]
    )
    which = f"; the first {_REASONS_SHOWN} of them" if len(failed) > _REASONS_SHOWN else ""
    return f"{len(failed)} of {days} days did not succeed: {named}{which}; {reasons}"
