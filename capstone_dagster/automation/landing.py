"""Whether a trading day has landed: both tables of its report are published.

The asset check ``landed`` says it of the day that is due by now, by the clock and not by a partition: it is part of no
job. What a day waits for is in ``hindrances``; who tells people, in ``late_days``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

import dagster as dg

from capstone_dagster.assets.tables import NOTHING
from capstone_dagster.automation.hindrances import hindrance
from capstone_dagster.jobs import LANDED
from capstone_dagster.settings import Settings
from capstone_dagster.trading_days import NEW_YORK, trading_days
from spark_code.lake import Lake, LakeError
from spark_code.schemas import DAILY_SUMMARY, QUOTE_ANALYTICS

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
    return all(lake.manifest(table, day) for table in (DAILY_SUMMARY, QUOTE_ANALYTICS))


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
        return Landing(day, by, *hindrance(settings, instance, lake, day))
    except LakeError as error:
        return Landing(day, by, str(error))


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
