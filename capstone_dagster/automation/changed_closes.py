"""The sensor ``changed_closes``: makes a report again when the closes that it is compared with have come or changed.

These are the closes of the previous trading day, as corporate actions adjust them.
It reads every materialization in the event log: `dg.asset_sensor` looks only at the latest one, and would lose the
days in between. ``needed_runs`` judges which report is outdated; ``new_files`` watches the files.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime

import dagster as dg

from capstone_dagster.assets.table_assets import asset_key
from capstone_dagster.automation import switches
from capstone_dagster.automation.changed_actions import Compared, compared
from capstone_dagster.automation.needed_runs import Decision, Judge
from capstone_dagster.automation.ticks import Clock, SensorCursor
from capstone_dagster.runs.unfinished_runs import unfinished_runs
from capstone_dagster.settings import Settings
from capstone_dagster.trading_days import (
    NEW_YORK,
    NoTradingDayError,
    TradingDays,
    beginning_with,
    parse_day,
    trading_days,
)
from capstone_dagster.wording import few
from spark_code.corporate_actions import CorporateActions
from spark_code.lake import Lake
from spark_code.schemas import CLOSES, QUOTE_ANALYTICS, Table

# The events of each table that one tick reads; the next tick reads the rest.
_EVENTS_PER_TICK = 500
# For looking up days in the lake, some ten requests each. A tick has a minute, and a request that is repeated may take
# half of it; the next tick judges the days that are left.
_JUDGE_SECONDS = 10.0
# How far back the first tick reads: what was published while everything started, but no history.
_FIRST_LOOK_SECONDS = 86_400
# Postgres numbers events before others can see them. A tick reads younger events once more, so that it misses none.
_VISIBLE_SECONDS = 10
_REASONS_SHOWN = 5


class Cursor(SensorCursor, frozen=True):
    """What the sensor remembers: how far it has read, and the days that are not settled."""

    read: dict[str, int]
    pending: tuple[date, ...]
    next: date | None
    """The day with which the next tick begins to judge: days that cannot be judged must not take all the time."""
    actions: str = ""
    """The state of the file of corporate actions with which reports were, or are, compared; empty without a file."""
    uncompared: date | None = None
    """The last of the days of which the reports are still to be compared with it."""


def changed_closes(
    settings: Settings, clock: Clock = time.time, seconds: Clock = time.monotonic
) -> dg.SensorDefinition:
    """The sensor; ``seconds`` measures how long a tick takes."""

    @dg.sensor(
        **switches.sensor_options(settings),
        name="changed_closes",
        job_name="analytical",
        description="Runs `analytical` of a day when the closes of the trading day before have come or have changed, "
        "or its corporate actions, once for every change. Closes that are published again with the same rows change "
        "nothing.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        cursor = Cursor.parse(context.cursor) or Cursor(read={}, pending=(), next=None)
        calendar = trading_days(settings.first_trading_day)
        read, days = dict(cursor.read), set(cursor.pending)
        for table in (CLOSES, QUOTE_ANALYTICS):
            published, read[table.path] = _published(context.instance, table, cursor.read.get(table.path), clock())
            days.update(_with_report_of(table, published, calendar))
        lake, actions = Lake(settings.lake_uri), CorporateActions(settings.raw_uri)
        today = datetime.fromtimestamp(clock(), NEW_YORK).date()
        adjusted = compared(Compared(cursor.actions, cursor.uncompared), lake, actions, calendar, today)
        days.update(adjusted.days)
        # Looked up only now: a run that has published any of this is still seen in progress, or it has ended.
        judge = Judge(context.instance, lake, unfinished_runs(context.instance), actions)
        known = sorted(day for day in days if _can_run(calendar, day))
        decisions, judge_at = _judged(judge, beginning_with(cursor.next, known), calendar, seconds)
        decided = [decision.reason for decision in decisions.values() if decision.job or decision.is_settled]
        open_ones = [decision.reason for decision in decisions.values() if not decision.job and not decision.is_settled]
        waiting = list(dict.fromkeys([*filter(None, [adjusted.problem]), *open_ones]))
        for reason in (*decided, few(waiting, _REASONS_SHOWN)):
            if reason:
                context.log.info(reason)
        requests = [decision.request(day) for day, decision in sorted(decisions.items()) if decision.job]
        pending = tuple(sorted(day for day, decision in decisions.items() if not decision.is_settled))
        reasons = few([*decided, *waiting], _REASONS_SHOWN)
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else reasons or "no closes and no reports were published since the last tick",
            cursor=str(
                Cursor(read=read, pending=pending, next=judge_at, actions=adjusted.state, uncompared=adjusted.left)
            ),
        )

    return sensor


def _published(instance: dg.DagsterInstance, table: Table, after: int | None, now: float) -> tuple[list[str], int]:
    """The days of a table that were published since, and the event after which the next tick reads."""
    key = asset_key(table)
    if after is None:
        history = dg.AssetRecordsFilter(key, before_timestamp=now - _FIRST_LOOK_SECONDS)
        after = max((record.storage_id for record in instance.fetch_materializations(history, 1).records), default=0)
    since = dg.AssetRecordsFilter(key, after_storage_id=after)
    records = instance.fetch_materializations(since, _EVENTS_PER_TICK, ascending=True).records
    visible = now - _VISIBLE_SECONDS
    passed = max((record.storage_id for record in records if record.timestamp < visible), default=after)
    return [record.partition_key or "" for record in records], passed


def _with_report_of(table: Table, published: Iterable[str], calendar: TradingDays) -> Iterator[date]:
    """The days of reports that are made from these closes, or the days of these reports."""
    for name in set(published):
        try:
            day = parse_day(name)
        except NoTradingDayError:  # somebody has materialized it without a day
            continue
        following = calendar.next(day)
        if table != CLOSES:
            yield day
        elif following and calendar.previous(following) == day:
            yield following


def _can_run(calendar: TradingDays, day: date) -> bool:
    """Whether Dagster knows the day; a request for an unknown day makes it refuse all requests of the tick."""
    try:
        return bool(calendar.require(day))
    except NoTradingDayError:
        return False


def _judged(
    judge: Judge, days: Sequence[date], calendar: TradingDays, seconds: Clock
) -> tuple[dict[date, Decision], date | None]:
    """What each day needs, and the day with which the next tick begins if there was no time for all."""
    decisions: dict[date, Decision] = {}
    left: list[date] = []
    looked, deadline = 0, seconds() + _JUDGE_SECONDS
    for day in days:
        # A day that a run works on is not looked up in the lake.
        is_looked_up = judge.busy_with(day) is None
        if is_looked_up and looked and seconds() >= deadline:
            left.append(day)
            continue
        looked += is_looked_up
        decisions[day] = judge.closes(day, calendar.previous(day))
    later = Decision(f"{len(left)} more days are looked up in the next ticks")
    return decisions | dict.fromkeys(left, later), left[0] if left else None
