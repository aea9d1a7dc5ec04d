"""A world in which days are delivered, watched by the sensor and run, quick enough for thousands of stories.

The sensor's tick and the judge are the real ones. The raw folder, the lake, the run storage, Dagster's daemon and the
runs are models; the daemon stores, resumes and repeats as Dagster's ``_daemon/sensor.py`` does.
"""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, cast, get_args

import dagster as dg
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin

from capstone_dagster.automation.needed_runs import Judge, fingerprint
from capstone_dagster.automation.new_files import NewFilesTick
from capstone_dagster.automation.new_files_cursor import Ledger
from capstone_dagster.run_tags import DELIVERIES_TAG, PARTITION_TAG, RUN_KEY_TAG
from capstone_dagster.settings import Settings
from capstone_dagster_tests.builders.raw_folders import CountedRaw
from spark_code.flow import tables_of
from spark_code.lake import Lake
from spark_code.manifest import Manifest
from spark_code.raw_files import SOURCES, SUCCESS, MissingDeliveryError
from spark_code.schemas import CLOSES, EVENTS, QUOTES, TRADES, Table

DAYS = (date(2020, 9, 3), date(2020, 9, 4), date(2020, 9, 8))
PREVIOUS = {DAYS[0]: None, DAYS[1]: DAYS[0], DAYS[2]: DAYS[1]}
SETTINGS = Settings.from_mapping({"CAPSTONE_FIRST_TRADING_DAY": f"{DAYS[0]}"})
QUIET = timedelta(seconds=60)

Crash = Literal[
    "before anything is stored",
    "when runs are reserved",
    "when a run is created",
    "when a run is launched",
    "no run can be launched",  # the database was away: the daemon goes on as if it were launched
]
CRASHES: tuple[Crash, ...] = get_args(Crash)
Outcome = Literal["success", "no report", "nothing"]
_STATUS = dg.DagsterRunStatus
_UNFINISHED = [_STATUS.QUEUED, _STATUS.STARTED]
_REPOSITORY = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("capstone"), "__repository__")


class Runs:
    """What the judge asks of a run storage."""

    def __init__(self) -> None:
        self.by_id: dict[str, dg.DagsterRun] = {}

    def get_runs(self, filters: dg.RunsFilter) -> list[dg.DagsterRun]:
        def fits(run: dg.DagsterRun) -> bool:
            is_status = not filters.statuses or run.status in filters.statuses
            return is_status and (filters.tags or {}).items() <= run.tags.items()

        return [run for run in reversed(self.by_id.values()) if fits(run)]

    def get_run_by_id(self, run_id: str) -> dg.DagsterRun | None:
        return self.by_id.get(run_id)


class Pointers:
    """What the judge asks of a lake: which versions count, and no files of any."""

    def __init__(self) -> None:
        self.storage = self
        self.manifests: dict[tuple[str, date], Manifest] = {}

    def manifest(self, table: Table, day: date) -> Manifest | None:
        return self.manifests.get((table.path, day))

    def objects(self, _prefix: str) -> list[Any]:
        return []


@dataclass
class Reserved:
    """A tick whose result is stored, and whose runs are not all there yet."""

    requests: list[tuple[str, dg.RunRequest]]
    cursor: str


