"""The sensor ``late_days``: alerts if a trading day has not landed by its deadline in New York.

A freshness policy looks at the latest materialization of any day and knows no holidays. This sensor knows the
calendar: it judges every day once when it is due, alerts once if it is late, and looks at it until it has landed. Days
that were due before its first tick are not late, nor those after a sample: nobody could have delivered them.
"""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import islice, takewhile
from math import inf
from typing import NamedTuple

import dagster as dg

from capstone_dagster.assets.jobs import LANDED
from capstone_dagster.automation import switches
from capstone_dagster.automation.alerts.messages import TRIED_SECONDS, Alert, Sent, channels, deliver
from capstone_dagster.automation.landed_days import Landing, delivered_day, expected_day, has_landed, landing
from capstone_dagster.automation.ticks import Clock, SensorCursor
from capstone_dagster.settings import Settings
from capstone_dagster.trading_days import TradingDays, trading_days
from capstone_dagster.wording import printable
from spark_code.lake import Lake, LakeError
from spark_code.locations import StorageError

Deliver = Callable[[Settings, Alert, Collection[str]], Sent]

# After a time without a daemon, the sensor judges only so many of the last days: older ones are no news.
_MISSED_DAYS = 5
# Each tick looks all of them up in the lake. Once a day is late by a month, it is up to people.
_LATE_DAYS = 20
# A tick is cut off after 60 s. These are the times until which it begins looks and alerts, at least one of each. A look
# takes 30 s if a store does not answer, an alert 20 s if a channel does not; the next tick does the rest.
_LOOK_SECONDS, _ALERT_SECONDS = 5.0, 15.0


class LateDay(NamedTuple):
    """A day that was late and has not landed since; in the cursor it is a list."""

    day: date
    since: datetime
    """When the sensor found it late."""
    channels_left: tuple[str, ...]
    """The channels that have not taken the alert yet."""


class Cursor(SensorCursor, frozen=True):
    """What the sensor remembers from tick to tick."""

    judged_to: date | None
    late: tuple[LateDay, ...]


