"""What a trading day still needs, judged by its files, by what is published, and by its runs.

The states of a trading day, by the words that are used everywhere:

    complete   every exchange has delivered it (``deliveries.completeness``)
    loaded     its end-of-day load was made from these files
    current    its report was made from that load, from the closes of the day before, and with the corporate actions
               that are known now; otherwise it is outdated
    landed     its report is published, current or not (``landed_days``)
    settled    there is nothing to run until its files, those closes or its corporate actions change
    held       a table of it was rolled back: people run it, or it is run when its files change

Whatever starts runs by itself asks here first, so that no two of them run the same.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import takewhile
from typing import Literal, NamedTuple

import dagster as dg

from capstone_dagster.assets.job_of_run import job_of, what, what_ran
from capstone_dagster.assets.jobs import JobName, job_id
from capstone_dagster.automation.held_days import why_held
from capstone_dagster.run_tags import DELIVERIES_TAG, PARTITION_TAG, PRIORITY_TAG, RUN_KEY_TAG, covers
from capstone_dagster.runs.unfinished_runs import in_words
from spark_code.corporate_actions import NO_FILE, Actions, CorporateActions
from spark_code.flow import Read, inputs_of, steps_of
from spark_code.lake import Lake, LakeError
from spark_code.locations import StorageError
from spark_code.manifest import Manifest
from spark_code.raw_files import Delivery
from spark_code.schemas import CLOSES

_STATUS = dg.DagsterRunStatus
# A live day goes before the queued pieces of a backfill, which have none.
_PRIORITY = {PRIORITY_TAG: "1"}

ReportState = Literal["current", "outdated", "waiting"]


@dataclass(frozen=True)
class Decision:
    """What to do with a day."""

    reason: str
    """In words, for the log."""
    job: JobName | None = None
    """What to run, if anything."""
    is_settled: bool = False
    """Whether there is nothing more to ask until its files change; never while a run is to come or goes on."""
    run_key: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)

    def request(self, day: date) -> dg.RunRequest:
        """The request for its run."""
        tags = {**self.tags, **_PRIORITY}
        return dg.RunRequest(self.run_key, job_name=self.job, partition_key=day.isoformat(), tags=tags)


def fingerprint(deliveries: Sequence[Delivery]) -> str:
    """Changes with any file of any exchange."""
    return _digest(f"{delivery.source.raw_table} {delivery.fingerprint}" for delivery in deliveries)


@dataclass(frozen=True)
class _Inputs:
    """What the report of a day is computed from, as it is published."""

    of_day: Sequence[Manifest]
    of_previous_day: Sequence[Manifest]
    """Empty on the first trading day."""
    actions: Actions
    """The corporate actions of the day."""

    @property
    def digest(self) -> str:
        """Changes with every publish of any of them, and with the actions."""
        # One that counts again is news, too.
        both = (*self.of_day, *self.of_previous_day)
        versions = [f"{found.version} {found.token}" if found.rolled_back else found.version for found in both]
        return _digest([*versions, *self.actions.as_input().values()])

    @property
    def loaded(self) -> Manifest:
        """A table of the run that has loaded the day."""
        return self.of_day[-1]

    @property
    def were_at_hand(self) -> bool:
        """Whether those of the day before were published already when the run that loaded the day began."""
        moments = (datetime.fromisoformat(manifest.published_at).timestamp() for manifest in self.of_previous_day)
        return all(self.loaded.token > moment * 1_000_000 for moment in moments)


class _Finding(NamedTuple):
    """What there is of the report of a day."""

    state: ReportState
    reason: str
    inputs: _Inputs | None = None
    """What it must be computed from, if it is outdated."""
    has_other_actions: bool = False
    """Whether it is outdated because it was made with other corporate actions."""


@dataclass(frozen=True)
class Judge:
    """Judges days of one lake.

    The unfinished runs are looked up once, and before anything of the lake is read: a run that ends in between
    shows as going on, and the day is asked for again.
    """

    instance: dg.DagsterInstance
    lake: Lake
    unfinished: Sequence[dg.DagsterRun]
    actions: CorporateActions = NO_FILE

    def files(self, day: date, previous: date | None, deliveries: Sequence[Delivery], *, on_the_way: bool) -> Decision:
        """Of a day with complete deliveries; ``on_the_way`` if a run of the day before was just requested."""
        try:
            if run := self.busy_with(day):
                return self._waits(day, run)
            if not self.is_loaded(day, deliveries):
                decision = self._load(day, previous, fingerprint(deliveries), on_the_way=on_the_way)
                return self._unless_held(day, decision, deliveries)
            return self._unless_held(day, self._report(day, previous), deliveries)
        except (LakeError, StorageError) as error:
            return Decision(f"{day} cannot be judged: {error}")

    def closes(self, day: date, previous: date | None) -> Decision:
        """Of a day of which the closes of the day before were published, or its own report."""
        try:
            run = self.busy_with(day)
            return self._waits(day, run) if run else self._unless_held(day, self._report(day, previous))
        except (LakeError, StorageError) as error:
            return Decision(f"{day} cannot be judged: {error}")

    def report(self, day: date, previous: date | None) -> ReportState:
        """Whether the day's report was computed from what is published now; an error if the lake cannot be read."""
        return self._find(day, previous).state

    def is_loaded(self, day: date, deliveries: Sequence[Delivery]) -> bool:
        """Whether the end-of-day load was made from these files."""
        files = _fingerprints(deliveries)
        versions: dict[str, str] = {}
        for step in steps_of("preprocessing"):
            read = {read.table.path: versions[read.table.path] for read in step.reads}
            for table in step.makes:
                manifest = self.lake.manifest(table, day)
                if manifest is None or manifest.inputs != (files if step.reads_deliveries else read):
                    return False
                versions[table.path] = manifest.version
        return True

    def held(self, day: date, deliveries: Sequence[Delivery] | None = None) -> str | None:
        """Why only people run the day, if so."""
        return why_held(self.lake, day, None if deliveries is None else _fingerprints(deliveries))

    def _unless_held(self, day: date, decision: Decision, deliveries: Sequence[Delivery] | None = None) -> Decision:
        held = self.held(day, deliveries) if decision.job else None
        return Decision(held, is_settled=True) if held else decision

    def busy_with(self, day: date) -> dg.DagsterRun | None:
        """The run that waits or works on the day, or that failed and is tried again."""
        return next((run for run in self.unfinished if covers(run, day)), None)

    def _load(self, day: date, previous: date | None, files: str, *, on_the_way: bool) -> Decision:
        """Of a day that is not loaded from these files."""
        runs = self.instance.get_runs(dg.RunsFilter(tags={PARTITION_TAG: day.isoformat()}))  # the newest first
        tried = [run for run in runs if DELIVERIES_TAG in run.tags and run.status != _STATUS.NOT_STARTED]
        in_a_row = [run.status for run in takewhile(lambda run: run.tags[DELIVERIES_TAG] == files, tried)]
        # A success has read other files: these were back only when it had begun. Twice it is something else.
        has_read_others = in_a_row[:1] == [_STATUS.SUCCESS] and in_a_row.count(_STATUS.SUCCESS) == 1
        if in_a_row and not has_read_others:
            return self._tried(day, tried[0], "with these files")
        has_closes = (
            previous is None or on_the_way or bool(self.lake.manifest(CLOSES, previous) or self.busy_with(previous))
        )
        job: JobName = "daily_pipeline" if has_closes else "preprocessing"
        # The files of before may come back after a correction: that is news, too.
        before = sum(run.tags[DELIVERIES_TAG] == files for run in tried)
        return Decision(
            f"{job_id(job, day)} is run" + ("" if has_closes else f"; its report waits for the closes of {previous}"),
            job=job,
            run_key=f"{day}_{files}" + (f"_{before + 1}" if before else ""),
            tags={DELIVERIES_TAG: files},
        )

    def _report(self, day: date, previous: date | None) -> Decision:
        """Of a day that nobody works on: its report is run once for every state of what it is computed from."""
        found = self._find(day, previous)
        inputs = found.inputs
        if inputs is None:
            return Decision(found.reason, is_settled=True)
        key = f"{day}_{inputs.digest}"
        tried = self._tried_with(day, key, is_again=found.has_other_actions)
        if isinstance(tried, dg.DagsterRun):
            return self._tried(day, tried, "with these inputs")
        loaded_by = self.instance.get_run_by_id(inputs.loaded.run_id)
        if loaded_by and inputs.were_at_hand and not found.has_other_actions:
            is_whole = job_of(self.instance, loaded_by) == "daily_pipeline"
            if is_whole and loaded_by.is_failure_or_canceled:
                return self._tried(day, loaded_by, "with these inputs")
            if not is_whole and DELIVERIES_TAG not in loaded_by.tags:
                by = f"{what(self.instance, loaded_by)} alone (run {loaded_by.run_id})"
                return Decision(f"the report of {day} is left to who ran {by}", is_settled=True)
        return Decision(f"{job_id('analytical', day)} is run: {found.reason}", job="analytical", run_key=tried)

    def _tried_with(self, day: date, key: str, *, is_again: bool) -> dg.DagsterRun | str:
        """The run that was started by this key, or the key for one.

        Actions may become again what they were before: then a run by the same key counts only if it is the latest of
        the day.
        """
        runs = self.instance.get_runs(dg.RunsFilter(tags={PARTITION_TAG: day.isoformat()}))  # the newest first
        begun = [run for run in runs if run.status != _STATUS.NOT_STARTED]
        by_key = [run for run in begun if run.tags.get(RUN_KEY_TAG, "").partition("+")[0] == key]
        if by_key and (not is_again or by_key[0] == begun[0]):
            return by_key[0]
        return f"{key}+{len(by_key)}" if by_key else key

    def _waits(self, day: date, run: dg.DagsterRun) -> Decision:
        return Decision(f"{day} waits for the end of {what(self.instance, run)} ({in_words(run)})")

    def _tried(self, day: date, run: dg.DagsterRun, with_what: str) -> Decision:
        """Once it has ended, a person runs it again, or what comes new."""
        if not run.is_finished:
            return self._waits(day, run)
        return Decision(
            f"{what_ran(self.instance, run)} ended in {run.status.value} {with_what} (run {run.run_id}); "
            "when the reason is mended, run it again",
            is_settled=True,
        )

    def _find(self, day: date, previous: date | None) -> _Finding:
        reads = {read for step in steps_of("analytical") for read in step.reads}
        published = {read: self.lake.manifest(read.table, of) for read in reads if (of := read.day(day, previous))}
        needed = [read for read in inputs_of("analytical") if read in published]
        of_day = {read.table.path: found for read in needed if not read.of_previous_day and (found := published[read])}
        of_previous_day = [manifest for read in needed if read.of_previous_day and (manifest := published[read])]
        missing = [read for read in needed if not published[read]]
        # While a day is loaded, its tables come from different ingests, and no report is computed from them.
        is_loaded = all(read.of_previous_day for read in missing)
        if not is_loaded or not _fit_together(of_day):
            return _Finding("waiting", f"the report of {day} waits for its end-of-day load")
        if missing:
            names = " and ".join(read.table.name for read in missing)
            return _Finding("waiting", f"the report of {day} waits for the {names} of {previous}")
        inputs = _Inputs(list(of_day.values()), of_previous_day, self.actions.of(day, previous))
        return self._compared(day, previous, published, inputs) or _Finding("current", f"{day} is up to date")

    def _compared(
        self, day: date, previous: date | None, published: Mapping[Read, Manifest | None], inputs: _Inputs
    ) -> _Finding | None:
        """Why the report of a day is outdated, if it is."""
        for step in steps_of("analytical"):
            tables = [self.lake.manifest(table, day) for table in step.makes]
            made = [manifest for manifest in tables if manifest]
            if not made:
                return _Finding("outdated", "there is no report of it yet", inputs)
            if len(made) < len(tables):
                return _Finding("outdated", "a table of its report is not published", inputs)
            for read in step.reads:
                source = None if read.gates else published.get(read)
                if source and not all(_was_made_from(manifest, read, source) for manifest in made):
                    of_other_day = f" of {previous}" if read.of_previous_day else ""
                    reason = f"its report was made from other {read.table.name}{of_other_day}"
                    return _Finding("outdated", reason, inputs)
            if step.adjusts and not all(map(inputs.actions.are_those_of, made)):
                reason = "its report was made with other corporate actions"
                return _Finding("outdated", reason, inputs, has_other_actions=True)
        return None


def _fingerprints(deliveries: Sequence[Delivery]) -> dict[str, str]:
    """Of the files of each exchange, as the manifest of what is made from them names them."""
    return {found.source.raw_table: found.fingerprint for found in deliveries}


def _fit_together(versions: Mapping[str, Manifest]) -> bool:
    """Whether the tables of a day were made from each other, and from the same version of what is not among them."""
    inputs = [(path, version) for made in versions.values() for path, version in made.inputs.items()]
    known = {path: manifest.version for path, manifest in versions.items()}
    return all(version == known.setdefault(path, version) for path, version in inputs)


def _was_made_from(made: Manifest, read: Read, source: Manifest) -> bool:
    """Of the day before, only other rows make a difference: every publish of that day is another version."""
    path = read.table.path
    return made.was_made_from(path, source) if read.of_previous_day else made.inputs.get(path) == source.version


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
