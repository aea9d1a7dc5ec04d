"""``capstone track``: runs a command outside Dagster as an attempt at a job, in the job's slot and visible in the UI.

The command does the work and publishes into the lake, by ``spark-submit`` or otherwise. A run stands for it in
Dagster, and reports what the command has published as materializations.
"""

import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, NoReturn

import click
import dagster as dg
from dagster._core.events import StepMaterializationData

from capstone_dagster.assets.checks import evaluations
from capstone_dagster.assets.jobs import JOB_NAMES, JobName, job_id
from capstone_dagster.assets.metadata import materialization_metadata
from capstone_dagster.assets.raw import record_arrivals
from capstone_dagster.assets.table_assets import asset_key
from capstone_dagster.cli.child_process import Ended, deferring_signals, exiting_on_termination, run_apart
from capstone_dagster.deliveries.preconditions import GuardedRawFolder
from capstone_dagster.run_storage.instance import ready
from capstone_dagster.run_storage.outages import outlasting_restarts
from capstone_dagster.runs import outside_run
from capstone_dagster.runs.worker import Worker
from capstone_dagster.settings import Settings
from capstone_dagster.steps.inputs import missing_inputs
from capstone_dagster.steps.preview import preview
from capstone_dagster.steps.provenance import Provenance
from capstone_dagster.trading_days import parse_day, trading_days
from capstone_dagster.wording import say
from spark_code.errors import ExpectedError
from spark_code.flow import inputs_of, steps_of, tables_of
from spark_code.lake import Lake
from spark_code.raw_files import Delivery
from spark_code.schemas import QUALITY, Table

_log = logging.getLogger(__name__)


class TrackError(ExpectedError):
    """The command was not started, or its result cannot be reported; recorded as the reason of the failure."""


@dataclass(frozen=True)
class TrackedJob:
    """The job of a trading day that a command does."""

    settings: Settings
    job: JobName
    day: date

    @property
    def id(self) -> str:
        """The job id."""
        return job_id(self.job, self.day)

    @property
    def lake(self) -> Lake:
        """The lake that the command publishes into."""
        return Lake(self.settings.lake_uri)

    @property
    def previous_day(self) -> date | None:
        """The trading day whose closes the report reads."""
        return trading_days(self.settings.first_trading_day).previous(self.day)

    @property
    def tables(self) -> tuple[Table, ...]:
        """The tables that the job makes."""
        return tables_of(self.job)

    def versions(self) -> dict[Table, str]:
        """The published versions of the job's tables."""
        manifests = {table: self.lake.manifest(table, self.day) for table in self.tables}
        return {table: manifest.version for table, manifest in manifests.items() if manifest}

    def require_inputs(self) -> list[Delivery]:
        """Refuse a command whose deliveries or published inputs are missing; returns the deliveries."""
        deliveries: list[Delivery] = []
        if any(step.reads_deliveries for step in steps_of(self.job)):
            deliveries = GuardedRawFolder(self.settings.raw_uri, self.settings.preconditions).deliveries(self.day)
        days = ((read.table, read.day(self.day, self.previous_day)) for read in inputs_of(self.job))
        needs = [(table, day) for table, day in days if day]
        if missing := missing_inputs(self.lake, needs):
            raise TrackError(f"{missing}, and then {self.id}")
        return deliveries

    def environment(self, run_id: str) -> dict[str, str]:
        """The environment of the command: all settings, the run, and the previous trading day if there is one."""
        tracked = {
            "TRACKED_RUN_ID": run_id,
            "TRACKED_PREVIOUS_DAY": self.previous_day.isoformat() if self.previous_day else "",
            # As if the virtual environment were activated, so that its spark-submit and Python are found.
            "PATH": os.pathsep.join([str(Path(sys.prefix, "bin")), os.environ.get("PATH", os.defpath)]),
        }
        own = {name: value for name, value in os.environ.items() if name != "CAPSTONE_ALERT_URLS"}
        return {**own, **self.settings.as_environment(), **tracked}


def run_tracked(instance: dg.DagsterInstance, work: TrackedJob, command: Sequence[str]) -> tuple[int, str]:
    """Run the command in the job's slot and record its result; refuse if the slot is taken.

    Returns the command's exit code and the status of its run.
    """
    from capstone_dagster.definitions import code_location  # noqa: PLC0415 - takes 0.8 s, to build them all

    with outlasting_restarts(), exiting_on_termination():
        form = code_location().get_reconstructable_job(work.job)
        run = outside_run.begin(instance, form, work.day, settings=work.settings, worker=Worker.process())
        try:
            record_arrivals(instance, work.require_inputs())
            before = work.versions()
            graph = form.get_definition().asset_layer.asset_graph
            provenance = Provenance(instance, graph, work.tables, work.day)
            ended = run_apart(command, work.environment(run.run_id))
            with deferring_signals():  # the work is done: let it be recorded
                _report_published(instance, work, run.run_id, before, provenance)
                reason = _how_it_ended(command, ended)
                outside_run.end(instance, run, succeeded=not ended.exit_code, reason=reason)
                recorded = instance.get_run_by_id(run.run_id) or run
                return ended.exit_code, recorded.status.value
        except BaseException as error:
            reason = "interrupted" if isinstance(error, SystemExit | KeyboardInterrupt) else str(error)
            outside_run.end(instance, run, succeeded=False, reason=reason or type(error).__name__)
            raise


