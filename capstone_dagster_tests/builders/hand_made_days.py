"""Days of a lake that are loaded and reported by hand, with the runs and events that doing so leaves. No Spark.

What a run reads and publishes happens when a test says so, so that everything else can happen in between.
"""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg

from capstone_dagster.assets.job_of_run import table_steps
from capstone_dagster.assets.jobs import JobName
from capstone_dagster.automation.needed_runs import Judge
from capstone_dagster.runs.unfinished_runs import unfinished_runs
from capstone_dagster.settings import Settings
from capstone_dagster_tests.builders.run_histories import QUEUED, STARTED, STARTING, SUCCESS, Event, Histories
from spark_code.corporate_actions import FILE, CorporateActions
from spark_code.flow import tables_of
from spark_code.lake import Lake
from spark_code.manifest import Attempt, Manifest
from spark_code.raw_files import SOURCES, Delivery
from spark_code.schemas import CLOSES, EVENTS, QUOTES, TRADES, Table
from spark_code.storage import Storage, StoredObject

# Labor Day lies between the last two.
THURSDAY, FRIDAY, TUESDAY = date(2020, 9, 3), date(2020, 9, 4), date(2020, 9, 8)
PREVIOUS = {THURSDAY: None, FRIDAY: THURSDAY, TUESDAY: FRIDAY}

_EARLIER = datetime(2020, 9, 8, 22, 0, tzinfo=UTC)


def files(content: str, day: date = FRIDAY) -> list[Delivery]:
    """What both exchanges delivered; other contents are other files of the same names."""
    return [
        Delivery(
            source, day, Storage("/raw"), (StoredObject(f"{source.folder(day)}/part", 1, _EARLIER, content),), True
        )
        for source in SOURCES
    ]


class HandMadeDays:
    """A lake and its runs; with everything that happens its clock goes on by a second."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        self.instance, self.histories = instance, Histories(instance)
        self.settings = Settings.from_mapping(
            {"CAPSTONE_HOME": str(folder), "CAPSTONE_FIRST_TRADING_DAY": THURSDAY.isoformat()}
        )
        self.lake = Lake(self.settings.lake_uri)
        self._now = _EARLIER
        self._digests: dict[tuple[str, str], str] = {}  # by table and version

    def judge(self) -> Judge:
        return Judge(self.instance, self.lake, unfinished_runs(self.instance), CorporateActions(self.settings.raw_uri))

    def act(self, *lines: str) -> None:
        """Write the file of corporate actions again."""
        Storage(self.settings.raw_uri).write(FILE, "\n".join(lines).encode())

    def queued(self, job: JobName, day: date, *events: Event, tags: Mapping[str, str] | None = None) -> "HandMadeRun":
        """A run that waits, or to which more has happened."""
        # The checks are of no interest here, and cost time.
        run_id = self.histories.run(job, QUEUED, *events, day=day, tags=tags, only_steps=sorted(table_steps(job)))
        return HandMadeRun(self, job, day, run_id)

    def started(self, job: JobName, day: date, *, tags: Mapping[str, str] | None = None) -> "HandMadeRun":
        run = self.queued(job, day, tags=tags)
        run.starts()
        return run

    def ran(
        self,
        job: JobName,
        day: date,
        content: str = "A",
        *,
        price: str | None = "10",
        end: Event = SUCCESS,
        tags: Mapping[str, str] | None = None,
    ) -> "HandMadeRun":
        """A run that did all that its job does."""
        run = self.started(job, day, tags=tags)
        if job != "analytical":
            run.loads(content, price=price)
        if job != "preprocessing":
            run.reports()
        run.ends(end)
        return run

    def tick(self) -> datetime:
        self._now += timedelta(seconds=1)
        return self._now

    def publish(
        self, attempt: Attempt, table: Table, day: date, inputs: Mapping[str, str], digest: str | None = None
    ) -> None:
        """Name a version in the day's pointer, and tell the event log of it."""
        manifest = Manifest(
            trade_dt=day.isoformat(),
            version=attempt.version(day),
            paths=[],
            rows=0,
            bytes=0,
            run_id=attempt.run_id,
            attempt=attempt.number,
            token=attempt.token,
            published_at=self.tick().isoformat(timespec="milliseconds"),
            inputs=dict(inputs),
            digest=digest,
            input_digests={used[0]: self._digests[used] for used in inputs.items() if used in self._digests},
        )
        if digest:
            self._digests[table.path, manifest.version] = digest
        self.lake.storage.write(pointer(table, day), manifest.to_json())
        self.instance.report_runless_asset_event(dg.AssetMaterialization(table.path.split("/"), partition=f"{day}"))


class HandMadeRun:
    """One run of one day."""

    def __init__(self, days: HandMadeDays, job: str, day: date, run_id: str) -> None:
        self.days, self.job, self.day, self.run_id = days, job, day, run_id
        self._attempt = Attempt(run_id, 1, 0)

    def starts(self) -> None:
        """Begin; the token is of now."""
        self.days.histories.happened(self.run_id, STARTING, STARTED)
        self._attempt = Attempt(self.run_id, 1, int(self.days.tick().timestamp() * 1_000_000))

    def loads(self, content: str = "A", *, price: str | None = "10") -> None:
        """Publish the end-of-day load from these files; without a price as a release does that makes no digests."""
        inputs = {delivery.source.raw_table: delivery.fingerprint for delivery in files(content, self.day)}
        self.days.publish(self._attempt, EVENTS, self.day, inputs)
        loaded = {EVENTS.path: self._attempt.version(self.day)}
        self.days.publish(self._attempt, TRADES, self.day, loaded)
        self.days.publish(self._attempt, QUOTES, self.day, loaded)
        self.days.publish(self._attempt, CLOSES, self.day, loaded, price and f"closes at {price}")

    def reads(self) -> dict[str, str]:
        """The versions that a report made now is made from, and its corporate actions."""
        previous = PREVIOUS[self.day]
        used = [(EVENTS, self.day), (TRADES, self.day), (QUOTES, self.day), *([(CLOSES, previous)] if previous else [])]
        manifests = ((table, self.days.lake.manifest(table, day)) for table, day in used)
        actions = CorporateActions(self.days.settings.raw_uri).of(self.day, previous)
        return {table.path: manifest.version for table, manifest in manifests if manifest} | actions.as_input()

    def reports(self, inputs: Mapping[str, str] | None = None) -> None:
        """Publish the report, from what it has read before or reads now."""
        inputs = inputs or self.reads()
        for table in tables_of("analytical"):
            self.days.publish(self._attempt, table, self.day, inputs)

    def ends(self, end: Event = SUCCESS) -> None:
        self.days.histories.happened(self.run_id, end)


def pointer(table: Table, day: date) -> str:
    """The object that names what is published."""
    return f"{table.path}/_published/{day}.json"
