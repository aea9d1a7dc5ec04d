"""The schema of the warehouse: made, and brought up to this release, by comparing it with ``tables``.

Every load looks, so that nobody has to run anything after an upgrade. Partitions are made as tables of their own and
then attached: that, unlike ``PARTITION OF``, waits for no reader and lets none wait.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from typing import Any

from psycopg2 import sql

from capstone_dagster.warehouse.database import READER, WarehouseError
from capstone_dagster.warehouse.tables import SCHEMA, WarehouseTable

_LOADS = """
CREATE TABLE IF NOT EXISTS {loads} (
    table_name text, trade_dt date, version text NOT NULL, token bigint NOT NULL, rows bigint NOT NULL,
    left_out bigint NOT NULL, loaded_at timestamptz NOT NULL DEFAULT now(), run_id text NOT NULL,
    PRIMARY KEY (table_name, trade_dt)
)
"""
_COLUMNS = """
SELECT relname, attname, format_type(atttypid, atttypmod), col_description(pg_class.oid, attnum)
FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
WHERE relnamespace = to_regnamespace(%s) AND relkind = 'p' AND attnum > 0 AND NOT attisdropped
"""
_ROLES = """
SELECT
    EXISTS (SELECT FROM pg_roles WHERE rolname = %(reader)s),
    (SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user)
"""
_UNREADABLE = """
SELECT to_regclass(name)::text FROM unnest(%s) AS name
WHERE NOT (has_schema_privilege(%s, %s, 'USAGE') AND has_table_privilege(%s, name, 'SELECT'))
"""


def qualified(name: str) -> sql.Composable:
    """A table of the warehouse, in SQL."""
    return sql.Identifier(SCHEMA, name)


LOADS = qualified("loads")

# A new column waits for those who read the table, and whoever comes later waits for it: not for long, then it is tried
# again.
_LOCK_SECONDS = 10


def migrate(connection: Any, tables: Sequence[WarehouseTable], day: date) -> None:
    """Make what the day's load needs and is missing, in a transaction of its own."""
    with connection, connection.cursor() as cursor:
        if not list(_changes(cursor, tables, day)):
            return
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('capstone warehouse', 0))")
        cursor.execute("SET LOCAL lock_timeout = %s", [f"{_LOCK_SECONDS}s"])
        for statement in _changes(cursor, tables, day):  # what another process has made meanwhile is there
            cursor.execute(statement)


def _changes(cursor: Any, tables: Sequence[WarehouseTable], day: date) -> Iterator[sql.Composable]:
    """The statements that are due; all is looked up before the first of them is given."""
    cursor.execute(_COLUMNS, [SCHEMA])
    there: dict[str, dict[str, tuple[str, str | None]]] = {}
    for table, name, kind, comment in cursor.fetchall():
        there.setdefault(table, {})[name] = (kind, comment)
    missing = [table for table in tables if not _is_there(cursor, partition(table, day))]
    readable = list(_reader(cursor, tables))
    if not _is_there(cursor, "loads"):
        yield sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(SCHEMA))
        yield sql.SQL(_LOADS).format(loads=LOADS)
    for table in tables:
        if table.name in there:
            yield from _new_columns(table, there[table.name])
        else:
            yield from _new_table(table)
    for table in missing:
        yield from _new_partition(table, day)
    yield from readable


def _new_table(table: WarehouseTable) -> Iterator[sql.Composable]:
    columns = [sql.SQL("{} {}").format(sql.Identifier(name), _type(kind)) for name, kind in table.types.items()]
    key = sql.SQL("PRIMARY KEY ({})").format(_names(("trade_dt", *table.key)))
    yield sql.SQL("CREATE TABLE {} ({}) PARTITION BY RANGE (trade_dt)").format(
        qualified(table.name), sql.SQL(", ").join([*columns, key])
    )
    for index in table.indexes:
        yield sql.SQL("CREATE INDEX ON {} ({})").format(qualified(table.name), _names(index))
    yield _comment("TABLE", qualified(table.name), f"{table.means}; from {table.source.path} of the lake")
    for name in table.types:
        yield _comment_on_column(table, name)


