"""The late alarm: a trading day that has not landed at its time of day in New York.

A freshness policy looks at the latest materialization of any day and knows no holidays. This knows the calendar: every
day is judged once when its time is up, told about once if it is late, and looked at until it has landed.
"""

import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from itertools import islice, takewhile

import dagster as dg

from capstone_dagster.alerts import Alert, Sent, channels, deliver
from capstone_dagster.automation import switches
from capstone_dagster.automation.landing import Clock, Landing, expected_day, has_landed, landing, now
from capstone_dagster.jobs import LANDED
from capstone_dagster.settings import Settings
from capstone_dagster.trading_days import TradingDays, trading_days
from spark_code.lake import Lake, LakeError
from spark_code.storage import StorageError

Deliver = Callable[[Settings, Alert, Collection[str]], Sent]

# After a time without a daemon: what was due before these is no news.
_MOST_MISSED_DAYS = 5
# Each is looked up in the lake at every tick; a day that is late by a month is a matter of people.
_MOST_LATE_DAYS = 20
# How long an alert that a channel did not take is tried again.
_TRIED = timedelta(hours=1)
# For all alerts of a tick, which is cut off after 60 s; the last one may take 20 s more.
_ALERT_SECONDS = 10.0


@dataclass(frozen=True)
class LateDay:
    """A day that was late and has not landed since."""

    day: date
    since: datetime
    """When that was found."""
    untold: tuple[str, ...]
    """The channels that have not taken the alert yet."""


@dataclass(frozen=True)
class Cursor:
    """What the sensor remembers from tick to tick."""

    judged_to: date | None = None
    late: tuple[LateDay, ...] = ()

    @classmethod
    def parse(cls, text: str | None) -> "Cursor":
        """Read what ``str`` has written; before the first tick there is nothing."""
        if not text:
            return cls()
        given = json.loads(text)
        late = (
            LateDay(date.fromisoformat(day), datetime.fromisoformat(since), tuple(untold))
            for day, since, untold in given["late"]
        )
        return cls(date.fromisoformat(given["judged_to"]), tuple(late))

    def __str__(self) -> str:
        late = [[f"{late.day}", late.since.isoformat(), late.untold] for late in self.late]
        return json.dumps({"judged_to": f"{self.judged_to}", "late": late})


def late_days(settings: Settings, clock: Clock = now, deliver_alert: Deliver = deliver) -> dg.SensorDefinition:
    """The sensor."""

    @dg.sensor(
        name="late_days",
        minimum_interval_seconds=max(1, int(settings.sensor_seconds)),
        default_status=switches.of_sensor(settings),
        description=f"Alerts once for every trading day that has not landed by {settings.late_time:%H:%M} New York, "
        "with the reason, and keeps the check `landed` of report/daily_summary up to date.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        moment = clock()
        expected = expected_day(settings, moment)
        if expected is None:
            return dg.SkipReason("no trading day is due yet")
        tick = _Tick(settings, context.instance, deliver_alert, moment)
        try:
            told, cursor = tick.look(Cursor.parse(context.cursor), expected)
        except StorageError as error:
            return dg.SkipReason(f"the lake cannot be looked at; the next tick tries again: {error}")
        context.update_cursor(str(cursor))
        return dg.SkipReason("; ".join(told) or _nothing_new(cursor))

    return sensor


@dataclass(frozen=True)
class _Tick:
    """One look at all that is due."""

    settings: Settings
    instance: dg.DagsterInstance
    deliver: Deliver
    moment: datetime

    def look(self, before: Cursor, expected: date) -> tuple[list[str], Cursor]:
        """Judge what is due and what was late; the stores are asked first, people are told when all is known."""
        lake = Lake(self.settings.lake_uri)
        due = _due_since(trading_days(self.settings.first_trading_day), before.judged_to, expected)
        back = [late.day for late in before.late if _is_back(lake, late.day)]
        late_still = [late for late in before.late if late.day not in back]
        # The check's last word is about the day that is due now, also when an older one lands at last.
        judged = sorted({*due, *back, expected}) if due or back else []
        asked = {*judged, *(late.day for late in late_still if late.untold)}
        landings = {day: landing(self.settings, self.instance, day) for day in asked}
        for day in judged:
            evaluation = dg.AssetCheckEvaluation(LANDED.asset_key, LANDED.name, **landings[day].finding)
            self.instance.report_runless_asset_event(evaluation)
        all_channels = tuple(channels(self.settings))
        late_now = [LateDay(day, self.moment, all_channels) for day in due if not landings[day].has_landed]
        told, late = self._tell([*late_still, *late_now], landings)
        if late_now and not all_channels:
            told.append(f"{Sent((), {})}")
        judged_to = max(due, default=before.judged_to)
        return [*(landings[day].sentence for day in judged), *told], Cursor(judged_to, tuple(late[-_MOST_LATE_DAYS:]))

    def _tell(self, late_days: Iterable[LateDay], landings: Mapping[date, Landing]) -> tuple[list[str], list[LateDay]]:
        """Send what was not taken yet; in words what came of it, and what is left to send."""
        began = time.monotonic()
        told: list[str] = []
        left: list[LateDay] = []
        for late in late_days:
            untold, found = late.untold, landings.get(late.day)
            if untold and found and not found.has_landed and time.monotonic() - began < _ALERT_SECONDS:
                alert = Alert(found.told, f"Day: {found.day}\nReason: {found.hangs}", found.run_id)
                sent = self.deliver(self.settings, alert, untold)
                untold = () if self.moment - late.since > _TRIED else tuple(sent.refused_by)
                told.append(f"alert of {late.day} {sent}" + ("; given up" if sent.refused_by and not untold else ""))
            left.append(replace(late, untold=untold))
        return told, left


def _due_since(calendar: TradingDays, judged_to: date | None, expected: date) -> Sequence[date]:
    """The days whose time is up since the last look; at the first look only the last of them."""
    if judged_to is None:
        return [expected]
    since = takewhile(lambda day: day > judged_to, calendar.back_from(expected))
    return sorted(islice(since, _MOST_MISSED_DAYS))


def _is_back(lake: Lake, day: date) -> bool:
    try:
        return has_landed(lake, day)
    except LakeError:  # told already, as the reason
        return False


def _nothing_new(cursor: Cursor) -> str:
    late = ", ".join(f"{late.day}" for late in cursor.late)
    return f"nothing new; still late: {late}" if late else f"all has landed up to {cursor.judged_to}"
