"""Removes what no published day needs: ``capstone gc``."""

from datetime import date

import click
import dagster as dg

from capstone_dagster.run_storage.instance import ready
from capstone_dagster.run_tags import covers
from capstone_dagster.runs.unfinished_runs import unfinished_runs
from capstone_dagster.settings import Settings
from capstone_dagster.wording import say
from spark_code.garbage import garbage, remove
from spark_code.lake import Lake
from spark_code.wording import counted


@click.command()
@click.option("--dry-run", is_flag=True, help="Only print what would be removed.")
def gc(dry_run: bool) -> None:
    """Remove from the lake what no published day needs, and say what.

    These are versions beyond CAPSTONE_KEEP_VERSIONS, files of attempts that never published, and unfinished files of
    killed processes. What is younger than a day stays, and so does all of a day that a run works on or waits for. What
    does not belong to the platform is named, and left.
    """
    settings = Settings.from_environment()
    lake = Lake(settings.lake_uri, keep_versions=settings.keep_versions)
    with ready(settings), dg.DagsterInstance.get() as instance:
        _remove(lake, instance, dry_run=dry_run)


def _remove(lake: Lake, instance: dg.DagsterInstance, *, dry_run: bool) -> None:
    def is_busy(day: date) -> bool:  # asked just before something of the day is removed: a run may have begun
        return any(covers(run, day) for run in unfinished_runs(instance))

    did, removed, size, objects = "to remove" if dry_run else "removed", 0, 0, 0
    for found in garbage(lake, is_busy):
        if not found.is_garbage:
            say(f"{'left':<9}  {lake.storage.uri(found.key)}: {found.why}")
            continue
        if not dry_run:
            remove(lake, found)
        say(f"{did:<9}  {lake.storage.uri(found.key)}  {counted(found.bytes, 'byte')}")
        removed, size, objects = removed + 1, size + found.bytes, objects + found.objects
    say(f"{did} {counted(removed, 'item')}, {counted(objects, 'object')}, {counted(size, 'byte')}")
