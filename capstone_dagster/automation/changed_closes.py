"""The sensor `changed_closes`: a report is made again when the closes of the trading day before have come or changed.

It reads all that the event log says was published: `dg.asset_sensor` looks at the latest of it only, and loses the
days in between. Which report is outdated is judged in ``needed_runs``; what new files need, in ``new_files``.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Self

import dagster as dg

from capstone_dagster.assets.tables import asset_key
from capstone_dagster.automation import switches
from capstone_dagster.automation.landing import Clock, now
from capstone_dagster.automation.needed_runs import Judge, Verdict
from capstone_dagster.deliveries.scan import beginning_with
from capstone_dagster.runs.unfinished import unfinished_runs
from capstone_dagster.settings import Settings
from capstone_dagster.trading_days import NoTradingDayError, TradingDays, parse_day, trading_days
from capstone_dagster.wording import few
from spark_code.lake import Lake
from spark_code.schemas import CLOSES, QUOTE_ANALYTICS, Table

# Events of each table that one tick reads; the rest is for the next.
_MOST_EVENTS = 500
# For looking up days in the lake, some ten requests each. A tick has a minute, and a request that is repeated may take
# half of it; days that are left over are judged in the next tick.
_JUDGE_SECONDS = 10.0
# How far back the first tick reads: what was published while everything started, and no history.
_FIRST_LOOK = timedelta(days=1)
# Postgres numbers events before others can see them. Younger ones are read once more, so that none is passed by.
_VISIBLE_WITHIN = timedelta(seconds=10)
_MOST_TOLD = 5


@dataclass(frozen=True)
class Cursor:
    """What the sensor remembers: how far it has read, and the days that are not settled."""

    read: Mapping[str, int] = field(default_factory=dict)
    pending: frozenset[date] = frozenset()
    judge_at: date | None = None
    """The day with which the next judging begins: days that cannot be judged must not take all the time."""

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """Read what ``str`` has written; what cannot be read counts as nothing."""
        try:
            given = json.loads(text or "{}")
            read = {str(table): int(after) for table, after in given["read"].items()}
            judge_at = given["next"] and date.fromisoformat(given["next"])
            return cls(read, frozenset(map(date.fromisoformat, given["pending"])), judge_at)
        except (ValueError, LookupError, TypeError, AttributeError):
            return cls()

    def __str__(self) -> str:
        pending, judge_at = sorted(map(str, self.pending)), self.judge_at and f"{self.judge_at}"
        return json.dumps({"read": dict(self.read), "pending": pending, "next": judge_at})


def changed_closes(
    settings: Settings, clock: Clock = now, seconds: Callable[[], float] = time.monotonic
) -> dg.SensorDefinition:
    """The sensor; ``seconds`` says how long a tick takes."""

    @dg.sensor(
        name="changed_closes",
        job_name="analytical",
        minimum_interval_seconds=max(1, int(settings.sensor_seconds)),
        default_status=switches.of_sensor(settings),
        description="Runs `analytical` of a day when the closes of the trading day before have come or have changed, "
        "once for every change. Closes that are published again with the same rows change nothing.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        cursor, calendar = Cursor.parse(context.cursor), trading_days(settings.first_trading_day)
        read, days = dict(cursor.read), set(cursor.pending)
        for table in (CLOSES, QUOTE_ANALYTICS):
            published, read[table.path] = _published(context.instance, table, cursor.read.get(table.path), clock())
            days.update(_with_report_of(table, published, calendar))
        # Looked up only now: whoever has published any of this is seen to go on, or has ended.
        judge = Judge(context.instance, Lake(settings.lake_uri), unfinished_runs(context.instance))
        known = sorted(day for day in days if _can_run(calendar, day))
        verdicts, judge_at = _judged(judge, beginning_with(cursor.judge_at, known), calendar, seconds)
        decided = [verdict.reason for verdict in verdicts.values() if verdict.job or verdict.is_settled]
        open_ones = [verdict.reason for verdict in verdicts.values() if not verdict.job and not verdict.is_settled]
        waiting = list(dict.fromkeys(open_ones))
        for told in (*decided, few(waiting, _MOST_TOLD)):
            if told:
                context.log.info(told)
        requests = [verdict.request(day) for day, verdict in sorted(verdicts.items()) if verdict.job]
        pending = frozenset(day for day, verdict in verdicts.items() if not verdict.is_settled)
        nothing = few([*decided, *waiting], _MOST_TOLD) or "no closes and no reports were published since the last tick"
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else nothing,
            cursor=str(Cursor(read, pending, judge_at)),
        )

    return sensor


def _published(instance: dg.DagsterInstance, table: Table, after: int | None, at: datetime) -> tuple[list[str], int]:
    """The days of a table that were published since, and how far to have read then."""
    key = asset_key(table)
    if after is None:
        history = dg.AssetRecordsFilter(key, before_timestamp=(at - _FIRST_LOOK).timestamp())
        after = max((record.storage_id for record in instance.fetch_materializations(history, 1).records), default=0)
    since = dg.AssetRecordsFilter(key, after_storage_id=after)
    records = instance.fetch_materializations(since, _MOST_EVENTS, ascending=True).records
    visible = (at - _VISIBLE_WITHIN).timestamp()
    passed = max((record.storage_id for record in records if record.timestamp < visible), default=after)
    return [record.partition_key or "" for record in records], passed


def _with_report_of(table: Table, published: Iterable[str], calendar: TradingDays) -> Iterator[date]:
    """The days whose reports are made from these closes, or are these reports."""
    for name in set(published):
        try:
            day = parse_day(name)
        except NoTradingDayError:  # materialized without a day, which is nothing of ours
            continue
        following = calendar.next(day)
        if table != CLOSES:
            yield day
        elif following and calendar.previous(following) == day:
            yield following


def _can_run(calendar: TradingDays, day: date) -> bool:
    """Whether Dagster knows the day: it refuses all requests of a tick for one that it does not."""
    try:
        return bool(calendar.require(day))
    except NoTradingDayError:
        return False


def _judged(
    judge: Judge, days: Sequence[date], calendar: TradingDays, seconds: Callable[[], float]
) -> tuple[dict[date, Verdict], date | None]:
    """What shall happen with each day, and with which the next tick begins if there was no time for all."""
    verdicts: dict[date, Verdict] = {}
    left: list[date] = []
    looked, deadline = 0, seconds() + _JUDGE_SECONDS
    for day in days:
        # Those that somebody works on cost no look into the lake.
        is_looked_up = judge.busy_with(day) is None
        if is_looked_up and looked and seconds() >= deadline:
            left.append(day)
            continue
        looked += is_looked_up
        verdicts[day] = judge.closes(day, calendar.previous(day))
    later = Verdict(f"{len(left)} more days are looked up in the next ticks")
    return verdicts | dict.fromkeys(left, later), left[0] if left else None
