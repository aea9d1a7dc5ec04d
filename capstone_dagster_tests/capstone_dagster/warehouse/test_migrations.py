"""The schema of the warehouse: how it is made, how it grows, and who may read it."""

from contextlib import closing
from dataclasses import replace
from datetime import date
from decimal import Decimal

import psycopg2
import pytest
from pyspark.sql.types import LongType, StructField, StructType

from capstone_dagster.warehouse import migrations
from capstone_dagster.warehouse.database import WarehouseAwayError, WarehouseError, reader_url
from capstone_dagster.warehouse.loading import Warehouse
from capstone_dagster.warehouse.tables import ALWAYS, WarehouseTable
from capstone_dagster_tests.builders.published_files import DAY, publish
from capstone_dagster_tests.builders.warehouses import READER, TestedWarehouse, summary
from spark_code.schemas import DAILY_SUMMARY

SUMMARY = ALWAYS[0]


def _with_column() -> WarehouseTable:
    """The summary of a later release, which has a column more."""
    more = StructField("odd_lots", LongType(), True, {"comment": "Trades below 100 shares"})
    return replace(SUMMARY, source=replace(DAILY_SUMMARY, schema=StructType([*DAILY_SUMMARY.schema, more])))


def test_tables_have_types_keys_indexes_comments_and_partitions_of_months(warehouse: TestedWarehouse) -> None:
    for day in (date(2020, 12, 31), date(2021, 1, 4)):
        warehouse.publish(day, summary("A"))
        warehouse.warehouse(quotes=True).load(day, "run")

    assert warehouse.query(
        "SELECT column_name, data_type, numeric_precision, numeric_scale FROM information_schema.columns "
        "WHERE table_schema = 'warehouse' AND table_name = 'daily_summary' ORDER BY ordinal_position LIMIT 4"
    ) == [
        ("trade_dt", "date", None, None),
        ("symbol", "text", None, None),
        ("exchange", "text", None, None),
        ("open_pr", "numeric", 18, 6),
    ]
    keys = "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'p' "
    assert warehouse.query(keys + "AND conparentid = 0 AND connamespace = 'warehouse'::regnamespace ORDER BY 1") == [
        ("bars_30m", "PRIMARY KEY (trade_dt, symbol, exchange, bar_tm)"),
        ("daily_summary", "PRIMARY KEY (trade_dt, symbol, exchange)"),
        ("loads", "PRIMARY KEY (table_name, trade_dt)"),
        ("quality_measures", "PRIMARY KEY (trade_dt, subject, exchange, measure)"),
        ("quote_analytics", "PRIMARY KEY (trade_dt, symbol, exchange, event_tm, event_seq_nb)"),
    ]
    assert warehouse.query("SELECT indexname FROM pg_indexes WHERE tablename = 'daily_summary' ORDER BY 1") == [
        ("daily_summary_pkey",),
        ("daily_summary_symbol_trade_dt_idx",),
    ]
    assert warehouse.query(
        "SELECT inhrelid::regclass::text, pg_get_expr(relpartbound, oid) FROM pg_inherits "
        "JOIN pg_class ON oid = inhrelid WHERE inhparent = 'daily_summary'::regclass ORDER BY 1"
    ) == [
        ("daily_summary_2020_12", "FOR VALUES FROM ('2020-12-01') TO ('2021-01-01')"),
        ("daily_summary_2021_01", "FOR VALUES FROM ('2021-01-01') TO ('2021-02-01')"),
    ]
    assert warehouse.query(
        "SELECT obj_description('bars_30m'::regclass), col_description('bars_30m'::regclass, 5)"
    ) == [
        (
            "One row per symbol, exchange and 30 minutes with trades or quotes; from report/bars of the lake",
            "Where the bar begins; it ends before bar_tm + minutes",
        )
    ]


