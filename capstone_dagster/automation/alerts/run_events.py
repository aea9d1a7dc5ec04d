"""Alerts about events of runs: each is sent once, and tried again for an hour if a channel does not take it.

The log of the run records which channels have taken an alert, and people see it there too; a sensor's cursor only says
how far it has looked. So a tick or daemon that dies loses nothing, and doubles at most the message it was sending.
``failed_jobs`` and ``rejected_lines`` judge which events need an alert.
"""

import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import dagster as dg
from dagster._core.events import EngineEventData

from capstone_dagster.automation import switches
from capstone_dagster.automation.alerts.messages import TRIED_SECONDS, Alert, channels, deliver
from capstone_dagster.automation.ticks import Clock
from capstone_dagster.settings import Settings
from spark_code.wording import counted

# None if there is nothing to send; "later" if it is too early to say.
Judgement = Alert | Literal["later"] | None

EVENTS_PER_TICK = 500
# A tick is cut off after 60 s; an alert that was begun before may take 20 s more.
_TICK_SECONDS = 30.0
# A channel that hangs must not hold up the others for long, nor an alert that a channel refuses the other alerts.
_FAILURES_PER_TICK = 2
# The metadata, in the log of a run, that records an alert.
_RECORD = "alert"


@dataclass(frozen=True)
class Watched:
    """The events that a sensor looks at, and how it judges them."""

    fetch: Callable[[dg.DagsterInstance, int | None], Sequence[dg.EventLogRecord]]
    """Fetches the events after an id, the oldest first; without an id, only the newest."""
    judge: Callable[[dg.DagsterInstance, dg.EventLogRecord, float], Judgement]
    """Judges an event by itself and by its age in seconds."""


def alert_sensor(
    settings: Settings, name: str, description: str, watched: Watched, clock: Clock = time.time
) -> dg.SensorDefinition:
    """The sensor that looks at these events."""

    @dg.sensor(**switches.sensor_options(settings), name=name, description=description)
    def look(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        looked = re.fullmatch(r"(-?\d+) (-?\d+)", context.cursor or "")
        if not looked:
            newest = [record.storage_id for record in watched.fetch(context.instance, None)]
            begin = max(newest, default=0)
            return dg.SensorResult(skip_reason="looks at events from now on", cursor=f"{begin} {begin}")
        after, seen = map(int, looked.groups())
        records = watched.fetch(context.instance, after)
        post = _Post(settings, context.instance, context.log, clock)
        unsettled = [record.storage_id for record in records if not post.is_settled(watched, record)]
        # Postgres assigns ids before it commits, so an event with a smaller id may show up late. Every event is
        # looked at in two ticks, and then until it is settled.
        next_after = min([seen, *(event_id - 1 for event_id in unsettled)])
        seen = max([seen, *(record.storage_id for record in records)])
        return dg.SensorResult(skip_reason=post.summary(len(unsettled)), cursor=f"{next_after} {seen}")

    return look


@dataclass
class _Known:
    """What has become of an alert in earlier ticks."""

    taken_by: list[str] = field(default_factory=list)
    is_settled: bool = False
    since: float | None = None
    """When it was tried for the first time."""


@dataclass
class _Post:
    """The alerts of one tick."""

    settings: Settings
    instance: dg.DagsterInstance
    log: logging.Logger
    clock: Clock
    began: float = field(default_factory=time.monotonic)
    failures: Counter[str] = field(default_factory=Counter)
    sentences: list[str] = field(default_factory=list)
    """What became of each alert."""
    too_early: int = 0
    """Of how many events it cannot be said yet whether they need one."""

    def summary(self, unsettled: int) -> str:
        """What the tick has done and what the next ones wait for, in a sentence."""
        unsent = unsettled - self.too_early
        waiting = [f"waiting for the next attempt of {counted(self.too_early, 'run')}"] if self.too_early else []
        waiting += [f"{counted(unsent, 'alert')} to be sent again"] if unsent else []
        return "; ".join([*self.sentences, *waiting]) or "nothing to send"

    def is_settled(self, watched: Watched, record: dg.EventLogRecord) -> bool:
        """Send the alert if there is one to send; returns whether the event needs nothing more."""
        age = self.clock() - record.timestamp
        alert = watched.judge(self.instance, record, age)
        if alert == "later":
            self.too_early += 1
        if alert is None or alert == "later":
            return alert is None
        known = self._known(alert, record.run_id)
        return known.is_settled or self._send(alert, record.run_id, known)

    def _known(self, alert: Alert, run_id: str) -> _Known:
        """Read from the log of the run what has become of the alert."""
        known = _Known()
        for entry in self.instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
            recorded = entry.get_dagster_event().engine_event_data.metadata.get(_RECORD)
            record: Any = recorded.value if recorded else None
            if record and record["title"] == alert.title:
                known.taken_by += record["taken_by"]
                known.is_settled = known.is_settled or record["is_settled"]
                known.since = known.since or record.get("since", entry.timestamp)  # an earlier release has not noted it
        return known

    def _send(self, alert: Alert, run_id: str, known: _Known) -> bool:
        now = self.clock()
        missing = [channel for channel in channels(self.settings) if channel not in known.taken_by]
        asked = [channel for channel in missing if self.failures[channel] < _FAILURES_PER_TICK]
        if (missing and not asked) or time.monotonic() - self.began > _TICK_SECONDS:
            return False
        sent = deliver(self.settings, alert, asked)
        self.failures.update(sent.refused_by.keys())
        is_last = known.since is not None and now - known.since > TRIED_SECONDS
        is_settled = asked == missing and (is_last or not sent.refused_by)
        how = f"{sent}; given up" if is_settled and sent.refused_by else f"{sent}"
        self.sentences.append(f"{alert.title}: {how}")
        self.log.log(logging.WARNING if sent.refused_by else logging.INFO, "%s\n%s", self.sentences[-1], alert.text)
        if sent.taken_by or is_settled or known.since is None:
            record = {"title": alert.title, "taken_by": list(sent.taken_by), "is_settled": is_settled, "since": now}
            self.instance.report_engine_event(
                f"Alert '{alert.title}': {how}",
                self.instance.get_run_by_id(run_id),
                EngineEventData({_RECORD: dg.MetadataValue.json(record)}),
            )
        return is_settled
