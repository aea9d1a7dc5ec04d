"""A run over several trading days: each day as a run of its own, one after another with one Spark.

So every day has its job id, its slot, its events and its result, and one that fails stops no other. The run over
all of them only goes through the days; it fails at its end if one of them did not succeed. Tried again after its
process was lost, or re-executed from failure, it runs the days that are missing.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date

import dagster as dg
from dagster._utils.interrupts import raise_execution_interrupts

from capstone_dagster.direct_runs import job
from capstone_dagster.errors import ExpectedError
from capstone_dagster.jobs import JOB_NAMES, PARTITION_TAG, RANGE_TAGS, job_id
from capstone_dagster.reasons import run_reason
from capstone_dagster.running import REFUSED, Outcome, run_day
from capstone_dagster.settings import Settings
from capstone_dagster.signals import noticing_interruptions
from capstone_dagster.trading_days import trading_days

# On a run over several days, and on the runs of its days: the first run of those that resume each other.
RANGE_TAG = "capstone/range"
_RESUMES_TAG = "dagster/is_resume_retry"
_MAX_RUNTIME_TAG, _MAX_RETRIES_TAG = "dagster/max_runtime", "dagster/max_retries"
_MOST_SECONDS_A_DAY = 21_600  # as of a run of one day: run_monitoring in deploy/dagster.yaml
_PAUSE_SECONDS = 5.0
_REASONS_TOLD = 10

_Selection = frozenset[dg.AssetKey] | None


class DaysError(ExpectedError):
    """Days of a run over several that did not succeed."""


def run_days(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Run the days of the range that are missing, the oldest first."""
    chain = run.tags[RANGE_TAG] if run.tags.get(_RESUMES_TAG) == "true" else run.run_id
    calendar = trading_days(Settings.from_environment().first_trading_day)
    days = calendar.parse("..".join(run.tags[tag] for tag in RANGE_TAGS))
    missing = sorted(set(days) - _succeeded(instance, chain))
    instance.add_run_tags(run.run_id, {RANGE_TAG: chain, _MAX_RUNTIME_TAG: f"{len(missing) * _MOST_SECONDS_A_DAY}"})
    instance.report_engine_event(f"{len(missing)} of {len(days)} days are run, each by a run tagged {RANGE_TAG}.", run)
    failed = list(_failures(instance, run, missing, chain))
    if failed:
        # What failed was tried again where that helps; only a lost process makes another run over the days worth while.
        instance.add_run_tags(run.run_id, {_MAX_RETRIES_TAG: "0"})
        raise DaysError(_told(instance, failed, len(missing)))


def _succeeded(instance: dg.DagsterInstance, chain: str) -> set[date]:
    """The days that runs over these days have brought to an end."""
    succeeded = dg.RunsFilter(statuses=[dg.DagsterRunStatus.SUCCESS], tags={RANGE_TAG: chain})
    named = (run.tags.get(PARTITION_TAG) for run in instance.get_runs(succeeded))
    return {date.fromisoformat(day) for day in named if day}


def _failures(instance: dg.DagsterInstance, run: dg.DagsterRun, days: Sequence[date], chain: str) -> Iterator[Outcome]:
    """Run the days; what did not succeed."""
    name, selection = _what(run)
    with noticing_interruptions() as was_interrupted, _one_cluster(run, name):
        for day in days:
            outcome = _run_when_free(
                instance,
                run,
                lambda day=day: run_day(
                    instance, name, day, selection=selection, run_config=run.run_config, tags={RANGE_TAG: chain}
                ),
            )
            instance.report_engine_event(f"{outcome.job_id}: {outcome.status} (run {outcome.run_id})", run)
            if was_interrupted() or outcome.status == dg.DagsterRunStatus.CANCELED.value:
                raise dg.DagsterExecutionInterruptedError
            if not outcome.succeeded:
                yield outcome


def _run_when_free(instance: dg.DagsterInstance, run: dg.DagsterRun, run_day: Callable[[], Outcome]) -> Outcome:
    """Run a day; while somebody else works on it, wait: the days behind it want its closes."""
    told = None
    while (outcome := run_day()).status == REFUSED:
        if outcome.run_id != told:
            instance.report_engine_event(f"{outcome.job_id} waits: {outcome.reason}", run)
            told = outcome.run_id
        with raise_execution_interrupts():
            time.sleep(_PAUSE_SECONDS)
    return outcome


def _what(run: dg.DagsterRun) -> tuple[str, _Selection]:
    """The job of the days' runs, and which of its assets: of assets that are just those of a job, that job."""
    if run.asset_selection is None:
        return run.job_name, None
    same = (name for name in JOB_NAMES if job(name).asset_layer.selected_asset_keys == run.asset_selection)
    named = next(same, None)
    return (named, None) if named else (run.job_name, frozenset(run.asset_selection))


@contextmanager
def _one_cluster(run: dg.DagsterRun, name: str) -> Iterator[None]:
    """On EMR, one cluster for all of the days."""
    settings = Settings.from_environment()
    if settings.emr is None:
        yield
        return
    from capstone_dagster.emr.creation import Owner
    from capstone_dagster.emr.launcher import cluster_of_days

    with cluster_of_days(settings.emr, Owner(run.run_id, job_id(name, "..".join(run.tags[tag] for tag in RANGE_TAGS)))):
        yield


def _told(instance: dg.DagsterInstance, failed: Sequence[Outcome], days: int) -> str:
    reasons = [
        f"{outcome.job_id} {outcome.status} ({outcome.reason or run_reason(instance, outcome.run_id)})"
        for outcome in failed[:_REASONS_TOLD]
    ]
    more = [f"and {len(failed) - _REASONS_TOLD} more"] if len(failed) > _REASONS_TOLD else []
    return f"{len(failed)} of {days} days did not succeed: {'; '.join(reasons + more)}"
