"""Whether a trading day has landed: all tables of its report are published.

The asset check ``landed`` judges the day that is due now, by the clock and not by a partition, so it is part of no
job. ``alerts.late_days`` alerts people.
"""

import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg

from capstone_dagster.assets.job_of_run import what
from capstone_dagster.assets.jobs import JOB_NAMES, LANDED
from capstone_dagster.assets.table_assets import NOTHING
from capstone_dagster.automation.ticks import Clock
from capstone_dagster.deliveries.completeness import still_arriving
from capstone_dagster.deliveries.sample import last_day_of_samples
from capstone_dagster.job_status.attempts import JobStatus, NoPostgresError, runs_of
from capstone_dagster.run_tags import covers
from capstone_dagster.runs.unfinished_runs import in_words, unfinished_runs
from capstone_dagster.settings import Settings
from capstone_dagster.trading_days import NEW_YORK, trading_days
from capstone_dagster.wording import literal
from spark_code.flow import tables_of
from spark_code.lake import Lake, LakeError
from spark_code.locations import StorageError
from spark_code.raw_files import MissingDeliveryError, RawFolder, UnreadableNameError
from spark_code.schemas import CLOSES

# For the command of a precondition. Dagster gives a tick one minute, and it may have to look at several days.
_COMMAND_SECONDS = 2.0


def expected_day(settings: Settings, moment: datetime) -> date | None:
    """The last trading day that is due, if there is one."""
    local = moment.astimezone(NEW_YORK)
    day = local.date() if local.time() >= settings.late_time else local.date() - timedelta(days=1)
    return next(trading_days(settings.first_trading_day).back_from(day), None)


def delivered_day(settings: Settings, expected: date) -> date:
    """The expected day, or the last one before it that somebody could have delivered: nobody does after a sample."""
    with suppress(StorageError):  # the reason of a day that has not landed
        if sample := last_day_of_samples(RawFolder(settings.raw_uri)):
            return next(trading_days(settings.first_trading_day).back_from(min(sample, expected)), expected)
    return expected


def has_landed(lake: Lake, day: date) -> bool:
    """Whether the day's report is published."""
    published = [lake.manifest(table, day) for table in tables_of("analytical")]  # an error if one cannot be read
    return all(published)


@dataclass(frozen=True)
class Landing:
    """Whether a trading day that is due has landed, and if not, why."""

    day: date
    by: str
    """The deadline, in words."""
    reason: str | None
    """Why it has not landed; None if it has."""
    run_id: str | None = None
    """The run that says more about the reason."""

    @property
    def has_landed(self) -> bool:
        """Whether it has landed, in time or late."""
        return self.reason is None

    @property
    def headline(self) -> str:
        """Whether it has landed, without the reason."""
        return f"{self.day} has landed" if self.has_landed else f"{self.day} has not landed by {self.by}"

    @property
    def sentence(self) -> str:
        """The headline with the reason."""
        return f"{self.headline}: {self.reason}" if self.reason else self.headline

    @property
    def check_result(self) -> dict[str, Any]:
        """The result of the check."""
        reason = {"reason": self.reason} if self.reason else {}
        return {
            "passed": self.has_landed,
            "severity": dg.AssetCheckSeverity.ERROR,
            "description": literal(self.sentence),
            "metadata": {"day": self.day.isoformat(), "deadline": self.by, **reason},
        }


def landing(settings: Settings, instance: dg.DagsterInstance, day: date) -> Landing:
    """Find out whether a day has landed, and if not, why."""
    by = f"{settings.late_time:%H:%M} New York"
    lake = Lake(settings.lake_uri)
    try:
        if has_landed(lake, day):
            return Landing(day, by, None)
        return Landing(day, by, *_why_not(settings, instance, lake, day))
    except LakeError as error:
        return Landing(day, by, str(error))


def _why_not(settings: Settings, instance: dg.DagsterInstance, lake: Lake, day: date) -> tuple[str, str | None]:
    """The reason, and the run that says more about it."""
    if run := next((run for run in unfinished_runs(instance) if covers(run, day)), None):
        return f"{what(instance, run)} is in progress ({in_words(run)})", run.run_id
    if waits_for := _missing_files(settings, day):
        return waits_for, None
    if failed := _last_failure(instance, day):
        return f"{failed.job_id} ended in {failed.status}: {failed.error}", failed.run_id
    previous = trading_days(settings.first_trading_day).previous(day)
    if previous and lake.manifest(CLOSES, previous) is None:
        return f"its report waits for the closes of {previous}", None
    return "its files are complete, and no run works on it", None


def _missing_files(settings: Settings, day: date) -> str | None:
    """Which files are missing, still arriving, or held back by a precondition."""
    try:
        deliveries = RawFolder(settings.raw_uri).deliveries(day)
        if arriving := still_arriving(deliveries, settings.quiet_seconds, datetime.now(UTC)):
            return f"waiting for {' and '.join(arriving)}: still arriving"
        unmet = settings.preconditions.unmet_of(deliveries, _COMMAND_SECONDS)
    except MissingDeliveryError as missing:
        return f"waiting for {' and '.join(missing.exchanges)}: {missing}"
    except (StorageError, UnreadableNameError) as error:
        return f"its files cannot be looked at: {error}"
    return f"waiting for {unmet}" if unmet else None


def _last_failure(instance: dg.DagsterInstance, day: date) -> JobStatus | None:
    """The job of the day that was the last to fail and has not succeeded since."""
    try:
        runs = runs_of(instance, [day])
    except NoPostgresError:  # an instance of Dagster's own, which has no statuses
        return None
    statuses = (runs.status(job, day) for job in JOB_NAMES)
    failed = [status for status in statuses if status and status.status != dg.DagsterRunStatus.SUCCESS.value]
    return max(failed, key=lambda status: status.updated_time, default=None)


def landed_check(settings: Settings, clock: Clock = time.time) -> dg.AssetChecksDefinition:
    """The check, which people may also execute at any time."""

    @dg.asset_check(
        asset=LANDED.asset_key,
        name=LANDED.name,
        description=f"The last trading day that was due by {settings.late_time:%H:%M} New York is published, "
        "whichever day was materialized last. The sensor late_days keeps this check up to date.",
        config_schema=NOTHING,
    )
    def landed(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        day = expected_day(settings, datetime.fromtimestamp(clock(), UTC))
        if day is None:
            return dg.AssetCheckResult(passed=True, description="no trading day is due yet")
        found = landing(settings, context.instance, day)
        if not found.has_landed and (delivered := delivered_day(settings, day)) != day:
            found = landing(settings, context.instance, delivered)
        return dg.AssetCheckResult(**found.check_result)

    return landed
