"""Removes what no published day needs: ``capstone gc``."""

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

    That are versions beyond CAPSTONE_KEEP_VERSIONS, what attempts have left that never published, and unfinished files
    of killed processes. What is younger than a day stays, and so does all of a day that a run works on or waits for.
    What is not of the platform is named, and left.
    """
    settings = Settings.from_environment()
    lake = Lake(settings.lake_uri, keep_versions=settings.keep_versions)
    with ready(settings), dg.DagsterInstance.get() as instance:
        unfinished = unfinished_runs(instance)
    removed, size, objects = 0, 0, 0
    for found in garbage(lake, lambda day: any(covers(run, day) for run in unfinished)):
        if not found.is_garbage:
            say(f"left       {lake.storage.uri(found.key)}: {found.why}")
            continue
        if not dry_run:
            remove(lake, found)
        say(
            f"{'to remove' if dry_run else 'removed':<9}  {lake.storage.uri(found.key)}  {counted(found.bytes, 'byte')}"
        )
        removed, size, objects = removed + 1, size + found.bytes, objects + found.objects
    did = "would be removed" if dry_run else "removed"
    say(f"{did}: {removed:,} of the lake's folders and files, {counted(objects, 'object')}, {counted(size, 'byte')}")
