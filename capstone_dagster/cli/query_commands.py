"""SQL over the published tables: ``capstone sql`` and ``capstone export``."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from capstone_dagster.cli.text_table import as_text
from capstone_dagster.readers.views import QueryError, connect, write
from capstone_dagster.wording import say
from spark_code.errors import ExpectedError
from spark_code.storage import Storage

if TYPE_CHECKING:
    import duckdb

_PROMPT, _CONTINUED = "capstone> ", "     ...> "


@click.command()
@click.argument("query", required=False)
def sql(query: str | None) -> None:
    """Run a QUERY over the published tables in DuckDB, or open a prompt.

    report/daily_summary is the view report.daily_summary, with all its published days. Without QUERY the queries are
    read from the terminal, or from standard input.
    """
    database = connect()
    if query is None and sys.stdin.isatty():
        _prompt(database)
    else:
        _print(database, sys.stdin.read() if query is None else query)


@click.command()
@click.argument("to")
@click.option("--sql", "source", type=click.File(), required=True, help="The file with the query; - is standard input.")
def export(to: str, source: IO[str]) -> None:
    """Write the result of a query over the published tables to the file TO: .parquet or .csv, local or on S3."""
    folder, _, name = to.rpartition("/")
    if Path(name).suffix not in (".parquet", ".csv"):
        raise click.BadParameter(f"{to!r} must end with .parquet or .csv", param_hint="'TO'")
    storage = Storage(folder or ".")
    with _refusals_as_sentences(), tempfile.TemporaryDirectory() as beside:
        found = _only(connect(), source.read())
        written = Path(beside, name)
        write(found, written)
        storage.write(name, written)
        size = written.stat().st_size
    say(f"{to}: {size:,} bytes")


@contextmanager
def _refusals_as_sentences() -> Iterator[None]:
    import duckdb  # noqa: PLC0415 - takes 0.1 s, for those who ask for SQL

    try:
        yield
    except duckdb.Error as error:
        raise QueryError(f"the query failed: {error}") from None


def _only(database: "duckdb.DuckDBPyConnection", query: str) -> "duckdb.DuckDBPyRelation":
    import duckdb  # noqa: PLC0415 - the same

    statements = database.extract_statements(query)
    found = database.sql(query) if [one.type for one in statements] == [duckdb.StatementType.SELECT] else None
    if found is None:
        raise QueryError("this is not one query that gives rows")
    return found


def _print(database: "duckdb.DuckDBPyConnection", query: str) -> None:
    with _refusals_as_sentences():
        found = database.sql(query)
        if found is not None:
            rows = [list(row) for row in found.fetchall()]
            say(as_text(found.columns, rows))
            say(f"{len(rows):,} row{'' if len(rows) == 1 else 's'}")


def _prompt(database: "duckdb.DuckDBPyConnection") -> None:
    """Read queries, which end with a semicolon, until the end of the input."""
    with suppress(ImportError):
        import readline  # noqa: F401, PLC0415 - gives the prompt its history, where Python has it

    views = database.sql("SELECT table_schema || '.' || table_name FROM information_schema.tables").fetchall()
    say(f"DuckDB over {', '.join(sorted(name for (name,) in views))}. End a query with ; and leave with Ctrl-D.")
    lines: list[str] = []
    while True:
        try:
            lines.append(input(_CONTINUED if lines else _PROMPT))
        except EOFError:
            say("")
            return
        except KeyboardInterrupt:
            say("")
            lines = []
            continue
        if lines[-1].rstrip().endswith(";"):
            query, lines = "\n".join(lines), []
            try:
                _print(database, query)
            except ExpectedError as error:
                say(error, err=True)
