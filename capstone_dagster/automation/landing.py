"""Whether a trading day has landed: all tables of its report are published.

The asset check ``landed`` says it of the day that is due by now, by the clock and not by a partition: it is part of no
job. Who tells people is in ``alerts.late_days``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg

from capstone_dagster.assets.job_of_run import what
from capstone_dagster.assets.jobs import JOB_NAMES, LANDED
from capstone_dagster.assets.tables import NOTHING
from capstone_dagster.deliveries.scan import still_arriving
from capstone_dagster.job_status.attempts import JobStatus, runs_of
from capstone_dagster.run_tags import covers
from capstone_dagster.runs.unfinished import in_words, unfinished_runs
from capstone_dagster.settings import Settings
from capstone_dagster.trading_days import NEW_YORK, trading_days
from spark_code.flow import tables_of
from spark_code.lake import Lake, LakeError
from spark_code.locations import StorageError
from spark_code.raw_files import MissingDeliveryError, RawFolder, UnreadableNameError
from spark_code.schemas import CLOSES

# Of a precondition. Dagster gives a tick a minute, in which several days may have to be looked at.
_COMMAND_SECONDS = 2.0

Clock = Callable[[], datetime]


def now() -> datetime:
    """The clock of all but the tests."""
    return datetime.now(UTC)


def expected_day(settings: Settings, moment: datetime) -> date | None:
    """The last trading day whose time is up, if there is one."""
    local = moment.astimezone(NEW_YORK)
    day = local.date() if local.time() >= settings.late_time else local.date() - timedelta(days=1)
    return next(trading_days(settings.first_trading_day).back_from(day), None)


def has_landed(lake: Lake, day: date) -> bool:
    """Whether the day's report can be read."""
    published = [lake.manifest(table, day) for table in tables_of("analytical")]  # an error if one cannot be read
    return all(published)


@dataclass(frozen=True)
class Landing:
    """A trading day whose time is up."""

    day: date
    by: str
    """The deadline, in words."""
    hangs: str | None
    """Where it hangs, or None if it has landed."""
    run_id: str | None = None
    """The run that has to do with it."""

    @property
    def has_landed(self) -> bool:
        """Whether it is there, in time or late."""
        return self.hangs is None

    @property
    def told(self) -> str:
        """The headline."""
        return f"{self.day} has landed" if self.has_landed else f"{self.day} has not landed by {self.by}"

    @property
    def sentence(self) -> str:
        """The same with the reason."""
        return f"{self.told}: {self.hangs}" if self.hangs else self.told

    @property
    def finding(self) -> dict[str, Any]:
        """What the check says of it."""
        reason = {"reason": self.hangs} if self.hangs else {}
        return {
            "passed": self.has_landed,
            "severity": dg.AssetCheckSeverity.ERROR,
            "description": self.sentence,
            "metadata": {"day": self.day.isoformat(), "deadline": self.by, **reason},
        }


def landing(settings: Settings, instance: dg.DagsterInstance, day: date) -> Landing:
    """Look whether a day has landed, and if not, for the reason."""
    by = f"{settings.late_time:%H:%M} New York"
    lake = Lake(settings.lake_uri)
    try:
        if has_landed(lake, day):
            return Landing(day, by, None)
        return Landing(day, by, *_hindrance(settings, instance, lake, day))
    except LakeError as error:
        return Landing(day, by, str(error))


def _hindrance(settings: Settings, instance: dg.DagsterInstance, lake: Lake, day: date) -> tuple[str, str | None]:
    """Where the day hangs, and the run that tells more."""
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
    """What of the files has not come, is still coming, or must not be worked on yet."""
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
    """The job of the day that was the last to fail and was not mended since."""
    runs = runs_of(instance, [day])
    statuses = (runs.status(job, day) for job in JOB_NAMES)
    failed = [status for status in statuses if status and status.status != dg.DagsterRunStatus.SUCCESS.value]
    return max(failed, key=lambda status: status.updated_time, default=None)


def landed_check(settings: Settings, clock: Clock = now) -> dg.AssetChecksDefinition:
    """The check that people see, and may execute at any time."""

    @dg.asset_check(
        asset=LANDED.asset_key,
        name=LANDED.name,
        description=f"The last trading day that was due by {settings.late_time:%H:%M} New York is published, "
        "whatever day the last materialization was of. The sensor late_days keeps it up to date.",
        config_schema=NOTHING,
    )
    def landed(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        day = expected_day(settings, clock())
        if day is None:
            return dg.AssetCheckResult(passed=True, description="no trading day is due yet")
        return dg.AssetCheckResult(**landing(settings, context.instance, day).finding)

    return landed
