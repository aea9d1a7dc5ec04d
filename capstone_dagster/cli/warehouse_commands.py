"""The commands for the warehouse: ``capstone warehouse`` and ``warehouse-sync``."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

import click
import dagster as dg

from capstone_dagster.assets.warehouse import record
from capstone_dagster.cli.tool_commands import run_with_database
from capstone_dagster.run_storage.embedded_postgres import is_of
from capstone_dagster.run_storage.instance import ready
from capstone_dagster.settings import Settings, SettingsError
from capstone_dagster.trading_days import trading_days
from capstone_dagster.warehouse.database import WarehouseAwayError, WarehouseError, reader_url
from capstone_dagster.warehouse.loading import Warehouse
from capstone_dagster.wording import few, say
from spark_code.errors import ExpectedError
from spark_code.lake import Lake, NotPublishedError
from spark_code.schemas import DAILY_SUMMARY
from spark_code.wording import counted

_REASONS_SHOWN = 10


class NothingToLoadError(ExpectedError):
    """None of the requested days is published."""


@contextmanager
def _ready() -> Iterator[Settings]:
    """The settings with a database that is up, the embedded one too."""
    settings = Settings.from_environment()
    if not settings.warehouse:
        raise SettingsError("CAPSTONE_WAREHOUSE is false: there is no warehouse")
    try:
        with ready(settings):
            yield Settings.from_environment()  # with the URL of the embedded server
    except WarehouseAwayError as error:
        raise WarehouseError(f"{error}") from None


@contextmanager
def reader_of_warehouse() -> Iterator[str | None]:
    """Where queries go: the embedded server takes the reader without a password, another one its own user."""
    with _ready() as settings:
        url = Warehouse.of(settings).url
        yield reader_url(url) if url and is_of(settings.home, url) else url


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def warehouse(command: tuple[str, ...]) -> None:
    """Run a COMMAND (psql, python...) as the reader of the warehouse, or print how others connect.

    The command finds the database in the variables of libpq: PGHOST, PGUSER... The embedded database is up while a
    command of the platform runs, such as capstone dev.
    """
    with _ready() as settings:
        url = reader_url(Warehouse.of(settings).url or "")
        if command:
            sys.exit(run_with_database(command, url))
    # Not with say: programs read these lines, which must stay as they are.
    click.echo(f"{url}\npsql {shlex.quote(url)}")


@click.command("warehouse-sync")
@click.argument("days", metavar="[DATE|FROM..TO]", required=False)
def warehouse_sync(days: str | None) -> None:
    """Load published days into the warehouse that it does not hold in that version: a day, a range, or all days.

    Runs load the days that they report. Use this command for days that were published before there was a warehouse,
    by work outside Dagster, or while its database was down.
    """
    with _ready() as settings, dg.DagsterInstance.get() as instance:
        to_load = Warehouse.of(settings)
        wanted = trading_days(settings.first_trading_day).parse(days) if days else None
        published = [day for day in _published(to_load) if wanted is None or day in wanted]
        if not published:
            of_days = f" of {days}" if days else ""
            raise NothingToLoadError(
                f"no report{of_days} is published in {settings.lake_uri}; make it with: capstone run {days or 'DATE'}"
            )
        loaded, failed = 0, []
        for day in published:
            try:
                done = [each for each in to_load.load(day, run_id="") if each.state == "loaded"]
            except NotPublishedError as error:
                failed.append(f"{day}: {error}; make it with: capstone run {day} --job analytical")
                continue
            except ExpectedError as error:
                failed.append(f"{day}: {error}")
                continue
            for each in done:
                instance.report_runless_asset_event(record(each, day))
            if done:
                tables = ", ".join(f"{each.table.name} {counted(each.rows, 'row')}" for each in done)
                say(f"{day}  {tables}")
                loaded += 1
        say(f"{counted(len(published), 'day')}: {loaded} loaded, {len(published) - loaded - len(failed)} were there")
        if failed:
            raise WarehouseError(f"{counted(len(failed), 'day')} not loaded: {few(failed, _REASONS_SHOWN)}")


def _published(to_load: Warehouse) -> list[date]:
    """The days that are reported; older ones may lack a table."""
    return Lake(to_load.lake_uri).days(DAILY_SUMMARY)
