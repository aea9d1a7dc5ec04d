"""The rows of a query over the warehouse, as a file: written by Postgres as CSV, and from that as parquet by DuckDB."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg2 import sql

from capstone_dagster.warehouse.database import WarehouseError, connected
from capstone_dagster.warehouse.tables import SCHEMA

if TYPE_CHECKING:
    import duckdb

# Types of Postgres by their numbers in its catalog; every other one becomes text.
_TYPES = {
    16: "BOOLEAN",
    20: "BIGINT",
    21: "SMALLINT",
    23: "INTEGER",
    700: "FLOAT",
    701: "DOUBLE",
    1082: "DATE",
    1114: "TIMESTAMP",
    1184: "TIMESTAMPTZ",
}
_NUMERIC, _WIDEST = 1700, 38


def write(url: str | None, query: str, file: Path) -> None:
    """Write the rows of one query, which may read only, as the name of the file says: .parquet or .csv."""
    text = file if file.suffix == ".csv" else file.with_suffix(".csv")
    types = _as_csv(url, query, text)
    if text != file:
        import duckdb  # noqa: PLC0415 - takes 0.1 s, for those who ask for parquet

        with duckdb.connect() as database:
            rows = database.read_csv(  # said in full, so that DuckDB does not guess from the rows
                str(text),
                header=True,
                delimiter=",",
                quotechar='"',
                escapechar='"',
                dtype=dict.fromkeys(types, "VARCHAR"),
                na_values="",
                allow_quoted_nulls=False,
            )
            _typed(rows, types).write_parquet(str(file), compression="zstd")


def _as_csv(url: str | None, query: str, file: Path) -> dict[str, str | None]:
    """The rows as CSV with a header, and the type of each column; None for a number of any size."""
    only = sql.SQL(f"(\n{query.strip().rstrip(';')}\n)")  # a comment may end the query
    with connected(url, application_name="capstone export") as connection:
        connection.set_session(readonly=True)
        with connection, connection.cursor() as cursor, file.open("wb") as out:
            cursor.execute(sql.SQL("SET LOCAL search_path = {}").format(sql.Identifier(SCHEMA)))
            cursor.execute(_opened(connection, sql.SQL("SELECT * FROM {} AS query").format(only)))
            cursor.execute(sql.SQL("SELECT * FROM {} AS query LIMIT 0").format(only))
            names = [column.name.casefold() for column in cursor.description]
            if repeated := next((name for name in names if names.count(name) > 1), None):
                raise WarehouseError(f"two columns of the query are named {repeated!r}; give each a name of its own")
            types = {column.name: _type(column) for column in cursor.description}
            cursor.copy_expert(sql.SQL("COPY {} TO STDOUT (FORMAT csv, HEADER)").format(only), out)
    return types


def _opened(connection: Any, query: sql.Composed) -> sql.Composed:
    """Opens a cursor, which takes one statement alone: with several, a query could leave the transaction, and write."""
    opening = sql.SQL("DECLARE asked refcursor; BEGIN OPEN asked FOR EXECUTE {}; CLOSE asked; END")
    code = opening.format(sql.Literal(query.as_string(connection))).as_string(connection)
    return sql.SQL("DO {}").format(sql.Literal(code))


def _type(column: Any) -> str | None:
    if column.type_code != _NUMERIC:
        return _TYPES.get(column.type_code, "VARCHAR")
    is_bounded = column.precision is not None and column.precision <= _WIDEST
    return f"DECIMAL({column.precision},{column.scale})" if is_bounded else None


def _typed(rows: "duckdb.DuckDBPyRelation", types: dict[str, str | None]) -> "duckdb.DuckDBPyRelation":
    """The texts as their types. A number of any size gets the decimals that its values have."""
    names = {name: '"' + name.replace('"', '""') + '"' for name in types}
    unbounded = [name for name, kind in types.items() if kind is None]
    if unbounded:
        lengths = (f"coalesce(max(length(split_part({names[name]}, '.', 2))), 0)" for name in unbounded)
        [found] = rows.aggregate(", ".join(lengths)).fetchall()
        scales = zip(unbounded, found, strict=True)
        types = types | {name: f"DECIMAL({_WIDEST},{min(scale, _WIDEST)})" for name, scale in scales}
    return rows.project(", ".join(f"CAST({names[name]} AS {kind}) AS {names[name]}" for name, kind in types.items()))