def test_a_table_gains_a_column_that_is_null_until_its_days_are_published_again(warehouse: TestedWarehouse) -> None:
    warehouse.publish(DAY, summary("A"))
    warehouse.load()
    later = Warehouse(warehouse.url, warehouse.lake.storage.root, [_with_column()])

    assert [done.state for done in later.load(DAY, "run")] == ["present"]
    seen = [warehouse.query("SELECT symbol, odd_lots FROM daily_summary")]
    warehouse.publish(DAY, summary("A"), version="v2", token=2)  # by the release before
    later.load(DAY, "run")
    seen.append(warehouse.query("SELECT symbol, odd_lots FROM daily_summary"))
    publish(warehouse.lake, DAILY_SUMMARY, {"part-0": [summary("A") | {"odd_lots": 7}]}, "v3", token=3)
    later.load(DAY, "run")
    seen.append(warehouse.query("SELECT symbol, odd_lots FROM daily_summary"))

    assert seen == [[("A", None)], [("A", None)], [("A", 7)]]
    assert warehouse.query(
        "SELECT col_description('daily_summary'::regclass, attnum) FROM pg_attribute "
        "WHERE attrelid = 'daily_summary'::regclass AND attname = 'odd_lots'"
    ) == [("Trades below 100 shares",)]


def test_the_release_before_loads_into_a_table_that_has_gained_a_column(warehouse: TestedWarehouse) -> None:
    publish(warehouse.lake, DAILY_SUMMARY, {"part-0": [summary("A") | {"odd_lots": 7}]})
    Warehouse(warehouse.url, warehouse.lake.storage.root, [_with_column()]).load(DAY, "run")
    warehouse.publish(DAY, summary("A"), version="v2", token=2)

    warehouse.load()

    assert warehouse.query("SELECT symbol, odd_lots FROM daily_summary") == [("A", None)]


def test_a_reader_of_long_is_not_waited_for_and_the_column_comes_later(
    warehouse: TestedWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "_LOCK_SECONDS", 1)
    warehouse.publish(DAY, summary("A"))
    warehouse.load()
    later = Warehouse(warehouse.url, warehouse.lake.storage.root, [_with_column()])

    with closing(psycopg2.connect(reader_url(warehouse.url))) as reader, reader.cursor() as cursor:
        cursor.execute("SELECT FROM daily_summary")  # and the transaction goes on
        with pytest.raises(WarehouseAwayError, match="lock timeout"):
            later.load(DAY, "run")

    later.load(DAY, "run")
    assert warehouse.query("SELECT symbol, odd_lots FROM daily_summary") == [("A", None)]


def test_a_column_of_another_type_is_refused(warehouse: TestedWarehouse) -> None:
    warehouse.publish(DAY, summary("A"))
    warehouse.load()
    warehouse.query("ALTER TABLE warehouse.daily_summary ALTER volume TYPE integer", user="postgres")

    with pytest.raises(WarehouseError, match=r"daily_summary\.volume is integer, and this release needs bigint"):
        warehouse.load()


def test_what_was_dropped_is_loaded_again(warehouse: TestedWarehouse) -> None:
    warehouse.publish(DAY, summary("A"))
    warehouse.load()
    warehouse.query("DROP TABLE warehouse.daily_summary_2020_08, warehouse.bars_30m", user="postgres")

    assert [done.state for done in warehouse.load()] == ["loaded", "loaded", "present"]
    assert warehouse.closes() == [("A", "1.250000")]


def test_the_reader_reads_the_warehouse_and_nothing_else(warehouse: TestedWarehouse) -> None:
    warehouse.publish(DAY, summary("A", "2.5"))
    warehouse.load()

    with closing(psycopg2.connect(reader_url(warehouse.url))) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("SELECT current_user, close_pr FROM daily_summary")
        assert cursor.fetchall() == [(READER, Decimal("2.500000"))]
        cursor.execute(
            "SELECT table_schema, table_name FROM information_schema.table_privileges "
            "WHERE grantee IN (current_user, 'PUBLIC') AND table_schema NOT IN ('pg_catalog', 'information_schema') "
            "ORDER BY 2"
        )
        assert cursor.fetchall() == [
            ("warehouse", "bars_30m"),
            ("warehouse", "daily_summary"),
            ("warehouse", "loads"),
            ("warehouse", "quality_measures"),
        ]
        cursor.execute("SET default_transaction_read_only = off")
        for forbidden in (
            "SELECT FROM public.runs",
            "SELECT FROM public.event_logs",
            "SELECT FROM public.job_status",
            "DELETE FROM daily_summary",
            "INSERT INTO loads VALUES ('x', '2020-08-05', 'v', 9, 0, 0, now(), 'x')",
            "CREATE TABLE warehouse.own (x int)",
            "CREATE TABLE public.own (x int)",
            "COPY daily_summary TO PROGRAM 'true'",
            "SELECT pg_read_file('PG_VERSION')",
            "SET ROLE postgres",
        ):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(forbidden)