def late_days(
    settings: Settings, clock: Clock = time.time, deliver_alert: Deliver = deliver, seconds: Clock = time.monotonic
) -> dg.SensorDefinition:
    """The sensor; ``seconds`` measures how long a tick takes."""

    @dg.sensor(
        **switches.sensor_options(settings),
        name="late_days",
        description=f"Alerts once if a trading day has not landed by {settings.late_time:%H:%M} New York, with the "
        "reason. Keeps the check landed of report/daily_summary up to date.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        now = datetime.fromtimestamp(clock(), UTC)
        expected = expected_day(settings, now)
        if expected is None:
            return dg.SkipReason("no trading day is due yet")
        tick = _LateDaysTick(settings, context.instance, deliver_alert, now, seconds)
        before = Cursor.parse(context.cursor) or Cursor(judged_to=None, late=())
        try:
            if expected != before.judged_to and not _is_in(Lake(settings.lake_uri), expected):
                expected = delivered_day(settings, expected)
                if not context.cursor and not _is_in(Lake(settings.lake_uri), expected):
                    context.update_cursor(str(Cursor(judged_to=expected, late=())))
                    return dg.SkipReason(f"{expected} was due before this sensor began; it judges the days after it")
            sentences, cursor = tick.look(before, expected)
        except StorageError as error:
            return dg.SkipReason(f"the lake cannot be looked at; the next tick tries again: {error}")
        context.update_cursor(str(cursor))
        for sentence in sentences:
            context.log.info(printable(sentence))
        return dg.SkipReason("; ".join(sentences) or _nothing_new(cursor))

    return sensor


@dataclass(frozen=True)
class _LateDaysTick:
    """One look at everything that is due."""

    settings: Settings
    instance: dg.DagsterInstance
    deliver: Deliver
    now: datetime
    seconds: Clock

    def look(self, before: Cursor, expected: date) -> tuple[list[str], Cursor]:
        """Judge the days that are due and those that were late; ask all stores first, then alert people."""
        began, lake = self.seconds(), Lake(self.settings.lake_uri)
        due = _due_since(trading_days(self.settings.first_trading_day), before.judged_to, expected)
        back = [late.day for late in before.late if _is_in(lake, late.day)]
        is_renewed = bool(back) or self._is_check_outdated()
        # It takes no time to look at days that have landed. The check's latest result must be that of the day that is
        # due now, also when an older one lands at last. The next tick continues with due days that are left.
        to_alert = [late.day for late in before.late if late.channels_left]
        to_judge = due or ([expected] if is_renewed else [])
        landings = self._landings(back) | self._landings([*to_judge, *to_alert], began + _LOOK_SECONDS)
        due = [day for day in due if day in landings]
        judged = sorted({*due, *back, expected} & landings.keys()) if due or is_renewed else []
        for day in judged:
            evaluation = dg.AssetCheckEvaluation(LANDED.asset_key, LANDED.name, **landings[day].check_result)
            self.instance.report_runless_asset_event(evaluation)
        all_channels = tuple(channels(self.settings))
        late_still = [late for late in before.late if late.day not in back]
        late_now = [LateDay(day, self.now, all_channels) for day in due if not landings[day].has_landed]
        alerts, late = self._alert([*late_still, *late_now], landings, began)
        if late_now and not all_channels:
            alerts.append(f"{Sent((), {})}")
        cursor = Cursor(judged_to=max(due, default=before.judged_to), late=tuple(late[-_LATE_DAYS:]))
        return [*(landings[day].sentence for day in judged), *alerts], cursor

    def _is_check_outdated(self) -> bool:
        """Whether any day was published since the check's latest result: then Dagster no longer shows the result."""
        latest = self.instance.event_log_storage.get_latest_asset_check_execution_by_key([LANDED]).get(LANDED)
        published = self.instance.get_latest_materialization_event(LANDED.asset_key)
        return bool(latest and latest.event and published and published.timestamp >= latest.event.timestamp)

    def _landings(self, days: Iterable[date], until: float = inf) -> dict[date, Landing]:
        """Look at as many of the days as there is time for, at least one."""
        found: dict[date, Landing] = {}
        for day in days:
            if found and self.seconds() >= until:
                break
            found[day] = landing(self.settings, self.instance, day)
        return found

    def _alert(
        self, late_days: Iterable[LateDay], landings: Mapping[date, Landing], began: float
    ) -> tuple[list[str], list[LateDay]]:
        """Send alerts to the channels that are left; returns a sentence for each, and the days with what is left."""
        sentences: list[str] = []
        left: list[LateDay] = []
        for late in late_days:
            to, found = late.channels_left, landings.get(late.day)
            has_time = not sentences or self.seconds() < began + _ALERT_SECONDS
            if to and found and not found.has_landed and has_time:
                alert = Alert(found.headline, f"Day: {found.day}\nReason: {found.reason}", found.run_id)
                sent = self.deliver(self.settings, alert, to)
                is_given_up = (self.now - late.since).total_seconds() > TRIED_SECONDS
                to = () if is_given_up else tuple(sent.refused_by)
                sentences.append(f"alert of {late.day} {sent}" + ("; given up" if sent.refused_by and not to else ""))
            left.append(late._replace(channels_left=to))
        return sentences, left


def _due_since(calendar: TradingDays, judged_to: date | None, expected: date) -> Sequence[date]:
    """The days that have become due since the last look; at the first look only the last of them."""
    if judged_to is None:
        return [expected]
    since = takewhile(lambda day: day > judged_to, calendar.back_from(expected))
    return sorted(islice(since, _MISSED_DAYS))


def _is_in(lake: Lake, day: date) -> bool:
    try:
        return has_landed(lake, day)
    except LakeError:  # the alert has named it as the reason
        return False


def _nothing_new(cursor: Cursor) -> str:
    late = ", ".join(f"{late.day}" for late in cursor.late)
    return f"nothing new; still late: {late}" if late else f"all has landed up to {cursor.judged_to}"
