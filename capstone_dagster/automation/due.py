"""What a trading day still needs, judged by its delivered files, by what is published, and by the runs there were.

Everything that starts days by itself asks here, so that none of them runs twice what another has run.
Whether a delivery is complete is asked before, in ``raw_scan``.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

import dagster as dg

from capstone_dagster.automation.same_rows import have_same_rows
from capstone_dagster.jobs import PARTITION_TAG, JobName, covers, job_id
from capstone_dagster.slots import IN_PROGRESS, end_dead
from spark_code.lake import Lake
from spark_code.raw_files import Delivery
from spark_code.schemas import CLOSES, DAILY_SUMMARY, EVENTS, QUOTE_ANALYTICS, QUOTES, TRADES

# On a run: which files it was started for.
DELIVERIES_TAG = "capstone/deliveries"

_UNFINISHED = [dg.DagsterRunStatus.QUEUED, *IN_PROGRESS]

ReportState = Literal["current", "outdated", "waiting"]


@dataclass(frozen=True)
class Verdict:
    """What shall happen with a day."""

    reason: str
    """In words, for the log of who has asked."""
    job: JobName | None = None
    """What shall be run, if anything."""
    is_settled: bool = False
    """Whether there is nothing more to ask until its files change."""
    run_key: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    def request(self, day: date) -> dg.RunRequest:
        """The request for its run."""
        return dg.RunRequest(self.run_key, job_name=self.job, partition_key=day.isoformat(), tags=dict(self.tags))


def fingerprint(deliveries: Sequence[Delivery]) -> str:
    """Changes with any file of any exchange."""
    seen = "\n".join(f"{delivery.source.raw_table} {delivery.fingerprint}" for delivery in deliveries)
    return hashlib.sha256(seen.encode()).hexdigest()[:16]


def unfinished_runs(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """The runs that wait or work; those whose process is gone are ended first."""
    runs = instance.get_runs(dg.RunsFilter(statuses=_UNFINISHED))
    return [run for run in runs if PARTITION_TAG not in run.tags or not end_dead(instance, run)]


@dataclass(frozen=True)
class Judge:
    """Judges days of one lake; the runs that wait or work are looked up once."""

    instance: dg.DagsterInstance
    lake: Lake
    unfinished: Sequence[dg.DagsterRun]

    def files(self, day: date, previous: date | None, deliveries: Sequence[Delivery], *, on_the_way: bool) -> Verdict:
        """Of a day with complete deliveries; ``on_the_way`` if a run of the day before was just requested."""
        if not self._is_ingested(day, deliveries):
            return self._untried(day, previous, fingerprint(deliveries), on_the_way=on_the_way)
        state = self.report(day, previous)
        if state == "current":
            return Verdict(f"{day} is published from these files", is_settled=True)
        if state == "waiting":
            return Verdict(f"the report of {day} waits for the closes of {previous}", is_settled=True)
        return self._untried(day, previous, fingerprint(deliveries), on_the_way=on_the_way)

    def report(self, day: date, previous: date | None) -> ReportState:
        """Whether the day's report was computed from what is published now."""
        trades, quotes = (self.lake.manifest(table, day) for table in (TRADES, QUOTES))
        closes = self.lake.manifest(CLOSES, previous) if previous else None
        if trades is None or quotes is None or (previous and closes is None):
            return "waiting"
        for table in (QUOTE_ANALYTICS, DAILY_SUMMARY):
            report = self.lake.manifest(table, day)
            if report is None:
                return "outdated"
            used = dict(report.inputs)
            used_closes = used.pop(CLOSES.path, None)
            if used != {TRADES.path: trades.version, QUOTES.path: quotes.version}:
                return "outdated"
            if closes and used_closes != closes.version and not have_same_rows(self.lake, CLOSES, closes, used_closes):
                return "outdated"
        return "current"

    def busy_with(self, day: date) -> dg.DagsterRun | None:
        """The run that waits or works on the day."""
        return next((run for run in self.unfinished if covers(run, day)), None)

    def _is_ingested(self, day: date, deliveries: Sequence[Delivery]) -> bool:
        events = self.lake.manifest(EVENTS, day)
        if events is None or events.inputs != {found.source.raw_table: found.fingerprint for found in deliveries}:
            return False
        loaded = (self.lake.manifest(table, day) for table in (TRADES, QUOTES, CLOSES))
        return all(manifest and manifest.inputs == {EVENTS.path: events.version} for manifest in loaded)

    def _untried(self, day: date, previous: date | None, files: str, *, on_the_way: bool) -> Verdict:
        if run := self.busy_with(day):
            return Verdict(f"{day} waits for the end of run {run.run_id} ({run.job_name}, {run.status.value})")
        tried = [run for run in self._runs(day) if run.status != dg.DagsterRunStatus.NOT_STARTED]
        if tried and tried[0].tags[DELIVERIES_TAG] == files:
            last = tried[0]
            return Verdict(
                f"{job_id(last.job_name, day)} ended in {last.status.value} with these files (run {last.run_id}); "
                "when the reason is mended, run it again",
                is_settled=True,
            )
        before = sum(run.tags[DELIVERIES_TAG] == files for run in tried)
        has_closes = (
            previous is None or on_the_way or bool(self.lake.manifest(CLOSES, previous) or self.busy_with(previous))
        )
        job: JobName = "daily_pipeline" if has_closes else "preprocessing"
        return Verdict(
            f"{job_id(job, day)} is run" + ("" if has_closes else f"; its report waits for the closes of {previous}"),
            job=job,
            is_settled=True,
            # The files of before may come back after a correction: that is news, too.
            run_key=f"{day}_{files}" + (f"_{before + 1}" if before else ""),
            tags={DELIVERIES_TAG: files},
        )

    def _runs(self, day: date) -> list[dg.DagsterRun]:
        """The runs of the day that were started for its files, the newest first."""
        runs = self.instance.get_runs(dg.RunsFilter(tags={PARTITION_TAG: day.isoformat()}))
        return [run for run in runs if DELIVERIES_TAG in run.tags]
