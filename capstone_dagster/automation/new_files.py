"""The sensor ``new_files``: runs a trading day when every exchange has delivered it, and again when its files change.

``deliveries.scan`` looks at the raw folder, ``new_files_cursor`` remembers what it found, and ``needed_runs`` judges
what a day with complete deliveries needs.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import cached_property
from typing import Any

import dagster as dg

from capstone_dagster.assets.raw import arrival as arrival_of
from capstone_dagster.automation import switches
from capstone_dagster.automation.needed_runs import Judge
from capstone_dagster.automation.new_files_cursor import Ledger, Seen
from capstone_dagster.automation.ticks import Clock
from capstone_dagster.deliveries.completeness import why_incomplete
from capstone_dagster.deliveries.listing import Arrival, RawDay
from capstone_dagster.deliveries.scan import RawScan, Scan
from capstone_dagster.runs.unfinished_runs import unfinished_runs
from capstone_dagster.settings import Settings
from capstone_dagster.trading_days import NEW_YORK, TradingDays, beginning_with, trading_days
from capstone_dagster.wording import few, printable
from spark_code.corporate_actions import CorporateActions
from spark_code.lake import Lake
from spark_code.locations import StorageError, shown
from spark_code.raw_files import Delivery, RawFolder

# Dagster gives a tick one minute for everything; the next tick judges the days that are left.
_JUDGE_SECONDS = 2.0
_COMMAND_SECONDS = 10.0
_DAYS_SHOWN = 3


def new_files(settings: Settings, jobs: Sequence[Any]) -> dg.SensorDefinition:
    """The sensor. Pass the job objects of the code location: Dagster refuses equal copies as duplicates."""

    @dg.sensor(
        **switches.sensor_options(settings),
        name="new_files",
        jobs=jobs,
        description="Runs a trading day when every exchange has delivered it, and again when its files change. "
        f"Watches the latest {settings.watch_days} trading days that have a folder.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        def judge() -> Judge:
            actions = CorporateActions(settings.raw_uri)
            return Judge(context.instance, Lake(settings.lake_uri), unfinished_runs(context.instance), actions)

        ledger = Ledger.parse(context.cursor)
        try:
            tick = NewFilesTick(settings, RawFolder(settings.raw_uri), ledger, judge, datetime.now(UTC))
            tick.run()
        except StorageError as error:
            return dg.SkipReason(f"raw folder or lake cannot be looked at, the next tick tries again: {error}")
        for warning in tick.warnings:
            context.log.warning(printable(warning))
        for reason in tick.reasons:
            context.log.info(printable(reason))
        return dg.SensorResult(
            run_requests=tick.requests,
            skip_reason=None if tick.requests else tick.summary,
            asset_events=tick.arrived,
            cursor=str(ledger),
        )

    return sensor


@dataclass
class NewFilesTick:
    """One tick. It requests runs and changes the ledger; Dagster stores both together, or neither."""

    settings: Settings
    raw: RawFolder
    ledger: Ledger
    open_judge: Callable[[], Judge]
    """Called only when there is a day to judge, because it looks up runs."""
    now: datetime
    clock: Clock = time.monotonic
    requests: list[dg.RunRequest] = field(default_factory=list)
    arrived: list[dg.AssetObservation | dg.AssetMaterialization] = field(default_factory=list)
    """The deliveries that are complete and were not recorded yet."""
    warnings: list[str] = field(default_factory=list)
    """Logged once."""
    reasons: list[str] = field(default_factory=list)
    """Logged at every tick, for each day that is not settled."""
    waiting: list[str] = field(default_factory=list)
    """Short reasons of the days that wait."""
    summary: str = ""

    def run(self) -> None:
        """Look at the raw folder, and judge what is complete."""
        today = self.now.astimezone(NEW_YORK).date()
        scanner = RawScan(self.raw, self._calendar, self.clock)
        scan = scanner.look(today, self.settings.watch_days, self.ledger.days.keys(), self.ledger.look_at)
        self.ledger.look_at = scan.go_on_at
        self._warn(scan)
        self._judge_days(scan)
        self.summary = self._summary(scan)

    @property
    def _calendar(self) -> TradingDays:
        return trading_days(self.settings.first_trading_day)

    @cached_property
    def _judge(self) -> Judge:
        return self.open_judge()

    def _warn(self, scan: Scan) -> None:
        """Warn once of each misplaced file, and of days that are too old to be watched."""
        too_old = self.ledger.watch(scan.watched, scan.older, self._calendar)
        for first, last in too_old:
            span = f"{first}" if first == last else f"{first}..{last}"
            self.warnings.append(
                f"{span}: older than the {self.settings.watch_days} watched trading days (CAPSTONE_WATCH_DAYS); "
                f"if it is not published, run it: capstone run {span}"
            )
        not_looked_at = [day for day in scan.watched if day not in scan.days]
        for found in self.ledger.announce(scan.misplaced, not_looked_at):
            self.warnings.append(shown(f"{self.raw.storage.uri(found.place)}: {found.why}"))

    def _judge_days(self, scan: Scan) -> None:
        """Judge as many days as there is time for, the oldest first; the next tick continues with the others."""
        deadline = self.clock() + _JUDGE_SECONDS
        days = beginning_with(self.ledger.judge_at, list(scan.days))
        self.ledger.judge_at = None
        for day in days:
            if day != days[0] and self.clock() >= deadline:
                self.ledger.judge_at = day
                break
            self._judge_day(day, scan.days[day])
        self.requests.sort(key=lambda request: request.partition_key or "")

    def _judge_day(self, day: date, found: RawDay) -> None:
        waits: dict[str, str] = {}
        arrivals = {each.delivery.source.exchange: each for each in found.arrivals}
        seen = {
            exchange: self.ledger.see(day, exchange, each.delivery.fingerprint, self.now)
            for exchange, each in arrivals.items()
        }
        if day in self.ledger.settled:
            return
        for exchange, arrival in arrivals.items():
            if why := self._why_wait(arrival, seen[exchange]):
                waits[exchange] = why
        if waits:
            self.waiting.append(f"{day} is waiting for {' and '.join(waits)}")
            self.reasons.append("; ".join(f"{day} is waiting for {exchange}: {why}" for exchange, why in waits.items()))
            return
        self._judge_complete(day, [arrival.delivery for arrival in found.arrivals])

    def _why_wait(self, arrival: Arrival, seen: Seen) -> str | None:
        """Say what a delivery waits for before its day may run; None if it is complete and its preconditions hold."""
        delivery = arrival.delivery
        exchange = delivery.source.exchange
        if arrival.unreadable:
            return arrival.unreadable
        if why := why_incomplete(delivery, self.settings.quiet_seconds, self.now, seen.since):
            return why
        if not seen.is_recorded:
            self.arrived += arrival_of(delivery)
            seen.is_recorded = True
        try:
            unmet = self.settings.preconditions.unmet(delivery, _COMMAND_SECONDS)
        except StorageError as error:  # a condition may look at another store than that of the raw files
            return str(error)
        return unmet and unmet.removeprefix(f"{exchange}: ")

    def _judge_complete(self, day: date, deliveries: Sequence[Delivery]) -> None:
        previous = self._calendar.previous(day)
        requested = {request.partition_key for request in self.requests}
        decision = self._judge.files(day, previous, deliveries, on_the_way=f"{previous}" in requested)
        self.reasons.append(decision.reason)
        if decision.is_settled:
            self.ledger.settled.add(day)
        elif decision.job is None:
            self.waiting.append(decision.reason)
        elif self._calendar.partitions.has_partition_key(day.isoformat()):
            # Requested again until a tick finds the run: a request may get lost before its run is in the queue, and
            # Dagster takes a second request with the same run key for the same run.
            self.requests.append(decision.request(day))
        else:  # Dagster would refuse all requests of the tick because of one for a day that it does not know
            self.reasons.append(f"{day} is no partition yet, by the clock of this machine")

    def _summary(self, scan: Scan) -> str:
        if not scan.watched:
            return f"no trading day has a folder below {self.raw.storage.root} yet"
        watching = f"watching {len(scan.watched)} day{'s' if len(scan.watched) > 1 else ''}"
        if len(scan.days) < len(scan.watched):
            watching += f", {len(scan.days)} of them looked at this time"
        return f"{watching}; {few(self.waiting, _DAYS_SHOWN)}" if self.waiting else watching