def test_the_reader_is_a_role_without_any_power_or_possession(warehouse: TestedWarehouse) -> None:
    warehouse.publish(DAY, summary("A"))
    warehouse.load()

    [powers] = warehouse.query(
        """
        SELECT rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls,
            has_database_privilege(oid, current_database(), 'CREATE'),
            has_schema_privilege(oid, 'warehouse', 'CREATE'),
            has_schema_privilege(oid, 'public', 'CREATE'),
            (SELECT count(*) FROM pg_auth_members WHERE member = pg_roles.oid),
            (SELECT count(*) FROM pg_class WHERE relowner = pg_roles.oid),
            (SELECT count(*) FROM pg_class
                WHERE relnamespace IN ('warehouse'::regnamespace, 'public'::regnamespace) AND relkind IN ('r', 'p', 'v')
                AND has_table_privilege(pg_roles.oid, pg_class.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES'))
        FROM pg_roles WHERE rolname = current_user
        """
    )

    assert not any(powers), powers


def test_the_reader_writes_nothing_by_mistake(warehouse: TestedWarehouse) -> None:
    warehouse.publish(DAY, summary("A"))
    warehouse.load()

    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        warehouse.query("CREATE TEMP TABLE x AS SELECT 1")


def test_grants_come_back_with_the_role(warehouse: TestedWarehouse) -> None:
    warehouse.publish(DAY, summary("A"))
    warehouse.load()
    warehouse.query(f"DROP OWNED BY {READER}; DROP ROLE {READER}", user="postgres")

    warehouse.load()

    assert warehouse.closes() == [("A", "1.250000")]


def test_a_user_who_may_make_no_roles_loads_without_the_reader(warehouse: TestedWarehouse) -> None:
    warehouse.query(
        f"DROP OWNED BY {READER}; DROP ROLE {READER}; DROP ROLE IF EXISTS loader; CREATE ROLE loader LOGIN; "
        "GRANT CREATE ON DATABASE postgres TO loader",
        user="postgres",
    )
    warehouse.publish(DAY, summary("A"))

    warehouse.warehouse(url=warehouse.database.url_of("loader")).load(DAY, "run")

    rows = "SELECT symbol FROM warehouse.daily_summary"
    assert warehouse.query(rows, user="loader") == [("A",)]
    assert warehouse.query(f"SELECT FROM pg_roles WHERE rolname = '{READER}'", user="loader") == []
    warehouse.query("DROP SCHEMA warehouse CASCADE; DROP OWNED BY loader; DROP ROLE loader", user="postgres")


def test_a_user_who_may_make_no_schema_is_told_what_to_do(warehouse: TestedWarehouse) -> None:
    warehouse.query("DROP ROLE IF EXISTS poor; CREATE ROLE poor LOGIN", user="postgres")
    warehouse.publish(DAY, summary("A"))

    with pytest.raises(WarehouseError, match=r"permission denied for database postgres; grant it .*WAREHOUSE=false$"):
        warehouse.warehouse(url=warehouse.database.url_of("poor")).load(DAY, "run")


def test_the_url_of_the_reader_has_no_password() -> None:
    assert reader_url("postgresql://owner:s%40cret@db.example:5432/market?sslmode=verify-full") == (
        "postgresql://warehouse_reader@db.example:5432/market?sslmode=verify-full"
    )
