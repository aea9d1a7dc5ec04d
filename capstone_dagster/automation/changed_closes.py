"""The sensor `changed_closes`: a report is made again when the closes of the trading day before have come or changed.

It reads all that the event log says was published: `dg.asset_sensor` looks at the latest of it only, and loses the
days in between. Which report is outdated is judged in ``due``; what new files need is the business of `new_files`.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from capstone_dagster.automation import switches
from capstone_dagster.automation.due import Judge, Verdict, unfinished_runs
from capstone_dagster.settings import Settings
from capstone_dagster.trading_days import NoTradingDayError, TradingDays, parse_day, trading_days
from spark_code.lake import Lake
from spark_code.schemas import CLOSES, QUOTE_ANALYTICS, Table

# Events of each table that one tick reads; the rest is for the next.
_MOST_EVENTS = 500
# Days that one tick looks up in the lake, some ten requests each: it has a minute.
_MOST_JUDGED = 100
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

    @classmethod
    def parse(cls, text: str | None) -> "Cursor":
        """Read what ``str`` has written; nothing has been remembered before the first tick."""
        if not text:
            return cls()
        given = json.loads(text)
        return cls(given["read"], frozenset(map(date.fromisoformat, given["pending"])))

    def __str__(self) -> str:
        return json.dumps({"read": dict(self.read), "pending": sorted(map(str, self.pending))})


def _now() -> datetime:
    return datetime.now(UTC)


def changed_closes(settings: Settings, clock: Callable[[], datetime] = _now) -> dg.SensorDefinition:
    """The sensor."""

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
        verdicts = _judged(judge, sorted(day for day in days if _can_run(calendar, day)), calendar)
        decided = [verdict.reason for verdict in verdicts.values() if verdict.job or verdict.is_settled]
        open_ones = [verdict.reason for verdict in verdicts.values() if not verdict.job and not verdict.is_settled]
        waiting = list(dict.fromkeys(open_ones))
        for told in (*decided, _few(waiting)):
            if told:
                context.log.info(told)
        requests = [verdict.request(day) for day, verdict in verdicts.items() if verdict.job]
        pending = frozenset(day for day, verdict in verdicts.items() if not verdict.is_settled)
        nothing = _few([*decided, *waiting]) or "no closes and no reports were published since the last tick"
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else nothing,
            cursor=str(Cursor(read, pending)),
        )

    return sensor


def _published(instance: dg.DagsterInstance, table: Table, after: int | None, now: datetime) -> tuple[list[str], int]:
    """The days of a table that were published since, and how far to have read then."""
    key = dg.AssetKey(table.path.split("/"))
    if after is None:
        history = dg.AssetRecordsFilter(key, before_timestamp=(now - _FIRST_LOOK).timestamp())
        after = max((record.storage_id for record in instance.fetch_materializations(history, 1).records), default=0)
    since = dg.AssetRecordsFilter(key, after_storage_id=after)
    records = instance.fetch_materializations(since, _MOST_EVENTS, ascending=True).records
    visible = (now - _VISIBLE_WITHIN).timestamp()
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


def _judged(judge: Judge, days: Sequence[date], calendar: TradingDays) -> dict[date, Verdict]:
    """What shall happen with each day, the oldest first; those that somebody works on cost no look into the lake."""
    free = [day for day in days if not judge.busy_with(day)]
    later = Verdict(f"{len(free[_MOST_JUDGED:])} more days are looked up in the next ticks")
    left = dict.fromkeys(free[_MOST_JUDGED:], later)
    return {day: left.get(day) or judge.closes(day, calendar.previous(day)) for day in days}


def _few(reasons: Sequence[str]) -> str:
    more = [f"and {len(reasons) - _MOST_TOLD} more"] if len(reasons) > _MOST_TOLD else []
    return "; ".join([*reasons[:_MOST_TOLD], *more])
