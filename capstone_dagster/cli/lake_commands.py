"""The commands for the lake and its Glue catalog: ``capstone show``, ``paths`` and ``glue-sync``."""

import io
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from capstone_dagster.cli.text_table import print_table
from capstone_dagster.readers.rows import Days, Only, arrow_schema, batches, rows_of
from capstone_dagster.settings import Settings, SettingsError
from capstone_dagster.trading_days import trading_days
from capstone_dagster.wording import printable, say
from spark_code.errors import ExpectedError
from spark_code.glue import GlueCatalog
from spark_code.lake import Lake
from spark_code.schemas import TABLES, Table
from spark_code.wording import counted

if TYPE_CHECKING:
    import pyarrow as pa

_SHOWN_ROWS = 10


class TableName(click.ParamType[Table]):
    """A table by the name that people use for it."""

    name = "table"

    def convert(self, value: str | Table, param: click.Parameter | None, ctx: click.Context | None) -> Table:
        """The table, or a usage error."""
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
            count = counted(len(published), "day")
            say(f"{catalog.database}.{catalog.table_name(table)}  {count}, the last is {published[-1]}")
        registered += len(published)
    if not registered:
        of_days = f" of {days}" if days else ""
        raise NothingToRegisterError(
            f"nothing{of_days} is published in {settings.lake_uri}; make it with: capstone run {days or 'DATE'}"
        )


@click.command()
@click.argument("table", type=TableName())
@click.argument("days", metavar="[DATE|FROM..TO]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print the manifests of the published versions instead.")
def paths(table: Table, days: str | None, as_json: bool) -> None:
    """Print the published parquet files of a day, a range or all days, one per line, for DuckDB, pandas or Spark."""
    lake = Lake(Settings.from_environment().lake_uri)
    wanted = Days.parse(days)
    versions = wanted.published(lake, table)
    for version in versions:
        lake.require_files(table, version)
    full = [[lake.storage.uri(path) for path in version.paths] for version in versions]
    # Not with say: other programs read these lines, which must stay as they are.
    if not as_json:
        click.echo("\n".join(path for of_day in full for path in of_day))
        return
    manifests = [asdict(version) | {"paths": of_day} for version, of_day in zip(versions, full, strict=True)]
    click.echo(json.dumps(manifests[0] if wanted.is_one else manifests, indent=2))


@click.command()
@click.argument("table", type=TableName())
@click.argument("days", metavar="[DATE|FROM..TO]", required=False)
@click.option("--symbol", "symbols", multiple=True, help="Only rows of this symbol; may be given several times.")
@click.option("--exchange", "exchanges", multiple=True, help="Only rows of this exchange; may be given several times.")
@click.option("--limit", type=click.IntRange(min=1), help="How many rows.  [default: 10, with --csv all]")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV, for programs.")
def show(  # noqa: PLR0913 - one per option
    *,
    table: Table,
    days: str | None,
    symbols: tuple[str, ...],
    exchanges: tuple[str, ...],
    limit: int | None,
    as_csv: bool,
) -> None:
    """Print the first published rows of a day, of a range of days, or of all days."""
    lake = Lake(Settings.from_environment().lake_uri)
    versions = Days.parse(days).published(lake, table)
    found = batches(lake, table, versions, Only(symbols or None, exchanges or None))
    if as_csv:
        _print_csv(table, found, limit)
        return
    most = limit or _SHOWN_ROWS
    rows = list(islice(rows_of(found), most + 1))
    print_table(table.columns, rows[:most])
    if not (symbols or exchanges):
        there = sum(version.rows for version in versions)
        say(f"{min(len(rows), most):,} of {there:,} rows")
    elif len(rows) > most:
        say("there are more rows; --limit shows them")
    else:
        say(counted(len(rows), "row"))


def _print_csv(table: Table, found: "Iterator[pa.RecordBatch]", limit: int | None) -> None:
    import pyarrow.csv as pa_csv  # noqa: PLC0415 - takes 0.15 s, for those who ask for CSV

    left = limit
    # Text of the exchanges, which other programs get as it is, must not steer a terminal.
    out = _Terminal() if sys.stdout.isatty() else sys.stdout.buffer
    with pa_csv.CSVWriter(out, arrow_schema(table)) as writer:
        for batch in found:
            writer.write_batch(batch.slice(0, left))
            left = left and max(0, left - batch.num_rows)
            if left == 0:
                break


class _Terminal(io.RawIOBase):
    """Prints bytes of text with what would steer a terminal escaped."""

    def writable(self) -> bool:
        """Always true."""
        return True

    def write(self, text: Any, /) -> int:
        """Print whole lines, as the writer of CSV gives them."""
        content = bytes(text)
        click.echo(printable(content.decode()), nl=False)
        return len(content)