def _how_it_ended(command: Sequence[str], ended: Ended) -> str:
    after = f" after {', '.join(ended.signals)}" if ended.signals else ""
    return f"{Path(command[0]).name} ended with exit code {ended.exit_code}{after}"


def _report_published(
    instance: dg.DagsterInstance, work: TrackedJob, run_id: str, before: Mapping[Table, str], provenance: Provenance
) -> None:
    """Report every table that the command has published anew, as a step would, even if the command failed."""
    now = work.versions()
    published = [table for table in work.tables if now.get(table) != before.get(table)]
    for table in published:
        report_table(instance, work, run_id, table, provenance.tags(table, work.lake.require(table, work.day)))
        provenance.was_reported(table)
    if set(published) & set(tables_of("analytical")):
        make_page(instance, work, run_id)
    if not published:
        nothing = f"The command has published nothing of {work.id}."
        instance.report_engine_event(nothing, instance.get_run_by_id(run_id))


def report_table(
    instance: dg.DagsterInstance, work: TrackedJob, run_id: str, table: Table, tags: Mapping[str, str]
) -> None:
    """Report what is published of a table, as a step would."""
    from capstone_dagster.pages.day_metadata import day_metadata  # noqa: PLC0415 - loads DuckDB and vl-convert

    types, calendar = dg.DagsterEventType, trading_days(work.settings.first_trading_day)
    manifest = work.lake.require(table, work.day)
    materialization = dg.AssetMaterialization(
        asset_key(table),
        partition=work.day.isoformat(),
        metadata={
            **day_metadata(calendar, work.lake, table, manifest, _log.warning),
            **materialization_metadata(
                table, manifest, preview(work.lake, table, manifest, _log.warning), None, work.lake
            ),
        },
        tags=tags,
    )
    events: list[tuple[dg.DagsterEventType, Any]] = [
        (types.ASSET_MATERIALIZATION, StepMaterializationData(materialization))
    ]
    judged = evaluations(work.lake, manifest) if table == QUALITY else ()
    events += [(types.ASSET_CHECK_EVALUATION, evaluation) for evaluation in judged]
    for what, data in events:
        event = dg.DagsterEvent(what.value, work.job, event_specific_data=data)
        instance.report_dagster_event(event, run_id)


def make_page(instance: dg.DagsterInstance, work: TrackedJob, run_id: str) -> None:
    """Make the page of the published report, as a run of Dagster does; if that fails, the work is still done."""
    from capstone_dagster.pages.publishing import Pages  # noqa: PLC0415 - loads DuckDB and vl-convert

    try:
        made = Pages(work.settings).publish(work.day, run_id)
    except Exception as error:  # noqa: BLE001 - the command has done its work, whatever is wrong with a drawing
        reason = error.description if isinstance(error, dg.Failure) else error
        instance.report_engine_event(f"The page was not made: {reason}", instance.get_run_by_id(run_id))
        return
    for key, metadata in made.metadata().items():
        materialization = dg.AssetMaterialization(key, partition=work.day.isoformat(), metadata=metadata)
        data = StepMaterializationData(materialization)
        event = dg.DagsterEvent(dg.DagsterEventType.ASSET_MATERIALIZATION.value, work.job, event_specific_data=data)
        instance.report_dagster_event(event, run_id)


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--job", type=click.Choice(JOB_NAMES), required=True, help="The job that the command does.")
@click.option("--date", "day", metavar="DATE", required=True, help="The trading day.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def track(job: JobName, day: str, command: tuple[str, ...]) -> NoReturn:
    """Run a COMMAND outside Dagster as an attempt at a job: in the job's slot, with its result in the run storage.

    Refused while another run of the day is in progress. Exits with the command's exit code. The command finds the
    run's id in TRACKED_RUN_ID, the previous trading day in TRACKED_PREVIOUS_DAY, and every setting as CAPSTONE_*.
    """
    settings = Settings.from_environment()
    trade_dt = trading_days(settings.first_trading_day).require(parse_day(day))
    with ready(settings), dg.DagsterInstance.get() as instance:
        work = TrackedJob(settings, job, trade_dt)
        code, ended = run_tracked(instance, work, command)
        say(f"{work.id}: {ended}", err=True)
    sys.exit(code)
