"""Restores the previous version of a published day: ``capstone rollback``.

It is a run of the table's step in Dagster, in the slot of the day, so that people see it in the UI and in the tracker.
"""

import getpass
import os
import socket
from collections.abc import Sequence
from datetime import date
from functools import partial
from itertools import groupby

import click
import dagster as dg

from capstone_dagster.assets.jobs import JOB_NAMES
from capstone_dagster.assets.raw import DATA_VERSION_TAG
from capstone_dagster.assets.table_assets import asset_key, data_version
from capstone_dagster.cli.lake_commands import TableName
from capstone_dagster.cli.track_command import TrackedJob, make_page, report_table
from capstone_dagster.run_storage.instance import ready
from capstone_dagster.run_tags import ROLLBACK_TAG
from capstone_dagster.runs import outside_run
from capstone_dagster.runs.worker import Worker
from capstone_dagster.settings import Settings
from capstone_dagster.steps.ended_runs import require_in_progress
from capstone_dagster.trading_days import parse_day, trading_days
from capstone_dagster.warehouse.loading import Warehouse
from capstone_dagster.wording import say
from spark_code.flow import maker_of
from spark_code.glue import GlueCatalog
from spark_code.lake import Lake
from spark_code.locations import shown
from spark_code.manifest import Manifest
from spark_code.rollback import Versions, does_not_fit
from spark_code.schemas import Table
from spark_code.wording import counted, shortened

_LONGEST_REASON = 300


@click.command()
@click.argument("table", type=TableName())
@click.argument("day", metavar="DATE")
@click.option("--reason", required=True, help="Why; people see it in the UI, in the tracker and in the manifest.")
def rollback(table: Table, day: str, reason: str) -> None:
    """Restore the previous version of a published TABLE, and say what was computed from the withdrawn one.

    Automation, and run --missing, leave the day as it is until its files change. A run of the day that you start makes
    it anew. A second rollback restores the version that the first one withdrew, and the day stays as it is until a run.
    """
    settings = Settings.from_environment()
    calendar = trading_days(settings.first_trading_day)
    of, why = calendar.require(parse_day(day)), shown(shortened(reason.strip(), _LONGEST_REASON))
    if not why:
        raise click.BadParameter("say why, in some words", param_hint="--reason")
    Versions.find(Lake(settings.lake_uri), table, of)  # what is refused is no run
    with ready(settings), dg.DagsterInstance.get() as instance:
        versions, published = _roll_back(instance, settings, table, of, why)
    lake = Lake(settings.lake_uri)
    say(
        f"{table.path} of {of}: version {published.version} with {counted(published.rows, 'row')} is restored; "
        f"{versions.current.version} with {counted(versions.current.rows, 'row')} is withdrawn"
    )
    # No step reads reports.
    who = "if people read both" if maker_of(table).job == "analytical" else "or the steps that read both refuse them"
    for sentence in does_not_fit(lake, published, table, of):
        say(f"  {sentence}: roll back that one, too, {who}")
    _say_what_is_stale(versions.computed_from(lake, calendar.next(of)))
    if settings.warehouse and table in [each.source for each in Warehouse.of(settings).tables]:
        say(f"  the warehouse has the withdrawn rows until you type: capstone warehouse-sync {of}")


def _roll_back(
    instance: dg.DagsterInstance, settings: Settings, table: Table, day: date, reason: str
) -> tuple[Versions, Manifest]:
    from capstone_dagster.definitions import code_location  # noqa: PLC0415 - takes 0.8 s, to build them all

    job = next(name for name in JOB_NAMES if name == maker_of(table).job)
    work, by = TrackedJob(settings, job, day), _who()
    form = code_location().get_reconstructable_job(work.job)
    # Dagster knows no part of a step.
    step = frozenset(map(asset_key, maker_of(table).makes))
    run = outside_run.begin(instance, form, day, settings=settings, worker=Worker.process(), selection=step)
    try:
        text = f"{table.path} was rolled back by {by}: {reason}"
        catalog = GlueCatalog(settings.glue_database) if settings.glue_database else None
        lake = Lake(settings.lake_uri, catalog, require_right=partial(require_in_progress, instance, run.run_id))
        versions = Versions.find(lake, table, day)
        try:
            published = versions.roll_back(lake, lake.begin(day, run.run_id), by=by, reason=reason)
        finally:  # it is done once the pointer says so, even if the catalog cannot be told
            if lake.require(table, day).run_id == run.run_id:
                instance.add_run_tags(run.run_id, {ROLLBACK_TAG: f"{run.run_id} {text}"})
        report_table(instance, work, run.run_id, table, {DATA_VERSION_TAG: data_version(published).value})
        if work.job == "analytical":
            make_page(instance, work, run.run_id)
        outside_run.end(instance, run, succeeded=True, reason=text)
    except BaseException as error:
        outside_run.end(instance, run, succeeded=False, reason=f"{error}" or type(error).__name__)
        raise
    return versions, published


def _who() -> str:
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container may have no name for its user
        name = f"user {os.getuid()}"
    return f"{name} on {socket.gethostname()}"


def _say_what_is_stale(stale: Sequence[tuple[Table, date]]) -> None:
    for (day, job), found in groupby(stale, key=lambda each: (each[1], maker_of(each[0]).job)):
        tables = [table for table, _ in found]
        names, command = [table.path for table in tables], f"capstone run {day} --job {job}"
        if job == "preprocessing":  # which would read the files of the exchanges again
            whole = dict.fromkeys(made.path for table in tables for made in maker_of(table).makes)
            command = f"capstone exec -- dg launch --assets {','.join(whole)} --partition {day}"
        were = "was" if len(names) == 1 else "were"
        say(f"  {', '.join(names)} of {day} {were} computed from the withdrawn version; to do so again: {command}")
