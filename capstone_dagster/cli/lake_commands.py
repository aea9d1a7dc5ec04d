"""The commands for the lake and its Glue catalog: ``capstone show``, ``paths`` and ``glue-sync``."""

import json
from dataclasses import asdict

import click

from capstone_dagster.cli.text_table import as_text
from capstone_dagster.settings import Settings, SettingsError
from capstone_dagster.steps.preview import first_rows
from capstone_dagster.trading_days import parse_day, trading_days
from capstone_dagster.wording import say
from spark_code.errors import ExpectedError
from spark_code.glue import GlueCatalog
from spark_code.lake import Lake
from spark_code.schemas import TABLES, Table


class _TableName(click.ParamType[Table]):
    name = "table"

    def convert(self, value: str | Table, param: click.Parameter | None, ctx: click.Context | None) -> Table:
        if isinstance(value, Table):
            return value
        if value not in TABLES:
            self.fail(f"{value!r} is not a table; the tables are {', '.join(TABLES)}", param, ctx)
        return TABLES[value]


class NothingToRegisterError(ExpectedError):
    """None of the requested days is published."""


@click.command("glue-sync")
@click.argument("days", metavar="[DATE|FROM..TO]", required=False)
def glue_sync(days: str | None) -> None:
    """Register published days in the Glue catalog, for Athena: a day, a range, or all days.

    If CAPSTONE_GLUE_DATABASE is set, runs register the days that they publish. Use this command for days that were
    published before it was set, and for days that a run could not register.
    """
    settings = Settings.from_environment()
    if settings.glue_database is None:
        raise SettingsError("CAPSTONE_GLUE_DATABASE is not set; name the Glue database to register the tables in")
    wanted = trading_days(settings.first_trading_day).parse(days) if days else None
    lake, catalog = Lake(settings.lake_uri), GlueCatalog(settings.glue_database)
    registered = 0
    for table in TABLES.values():
        published = [day for day in lake.days(table) if wanted is None or day in wanted]
        for day in published:
            catalog.register(lake, table, day)
        if published:
            count = f"{len(published):,} day{'s' if len(published) > 1 else ''}"
            say(f"{catalog.database}.{catalog.table_name(table)}  {count}, the last is {published[-1]}")
        registered += len(published)
    if not registered:
        of_days = f" of {days}" if days else ""
        raise NothingToRegisterError(
            f"nothing{of_days} is published in {settings.lake_uri}; make it with: capstone run {days or 'DATE'}"
        )


@click.command()
@click.argument("table", type=_TableName())
@click.argument("day", metavar="DATE")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest of the published version instead.")
def paths(table: Table, day: str, as_json: bool) -> None:
    """Print the published parquet files of a day, one per line, for DuckDB, pandas or Spark."""
    lake = Lake(Settings.from_environment().lake_uri)
    manifest = lake.require(table, parse_day(day))
    lake.require_files(table, manifest)
    full = [lake.storage.uri(path) for path in manifest.paths]
    # Not with say: other programs read these lines, which must stay as they are.
    click.echo(json.dumps(asdict(manifest) | {"paths": full}, indent=2) if as_json else "\n".join(full))


@click.command()
@click.argument("table", type=_TableName())
@click.argument("day", metavar="DATE")
@click.option("--limit", type=click.IntRange(min=1), default=10, show_default=True, help="How many rows.")
def show(table: Table, day: str, limit: int) -> None:
    """Print the first published rows of a day."""
    lake, trade_dt = Lake(Settings.from_environment().lake_uri), parse_day(day)
    rows = first_rows(lake, table, trade_dt, limit)
    say(as_text(table.columns, rows))
    say(f"{len(rows):,} of {lake.require(table, trade_dt).rows:,} rows")
