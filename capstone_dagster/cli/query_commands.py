"""SQL over the published tables: ``capstone sql`` and ``capstone export``."""

import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from capstone_dagster.cli.text_table import print_table
from capstone_dagster.readers.views import QueryError, connect, write
from capstone_dagster.wording import say
from spark_code.errors import ExpectedError
from spark_code.lake_files import reason_of
from spark_code.storage import Storage
from spark_code.wording import counted

if TYPE_CHECKING:
    import duckdb

_PROMPT, _CONTINUED = "capstone> ", "     ...> "
# How many rows are printed. More are for a file.
_MOST_ROWS = 1000


@click.command()
@click.argument("query", required=False)
def sql(query: str | None) -> None:
    """Run a QUERY over the published tables in DuckDB, or open a prompt.

    report/daily_summary is the view report.daily_summary, with all its published days. Without QUERY the queries are
    read from the terminal, or from standard input.
    """
    database = _database()
    if query is None and sys.stdin.isatty():
        _prompt(database)
    else:
        _print(database, sys.stdin.read() if query is None else query)


@click.command()
@click.argument("to")
@click.option(
    "--sql", "source", type=click.File(encoding="utf-8"), required=True, help="The file with the query; - is stdin."
)
@click.option(
    "--from",
    "asked",
    type=click.Choice(["lake", "warehouse"]),
    default="lake",
    show_default=True,
    help="What is asked: the published tables in DuckDB's SQL, or the warehouse in that of Postgres.",
)
def export(to: str, source: IO[str], asked: str) -> None:
    """Write the result of a query to the file TO: .parquet or .csv, local or on S3."""
    folder, slash, name = to.rpartition("/")
    if Path(name).suffix not in (".parquet", ".csv"):
        raise click.BadParameter(f"{to!r} must end with .parquet or .csv", param_hint="'TO'")
    try:
        query = source.read()
    except UnicodeDecodeError as error:
        raise QueryError(f"{source.name} is not UTF-8: {error}") from None
    with tempfile.TemporaryDirectory() as beside, _refusals_as_sentences():
        written = Path(beside, name)
        if asked == "lake":
            write(_only(_database(), query), written)
        else:
            _export_warehouse(query, written)
        Storage(folder.removeprefix("file://") or slash or ".").write(name, written)
        size = written.stat().st_size
    say(f"{to}: {size:,} bytes")


def _export_warehouse(query: str, written: Path) -> None:
    from capstone_dagster.cli.warehouse_commands import reader_of_warehouse  # noqa: PLC0415 - loads Dagster
    from capstone_dagster.warehouse import queries  # noqa: PLC0415 - the same

    with reader_of_warehouse() as url:
        queries.write(url, query, written)


def _database() -> "duckdb.DuckDBPyConnection":
    database = connect()
    # A name that is no view would be looked up among the variables of this program.
    database.execute("SET python_enable_replacements = false")
    return database


@contextmanager
def _refusals_as_sentences() -> Iterator[None]:
    import duckdb  # noqa: PLC0415 - takes 0.1 s, for those who ask for SQL

    try:
        yield
    except duckdb.Error as error:
        raise QueryError(f"the query failed: {reason_of(error)}") from None


def _only(database: "duckdb.DuckDBPyConnection", query: str) -> "duckdb.DuckDBPyRelation":
    import duckdb  # noqa: PLC0415 - the same

    kinds = [statement.type for statement in database.extract_statements(query)]
    # A PIVOT is several statements, for DuckDB.
    of_rows = len(kinds) == 1 and kinds[0] in (duckdb.StatementType.SELECT, duckdb.StatementType.MULTI)
    found = database.sql(query) if of_rows else None
    if found is None:
        raise QueryError("this is not one query that gives rows")
    return found


def _print(database: "duckdb.DuckDBPyConnection", query: str) -> None:
    with ThreadPoolExecutor(1) as beside:
        answer = beside.submit(_first_rows, database, query)
        try:
            found = answer.result()
        except KeyboardInterrupt:  # which DuckDB, in another thread, does not hear
            database.interrupt()
            raise
    if found is None:
        return
    columns, rows = found
    print_table(columns, rows[:_MOST_ROWS])
    if len(rows) > _MOST_ROWS:
        say(f"the first {_MOST_ROWS:,} rows; choose with LIMIT, or write all to a file: capstone export --help")
    else:
        say(counted(len(rows), "row"))


def _first_rows(database: "duckdb.DuckDBPyConnection", query: str) -> tuple[list[str], list[list[Any]]] | None:
    with _refusals_as_sentences():
        found: duckdb.DuckDBPyRelation | None = database.sql(query)
        return None if found is None else (found.columns, list(map(list, found.limit(_MOST_ROWS + 1).fetchall())))


def _prompt(database: "duckdb.DuckDBPyConnection") -> None:
    """Read queries, which end with a semicolon, until the end of the input."""
    with suppress(ImportError):
        import readline  # noqa: F401, PLC0415 - gives the prompt its history, where Python has it

    views = database.execute("SELECT table_schema || '.' || table_name FROM information_schema.tables").fetchall()
    say(f"DuckDB over {', '.join(sorted(name for (name,) in views))}. End a query with ; and leave with Ctrl-D.")
    lines: list[str] = []
    while True:
        try:
            lines.append(input(_CONTINUED if lines else _PROMPT))
            if lines[-1].rstrip().endswith(";"):
                query, lines = "\n".join(lines), []
                _print(database, query)
        except EOFError:
            say("")
            return
        except KeyboardInterrupt:
            say("")
            lines = []
        except ExpectedError as error:
            say(error, err=True)
