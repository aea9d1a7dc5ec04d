"""Loads the published version of a day into the warehouse: all its tables in one transaction.

Readers see the day as it was or as it is, whole. The lake's version is recorded in that transaction, so that the same
one is loaded once, and an older one never in place of a newer one. Loads of one day wait for each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, Self

import psycopg2
from psycopg2 import sql

from capstone_dagster.settings import Settings
from capstone_dagster.warehouse.csv_rows import CsvRows
from capstone_dagster.warehouse.database import WarehouseAwayError, connected
from capstone_dagster.warehouse.migrations import LOADS, migrate, qualified
from capstone_dagster.warehouse.tables import WarehouseTable, tables
from spark_code.lake import Lake
from spark_code.manifest import Manifest

_HELD = "SELECT version, token, rows, left_out FROM {loads} WHERE table_name = %s AND trade_dt = %s"
_RECORD = """
INSERT INTO {loads} (table_name, trade_dt, version, token, rows, left_out, run_id) VALUES (%s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (table_name, trade_dt) DO UPDATE SET version = excluded.version, token = excluded.token,
    rows = excluded.rows, left_out = excluded.left_out, run_id = excluded.run_id, loaded_at = excluded.loaded_at
"""

# present: that very version was there. newer: a later one was, and this one came too late.
State = Literal["loaded", "present", "newer"]


@dataclass(frozen=True)
class Loaded:
    """What became of one table of a day."""

    table: WarehouseTable
    manifest: Manifest
    state: State
    rows: int
    """That are in the warehouse now."""
    left_out: int
    """Rows that Postgres cannot hold; see ``csv_rows``."""


@dataclass(frozen=True)
class Warehouse:
    """The tables of the warehouse in a database, and the lake they come from."""

    url: str | None
    """Asked for only when a day is loaded: without a database that step fails, and none before it."""
    lake_uri: str
    tables: Sequence[WarehouseTable]

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """That of the settings: in a database of its own, or in that of the run storage."""
        url = settings.warehouse_url or settings.postgres_url
        return cls(url, settings.lake_uri, tables(quotes=settings.warehouse_quotes))

    def load(self, day: date, run_id: str) -> list[Loaded]:
        """Load a day; an error if one of its tables is not published."""
        try:
            return self._load(day, run_id)
        except WarehouseAwayError as error:
            raise WarehouseAwayError(
                f"{error}; the lake has the day: when the database is back, type capstone warehouse-sync {day}"
            ) from None

    def _load(self, day: date, run_id: str) -> list[Loaded]:
        lake = Lake(self.lake_uri)
        with connected(self.url, application_name="capstone warehouse") as connection:
            migrate(connection, self.tables, day)
            with connection, connection.cursor() as cursor:
                # The manifests are read under the lock: who waited for it sees what its holder has loaded.
                cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"capstone warehouse {day}"])
                return [_load(cursor, lake, table, day, run_id) for table in self.tables]


def _load(cursor: Any, lake: Lake, table: WarehouseTable, day: date, run_id: str) -> Loaded:
    manifest = lake.require(table.source, day)
    cursor.execute(sql.SQL(_HELD).format(loads=LOADS), [table.name, day])
    for version, token, rows, left_out in cursor.fetchall():
        if version == manifest.version:
            return Loaded(table, manifest, "present", rows, left_out)
        if token > manifest.token:
            return Loaded(table, manifest, "newer", rows, left_out)
    name = qualified(table.name)
    cursor.execute(sql.SQL("DELETE FROM {} WHERE trade_dt = %s").format(name), [day])
    columns = sql.SQL(", ").join(map(sql.Identifier, table.source.columns))
    copy = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(name, columns)
    text = CsvRows(lake, table, manifest)
    try:
        cursor.copy_expert(copy, text)
    except psycopg2.Error:
        if text.failure:
            raise text.failure from text.failure.__cause__  # which may be a fault that passes
        raise
    rows, left_out = cursor.rowcount, text.left_out
    record = [table.name, day, manifest.version, manifest.token, rows, left_out, run_id]
    cursor.execute(sql.SQL(_RECORD).format(loads=LOADS), record)
    return Loaded(table, manifest, "loaded", rows, left_out)
