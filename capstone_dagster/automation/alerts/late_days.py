"""The late alarm: a trading day that has not landed at its time of day in New York.

A freshness policy looks at the latest materialization of any day and knows no holidays. This knows the calendar: every
day is judged once when its time is up, told about once if it is late, and looked at until it has landed.
"""

import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from itertools import islice, takewhile
from math import inf
from typing import Self

import dagster as dg

from capstone_dagster.assets.jobs import LANDED
from capstone_dagster.automation import switches
from capstone_dagster.automation.alerts.messages import TRIED_SECONDS, Alert, Sent, channels, deliver
from capstone_dagster.automation.landing import Clock, Landing, expected_day, has_landed, landing, now
from capstone_dagster.settings import Settings
from capstone_dagster.trading_days import TradingDays, trading_days
from spark_code.lake import Lake, LakeError
from spark_code.locations import StorageError

Deliver = Callable[[Settings, Alert, Collection[str]], Sent]

# After a time without a daemon: what was due before these is no news.
_MOST_MISSED_DAYS = 5
# Each is looked up in the lake at every tick; a day that is late by a month is a matter of people.
_MOST_LATE_DAYS = 20
# Of a tick, which is cut off after 60 s: until when looks and alerts are begun, at least one of each. A look takes 30 s
# where a store does not answer, an alert 20 s where a channel does not; what is left over is for the next tick.
_LOOK_SECONDS, _ALERT_SECONDS = 5.0, 15.0


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
    def parse(cls, text: str | None) -> Self:
        """Read what ``str`` has written; what cannot be read counts as nothing."""
        try:
            given = json.loads(text or "{}")
            late = (
                LateDay(date.fromisoformat(day), datetime.fromisoformat(since).astimezone(UTC), tuple(untold))
                for day, since, untold in given["late"]
            )
            return cls(date.fromisoformat(given["judged_to"]), tuple(late))
        except (ValueError, LookupError, TypeError, AttributeError):
            return cls()

    def __str__(self) -> str:
        late = [[f"{late.day}", late.since.isoformat(), late.untold] for late in self.late]
        return json.dumps({"judged_to": f"{self.judged_to}", "late": late})


def late_days(
    settings: Settings,
    clock: Clock = now,
    deliver_alert: Deliver = deliver,
    seconds: Callable[[], float] = time.monotonic,
) -> dg.SensorDefinition:
    """The sensor; ``seconds`` says how long a tick takes."""

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
        tick = _Tick(settings, context.instance, deliver_alert, moment, seconds)
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
    seconds: Callable[[], float]

    def look(self, before: Cursor, expected: date) -> tuple[list[str], Cursor]:
        """Judge what is due and what was late; the stores are asked first, people are told when all is known."""
        began, lake = self.seconds(), Lake(self.settings.lake_uri)
        due = _due_since(trading_days(self.settings.first_trading_day), before.judged_to, expected)
        back = [late.day for late in before.late if _is_back(lake, late.day)]
        is_renewed = bool(back) or self._is_check_outdated()
        # Days that have landed are quickly looked at. The check's last word is about the day that is due now, also when
        # an older one lands at last. With what is due and is left over, the next tick goes on.
        asked = [*(due or ([expected] if is_renewed else [])), *(late.day for late in before.late if late.untold)]
        landings = self._landings(back) | self._landings(asked, began + _LOOK_SECONDS)
        due = [day for day in due if day in landings]
        judged = sorted({*due, *back, expected} & landings.keys()) if due or is_renewed else []
        for day in judged:
            evaluation = dg.AssetCheckEvaluation(LANDED.asset_key, LANDED.name, **landings[day].finding)
            self.instance.report_runless_asset_event(evaluation)
        all_channels = tuple(channels(self.settings))
        late_still = [late for late in before.late if late.day not in back]
        late_now = [LateDay(day, self.moment, all_channels) for day in due if not landings[day].has_landed]
        told, late = self._tell([*late_still, *late_now], landings, began)
        if late_now and not all_channels:
            told.append(f"{Sent((), {})}")
        judged_to = max(due, default=before.judged_to)
        return [*(landings[day].sentence for day in judged), *told], Cursor(judged_to, tuple(late[-_MOST_LATE_DAYS:]))

    def _is_check_outdated(self) -> bool:
        """Whether a day was published since the check's last word: Dagster shows none then, whatever day that was."""
        word = self.instance.event_log_storage.get_latest_asset_check_execution_by_key([LANDED]).get(LANDED)
        published = self.instance.get_latest_materialization_event(LANDED.asset_key)
        return bool(word and word.event and published and published.timestamp >= word.event.timestamp)

    def _landings(self, days: Iterable[date], until: float = inf) -> dict[date, Landing]:
        """How it stands with the days, as far as there is time."""
        found: dict[date, Landing] = {}
        for day in days:
            if found and self.seconds() >= until:
                break
            found[day] = landing(self.settings, self.instance, day)
        return found

    def _tell(
        self, late_days: Iterable[LateDay], landings: Mapping[date, Landing], began: float
    ) -> tuple[list[str], list[LateDay]]:
        """Send what was not taken yet; in words what came of it, and what is left to send."""
        told: list[str] = []
        left: list[LateDay] = []
        for late in late_days:
            untold, found = late.untold, landings.get(late.day)
            has_time = not told or self.seconds() < began + _ALERT_SECONDS
            if untold and found and not found.has_landed and has_time:
                alert = Alert(found.told, f"Day: {found.day}\nReason: {found.hangs}", found.run_id)
                sent = self.deliver(self.settings, alert, untold)
                is_given_up = (self.moment - late.since).total_seconds() > TRIED_SECONDS
                untold = () if is_given_up else tuple(sent.refused_by)
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