@dataclass
class World:
    """Everything."""

    chance: random.Random
    now: datetime = datetime(2020, 9, 9, 12, tzinfo=UTC)
    raw: CountedRaw = field(default_factory=CountedRaw)
    runs: Runs = field(default_factory=Runs)
    lake: Pointers = field(default_factory=Pointers)
    cursor: str | None = None
    reserved: Reserved | None = None
    doubled: list[str] = field(default_factory=list)
    """Runs that were asked for although the lake held what they would load."""
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    # What the exchanges do

    def put(self, day: date, exchange: int, name: str, content: str) -> None:
        source = SOURCES[exchange]
        self.raw.put(f"{source.folder(day)}/{name}", content=content, at=self.now)

    def remove(self, day: date, exchange: int, name: str) -> None:
        self.raw.storage.stored.pop(f"{SOURCES[exchange].folder(day)}/{name}", None)

    def is_complete(self, day: date) -> bool:
        """By the words of the contract, and not by the code."""
        for source in SOURCES:
            folder = f"{source.folder(day)}/"
            found = {key.removeprefix(folder): one for key, one in self.raw.storage.stored.items() if folder in key}
            times = [one.last_modified for name, one in found.items() if name != SUCCESS]
            if not times:
                return False
            is_said = SUCCESS in found and found[SUCCESS].last_modified >= max(times)
            if not is_said and self.now - max(times) < QUIET:
                return False
        return True

    def version(self, day: date) -> str | None:
        """What lies there of a day, as the tag of a run names it; None where an exchange is missing."""
        try:
            return fingerprint(self.raw.deliveries(day))
        except MissingDeliveryError:
            return None

    # What Dagster's daemon does

    def tick(self, crash: Crash | None = None) -> bool:
        """One iteration; whether the sensor looked and what it found is stored."""
        looked = self.reserved is None
        if self.reserved is None:
            ledger = Ledger.parse(self.cursor)
            tick = NewFilesTick(SETTINGS, self.raw, ledger, self._judge, self.now, lambda: 0.0)
            tick.run()
            if crash == "before anything is stored":
                return False
            self.reserved = Reserved([(self._new_id(), request) for request in tick.requests], str(ledger))
            if crash == "when runs are reserved":
                return True
        for run_id, request in self.reserved.requests:
            run = self._get_or_create(run_id, request)
            if crash == "when a run is created":
                return looked
            if run.status == _STATUS.NOT_STARTED and crash != "no run can be launched":
                self._becomes(run, _STATUS.QUEUED)
            if crash == "when a run is launched":
                return looked
        self.cursor, self.reserved = self.reserved.cursor, None
        return looked

    def gives_up_the_tick(self) -> None:
        """As Dagster does with an interrupted tick of the day before: its cursor is lost with it."""
        self.reserved = None

    def _judge(self) -> Judge:
        unfinished = self.runs.get_runs(dg.RunsFilter(statuses=_UNFINISHED))
        return Judge(cast(dg.DagsterInstance, self.runs), cast(Lake, self.lake), unfinished)

    def _get_or_create(self, run_id: str, request: dg.RunRequest) -> dg.DagsterRun:
        of_key = self.runs.get_runs(dg.RunsFilter(tags={RUN_KEY_TAG: request.run_key or ""}))
        if found := next(iter(of_key), self.runs.get_run_by_id(run_id)):
            return found
        day = date.fromisoformat(request.partition_key or "")
        if request.tags.get(DELIVERIES_TAG) == self.loaded(day):
            self.doubled.append(f"{request.run_key}")
        job = request.job_name or ""
        tags = {**request.tags, PARTITION_TAG: f"{day}", RUN_KEY_TAG: request.run_key or ""}
        run = dg.DagsterRun(
            job, run_id, tags=tags, status=_STATUS.NOT_STARTED, remote_job_origin=_REPOSITORY.get_job_origin(job)
        )
        self.runs.by_id[run_id] = run
        return run

    # What runs do

    def loaded(self, day: date) -> str | None:
        """The files from which the lake holds the day, as tags name them."""
        events = self.lake.manifest(EVENTS, day)
        return events.facts["files"] if events else None

    def starts(self) -> None:
        """The run that waits longest begins and reads what lies there."""
        queued = next((run for run in self.runs.by_id.values() if run.status == _STATUS.QUEUED), None)
        if queued:
            self._becomes(queued, _STATUS.STARTED)

    def ends(self, outcome: Outcome) -> None:
        """The run that works comes to its end."""
        run = next((run for run in self.runs.by_id.values() if run.status == _STATUS.STARTED), None)
        if run is None:
            return
        day = date.fromisoformat(run.tags[PARTITION_TAG])
        previous = PREVIOUS[day]
        if outcome != "nothing" and run.job_name != "analytical":
            outcome = outcome if self._loads(run, day) else "nothing"
        has_closes = previous is None or self.lake.manifest(CLOSES, previous)
        if run.job_name != "preprocessing" and outcome == "success":
            if has_closes:
                self._reports(run, day, previous)
            else:
                outcome = "no report"
        self._becomes(run, _STATUS.SUCCESS if outcome == "success" else _STATUS.FAILURE)

    def _loads(self, run: dg.DagsterRun, day: date) -> bool:
        files = self.version(day)
        if files is None:
            return False
        inputs = {found.source.raw_table: found.fingerprint for found in self.raw.deliveries(day)}
        events = self._publish(run, EVENTS, day, inputs, {"files": files})
        for table in (TRADES, QUOTES, CLOSES):
            self._publish(run, table, day, {EVENTS.path: events.version})
        return True

    def _reports(self, run: dg.DagsterRun, day: date, previous: date | None) -> None:
        used = [(EVENTS, day), (TRADES, day), (QUOTES, day), *([(CLOSES, previous)] if previous else [])]
        inputs = {table.path: found.version for table, of in used if (found := self.lake.manifest(table, of))}
        for table in tables_of("analytical"):
            self._publish(run, table, day, inputs)

    def _publish(
        self, run: dg.DagsterRun, table: Table, day: date, inputs: dict[str, str], facts: dict[str, str] | None = None
    ) -> Manifest:
        self.now += timedelta(milliseconds=1)
        manifest = Manifest(
            trade_dt=f"{day}",
            version=f"{day}-{next(self._numbers)}",
            paths=[],
            rows=0,
            bytes=0,
            run_id=run.run_id,
            attempt=1,
            token=int(self.now.timestamp() * 1_000_000),
            published_at=self.now.isoformat(timespec="milliseconds"),
            inputs=inputs,
            facts=facts or {},
        )
        self.lake.manifests[table.path, day] = manifest
        return manifest

    def _becomes(self, run: dg.DagsterRun, status: dg.DagsterRunStatus) -> None:
        self.runs.by_id[run.run_id] = run.with_status(status)

    def _new_id(self) -> str:
        return f"00000000-0000-4000-8000-{next(self._numbers):012}"

    @property
    def is_midway(self) -> bool:
        """Whether the daemon has yet to bring a run into the queue."""
        return bool(self.reserved) or any(run.status == _STATUS.NOT_STARTED for run in self.runs.by_id.values())

    @property
    def unfinished(self) -> bool:
        """Whether any run waits or works."""
        return any(run.status in _UNFINISHED for run in self.runs.by_id.values())

    def tried(self, day: date) -> list[str]:
        """The files for which the day was run, in the order of the runs."""
        return [run.tags[DELIVERIES_TAG] for run in self._runs(day)]

    def has_failed_with(self, files: str | None, day: date) -> bool:
        """Whether the last run of the day was for these files, and failed: then a person has to look."""
        last = self._runs(day)[-1]
        return last.status == _STATUS.FAILURE and last.tags[DELIVERIES_TAG] == files

    def _runs(self, day: date) -> list[dg.DagsterRun]:
        runs = self.runs.by_id.values()
        return [run for run in runs if run.tags[PARTITION_TAG] == f"{day}" and DELIVERIES_TAG in run.tags]
