"""Whether a run may begin: it must be for one trading day, or for all days from one trading day to another.

Dagster accepts any text as a partition. For a day that is not a trading day it uses the next trading day, and the run
would replace that day's tables. So every run is checked before its first step: by the queue and its launcher, by the
executor, and by the resource ``trading_day`` in case somebody uses another executor.
"""

from collections.abc import Mapping
from datetime import date

import dagster as dg

from capstone_dagster.assets.job_of_run import job_of_assets, lacks_steps
from capstone_dagster.assets.jobs import JOB_NAMES
from capstone_dagster.assets.table_assets import NOTHING
from capstone_dagster.run_tags import (
    MAX_RETRIES_TAG,
    PARTITION_PREFIX,
    PARTITION_TAG,
    RANGE_TAGS,
    REFUSED_TAG,
    is_over_days,
)
from capstone_dagster.trading_days import NoTradingDayError, parse_day, trading_days
from spark_code.errors import ExpectedError

_NO_DAY = (
    "this run names no trading day: choose a partition in the UI, or name one, as in "
    f'--tags \'{{"{PARTITION_TAG}": "2020-08-06"}}\''
)
_PART_OF_DAYS = "a run over several days runs jobs or assets as a whole: choose ops, steps or checks for one day"


class RunRefusedError(ExpectedError):
    """The run is for no trading day; none of its steps has begun."""


def why_refused(run: dg.DagsterRun, first_day: date) -> str | None:
    """Why the run must not begin, in the sentences of ``capstone run``; None if it may."""
    if not _names_a_day(run.tags):
        return _NO_DAY if _makes_tables(run) else None
    try:
        _require_days(run.tags, first_day)
        if is_over_days(run) and not _is_whole(run):
            return _PART_OF_DAYS
    except NoTradingDayError as error:
        return str(error)
    return None


def require_days(instance: dg.DagsterInstance, run: dg.DagsterRun, first_day: date) -> None:
    """Refuse to execute a run that must not begin, and mark it as refused."""
    if reason := why_refused(run, first_day):
        mark_refused(instance, run)
        raise RunRefusedError(reason)


def refused(instance: dg.DagsterInstance, run: dg.DagsterRun, first_day: date) -> dg.DagsterRun | None:
    """If a run must not begin, record it as failed and return it; None if it may begin."""
    reason = why_refused(run, first_day)
    if reason is None:
        return None
    mark_refused(instance, run)
    instance.report_run_failed(run, reason)
    return instance.get_run_by_id(run.run_id) or run


def mark_refused(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Mark the run so that it does not count as an attempt at a job and is not tried again."""
    instance.add_run_tags(run.run_id, {REFUSED_TAG: run.run_id, MAX_RETRIES_TAG: "0"})


def trading_day(first_day: date) -> dg.ResourceDefinition:
    """The resource: the trading day of the run. Dagster creates it before the first step; without a day it fails."""

    @dg.resource(
        config_schema=NOTHING,
        description="The trading day of the run; a run without one is refused before its first step.",
    )
    def trading_day(context: dg.InitResourceContext) -> date:
        run, instance = context.run, context.instance
        if run is None or instance is None:
            raise RunRefusedError(_NO_DAY)
        require_days(instance, run, first_day)
        if PARTITION_TAG in run.tags:
            return parse_day(run.tags[PARTITION_TAG])
        recorded = instance.get_run_by_id(run.run_id)
        if recorded is None or not recorded.is_finished:  # somebody has replaced the executor that runs day after day
            raise RunRefusedError("days of a range are run one after another: use capstone run, or dg launch")
        return parse_day(run.tags[RANGE_TAGS[0]])  # `dg launch` creates the resources once more after the run

    return trading_day


def _names_a_day(tags: Mapping[str, str]) -> bool:
    return any(tag in (PARTITION_TAG, *RANGE_TAGS) or tag.startswith(PARTITION_PREFIX) for tag in tags)


def _require_days(tags: Mapping[str, str], first_day: date) -> None:
    """Require exactly one day, or both ends of a range."""
    named = {tag for tag in tags if _names_a_day({tag: ""})}
    calendar = trading_days(first_day)
    if named == {PARTITION_TAG}:
        calendar.require(parse_day(tags[PARTITION_TAG]))
    elif named == set(RANGE_TAGS):
        first, last = (calendar.require(parse_day(tags[tag])) for tag in RANGE_TAGS)
        if first > last:
            raise NoTradingDayError(f"{first}..{last}: {first} is after {last}")
    else:
        raise NoTradingDayError(
            f"a run must name one day ({PARTITION_TAG}) or a range ({' and '.join(RANGE_TAGS)}), but this one has the "
            f"tags {', '.join(sorted(named))}"
        )


def _is_whole(run: dg.DagsterRun) -> bool:
    """Whether it runs a whole job or whole assets, and not only some steps or checks."""
    job = job_of_assets(run)
    return not lacks_steps(run, job) if job else bool(run.asset_selection)


def _makes_tables(run: dg.DagsterRun) -> bool:
    """Whether it makes tables; a run of checks alone needs no day."""
    if run.asset_selection or not run.asset_check_selection:
        return run.job_name in JOB_NAMES or run.job_name.startswith("__ASSET_JOB")
    return False