def _new_columns(table: WarehouseTable, there: dict[str, tuple[str, str | None]]) -> Iterator[sql.Composable]:
    """What the table has gained; a column that it has lost stays, for the days that have it."""
    for name, kind in table.types.items():
        is_kind, comment = there.get(name, (kind, None))
        if is_kind != kind:
            raise WarehouseError(
                f"{SCHEMA}.{table.name}.{name} is {is_kind}, and this release needs {kind}: drop the table, and load "
                "its days again with capstone warehouse-sync"
            )
        if name not in there:
            column = sql.SQL("ALTER TABLE {} ADD COLUMN {} {}")
            yield column.format(qualified(table.name), sql.Identifier(name), _type(kind))
        if comment != table.comments[name]:
            yield _comment_on_column(table, name)


def partition(table: WarehouseTable, day: date) -> str:
    """The name of the partition of the day's month."""
    return f"{table.name}_{day:%Y_%m}"


def _new_partition(table: WarehouseTable, day: date) -> Iterator[sql.Composable]:
    first = day.replace(day=1)
    after = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    of_month = {
        "month": qualified(partition(table, day)),
        "table": qualified(table.name),
        "name": sql.Literal(table.name),
        "loads": LOADS,
        "first": sql.Literal(first),
        "after": sql.Literal(after),
    }
    for statement in (
        "CREATE TABLE {month} (LIKE {table} INCLUDING CONSTRAINTS INCLUDING INDEXES)",
        "ALTER TABLE {table} ATTACH PARTITION {month} FOR VALUES FROM ({first}) TO ({after})",
        # Where somebody has dropped it, its days are no longer there.
        "DELETE FROM {loads} WHERE table_name = {name} AND trade_dt >= {first} AND trade_dt < {after}",
    ):
        yield sql.SQL(statement).format(**of_month)


def _reader(cursor: Any, tables: Sequence[WarehouseTable]) -> Iterator[sql.Composable]:
    """The role that only reads, if this user may make roles, and what it may read: the schema, and nothing else."""
    cursor.execute(_ROLES, {"reader": READER})
    [(is_there, may_create)] = cursor.fetchall()
    if not is_there and not may_create:
        return
    role, schema = sql.Identifier(READER), sql.Identifier(SCHEMA)
    names = [table.name for table in tables if _is_there(cursor, table.name)]
    unreadable = [table.name for table in tables]
    if is_there and len(names) == len(tables) and _is_there(cursor, "loads"):
        cursor.execute(_UNREADABLE, [[f"{SCHEMA}.{name}" for name in (*names, "loads")], READER, SCHEMA, READER])
        unreadable = cursor.fetchall()
    if not is_there:
        yield sql.SQL("CREATE ROLE {} LOGIN").format(role)
        yield sql.SQL("ALTER ROLE {} SET default_transaction_read_only = on").format(role)
        yield sql.SQL("ALTER ROLE {} SET search_path = {}").format(role, schema)
    if unreadable:
        all_of_them = sql.SQL(", ").join(qualified(name) for name in (*(table.name for table in tables), "loads"))
        yield sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(schema, role)
        yield sql.SQL("GRANT SELECT ON {} TO {}").format(all_of_them, role)


def _is_there(cursor: Any, name: str) -> bool:
    cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [f"{SCHEMA}.{name}"])
    [(found,)] = cursor.fetchall()
    return bool(found)


def _names(columns: Iterable[str]) -> sql.Composable:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def _type(kind: str) -> sql.Composable:
    """A type with the order of its texts: byte by byte, which no upgrade of the system's locales changes."""
    return sql.SQL(f'{kind} COLLATE "C"' if kind == "text" else kind)


def _comment_on_column(table: WarehouseTable, name: str) -> sql.Composable:
    return _comment("COLUMN", sql.Identifier(SCHEMA, table.name, name), table.comments[name])


def _comment(on: str, what: sql.Composable, text: str) -> sql.Composable:
    return sql.SQL(f"COMMENT ON {on} {{}} IS {{}}").format(what, sql.Literal(text))
