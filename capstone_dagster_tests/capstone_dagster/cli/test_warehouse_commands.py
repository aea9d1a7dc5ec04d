"""``capstone warehouse``, ``warehouse-sync`` and ``export --from warehouse``: what people and their programs get."""

import os
import tempfile
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from capstone_dagster.run_storage.instance import ready
from capstone_dagster.settings import Settings
from capstone_dagster_tests.builders.command_line import Run
from capstone_dagster_tests.builders.published_files import DAY
from capstone_dagster_tests.builders.warehouses import TestedWarehouse, summary
from capstone_dagster_tests.servers.job_status_database import Database
from spark_code.lake import Lake

NEXT_DAY = date(2020, 8, 6)


@pytest.fixture
def warehouse(server: Database, home: Path, monkeypatch: pytest.MonkeyPatch) -> TestedWarehouse:
    """The warehouse and the run storage of the settings are those of the tests' server."""
    server.wipe()
    server.query("DROP SCHEMA IF EXISTS warehouse CASCADE")
    monkeypatch.setenv("CAPSTONE_POSTGRES_URL", server.url_of("postgres"))
    return TestedWarehouse(server, Lake(f"{home / 'lake'}"))


@pytest.fixture
def two_days(warehouse: TestedWarehouse) -> TestedWarehouse:
    warehouse.publish(DAY, summary("A", "1.5"), summary("B", "2.5"))
    warehouse.publish(NEXT_DAY, summary("A", "3.5"))
    return warehouse


def test_days_that_were_published_before_are_loaded_once(capstone: Run, two_days: TestedWarehouse) -> None:
    first, of_day = (
        "2020-08-05  daily_summary 2 rows, bars_30m 2 rows, quality_measures 1 row\n",
        "2020-08-06  daily_summary 1 row, bars_30m 1 row, quality_measures 1 row\n",
    )

    assert capstone("warehouse-sync", "2020-08-05") == (0, f"{first}1 day: 1 loaded, 0 were there\n", "")
    assert capstone("warehouse-sync") == (0, f"{of_day}2 days: 1 loaded, 1 were there\n", "")
    assert capstone("warehouse-sync") == (0, "2 days: 0 loaded, 2 were there\n", "")

    assert [two_days.closes(day) for day in (DAY, NEXT_DAY)] == [
        [("A", "1.500000"), ("B", "2.500000")],
        [("A", "3.500000")],
    ]


def test_what_is_loaded_by_no_run_shows_in_the_ui(capstone: Run, two_days: TestedWarehouse) -> None:
    capstone("warehouse-sync")

    key = dg.AssetKey(["warehouse", "daily_summary"])
    events = two_days.database.instance.fetch_materializations(key, limit=10).records
    assert sorted(f"{event.partition_key}" for event in events) == ["2020-08-05", "2020-08-06"]
    (facts, *_) = [event.asset_materialization for event in events if event.partition_key == "2020-08-05"]
    assert facts
    assert facts.metadata["dagster/partition_row_count"].value == 2
    assert facts.tags == {"dagster/data_version": "v1"}


def test_a_day_that_cannot_be_loaded_stops_no_other(capstone: Run, two_days: TestedWarehouse) -> None:
    part = two_days.lake.storage.root + f"/report/bars/data/v1/trade_dt={DAY}/part-0.parquet"
    Path(part).unlink()

    code, out, err = capstone("warehouse-sync")

    assert (code, out.splitlines()[-1]) == (1, "2 days: 1 loaded, 0 were there")
    assert err.startswith(f"capstone: 1 day not loaded: 2020-08-05: {part} is gone; publish report/bars of 2020-08-05 ")
    assert two_days.closes(NEXT_DAY) == [("A", "3.500000")]
    assert two_days.closes(DAY) == []


@pytest.mark.parametrize("days", [[], ["2020-08-05"]])
def test_nothing_to_load_is_said_with_what_to_do(capstone: Run, warehouse: TestedWarehouse, days: list[str]) -> None:
    code, out, err = capstone("warehouse-sync", *days)

    assert (code, out) == (1, "")
    assert err == (
        f"capstone: no report{' of 2020-08-05' if days else ''} is published in {warehouse.lake.storage.root}; "
        f"make it with: capstone run {'2020-08-05' if days else 'DATE'}\n"
    )


@pytest.mark.parametrize("command", [["warehouse"], ["warehouse-sync"]])
def test_a_warehouse_that_is_switched_off_is_none(
    capstone: Run, home: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    del home
    monkeypatch.setenv("CAPSTONE_WAREHOUSE", "false")

    assert capstone(*command) == (1, "", "capstone: CAPSTONE_WAREHOUSE is false: there is no warehouse\n")


def test_a_database_that_is_down_is_one_sentence_without_its_password(
    capstone: Run, two_days: TestedWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    del two_days
    monkeypatch.setenv("CAPSTONE_WAREHOUSE_URL", "postgresql://owner:canary@127.0.0.1:1/market")

    code, out, err = capstone("warehouse-sync")

    assert (code, out) == (1, "")
    assert err.startswith("capstone: the database of the warehouse does not answer: ")
    assert err.endswith("; the lake has the day: when the database is back, type capstone warehouse-sync 2020-08-05\n")
    assert "canary" not in err


def test_psql_and_programs_with_libpq_are_the_reader(capstone: Run, two_days: TestedWarehouse) -> None:
    two_days.load()
    program = (
        "import psycopg2; cursor = psycopg2.connect('').cursor(); "
        "cursor.execute('SELECT current_user, sum(close_pr) FROM daily_summary'); print(*cursor.fetchone())"
    )

    by_psql = capstone("warehouse", "psql", "-AtXc", "SELECT current_user, sum(close_pr) FROM daily_summary")
    by_psycopg = capstone("warehouse", "python", "-c", program)

    assert by_psql == (0, "warehouse_reader|4.000000\n", "")
    assert by_psycopg == (0, "warehouse_reader 4.000000\n", "")
    refused = capstone("warehouse", "psql", "-AtXc", "SELECT count(*) FROM public.runs")
    assert refused[0] == 1
    assert "permission denied for table runs" in refused[2]


def test_others_are_told_how_to_connect_and_no_password(
    capstone: Run, warehouse: TestedWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    del warehouse
    monkeypatch.setenv("CAPSTONE_WAREHOUSE_URL", "postgresql://owner:canary@db.example/market?sslmode=require")

    url = "postgresql://warehouse_reader@db.example/market?sslmode=require"
    assert capstone("warehouse") == (0, f"{url}\npsql '{url}'\n", "")


QUERY = """
SELECT trade_dt, symbol, close_pr, volume, close_pr / 3 AS third, now() IS NULL AS never, NULLIF(volume, 100) AS none
FROM daily_summary ORDER BY 1, 2 -- all of them
"""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def test_a_query_over_the_warehouse_is_written_as_parquet_with_its_types(
    capstone: Run, warehouse: TestedWarehouse, tmp_path: Path
) -> None:
    warehouse.publish(DAY, summary("", "1.000001"), summary('a,"\n', "2"))
    warehouse.load()
    query, file = tmp_path / "query.sql", tmp_path / "rows.parquet"
    query.write_text(QUERY)

    code, out, err = capstone("export", str(file), "--sql", str(query), "--from", "warehouse")

    assert (code, out, err) == (0, f"{file}: {file.stat().st_size:,} bytes\n", "")
    found = duckdb.read_parquet(str(file))
    assert [str(kind) for kind in found.types[:4]] == ["DATE", "VARCHAR", "DECIMAL(18,6)", "BIGINT"]
    assert found.fetchall() == [
        (DAY, "", Decimal("1.000001"), 100, Decimal("0.33333366666666666667"), False, None),
        (DAY, 'a,"\n', Decimal("2.000000"), 100, Decimal("0.66666666666666666667"), False, None),
    ]


def test_the_same_as_csv(capstone: Run, two_days: TestedWarehouse, tmp_path: Path) -> None:
    two_days.load()
    query, file = tmp_path / "query.sql", tmp_path / "rows.csv"
    query.write_text("SELECT symbol, close_pr FROM daily_summary ORDER BY symbol")

    assert capstone("export", str(file), "--sql", str(query), "--from", "warehouse")[0] == 0
    assert file.read_text() == "symbol,close_pr\nA,1.500000\nB,2.500000\n"


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ("SELECT nothing FROM daily_summary", 'column "nothing" does not exist'),
        ("DELETE FROM daily_summary RETURNING *", "syntax error at or near"),
        ("SELECT 1; SELECT 2", "syntax error at or near"),
        ("SELECT lo_create(0)", "cannot execute lo_create() in a read-only transaction"),
        (
            "SELECT 1) AS a; COMMIT; DELETE FROM daily_summary; SELECT * FROM (SELECT 1",
            "cannot open multi-query plan as cursor",
        ),
    ],
)
def test_what_is_no_query_that_only_reads_is_refused(
    capstone: Run, two_days: TestedWarehouse, tmp_path: Path, query: str, reason: str
) -> None:
    two_days.load()
    file = tmp_path / "query.sql"
    file.write_text(query)

    code, out, err = capstone("export", str(tmp_path / "rows.csv"), "--sql", str(file), "--from", "warehouse")

    assert (code, out) == (1, "")
    assert err.startswith(f"capstone: the warehouse refuses this: {reason}")
    assert two_days.closes() == [("A", "1.500000"), ("B", "2.500000")]


@pytest.mark.slow
def test_the_embedded_database_is_started_for_it(
    capstone: Run, home: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its reader needs no password, and is who asks."""
    del home
    monkeypatch.setenv("CAPSTONE_HOME", str(folder))
    settings = Settings.from_environment()
    with ready(settings):
        url = os.environ["CAPSTONE_POSTGRES_URL"]
    monkeypatch.setenv("CAPSTONE_POSTGRES_URL", "")
    lake = Lake(settings.lake_uri)
    TestedWarehouse.publish(TestedWarehouse(None, lake), DAY, summary("A"))  # type: ignore[arg-type]
    query = folder / "query.sql"
    query.write_text("SELECT current_user AS who, symbol FROM daily_summary")

    assert capstone("warehouse-sync")[0] == 0
    monkeypatch.setenv("CAPSTONE_POSTGRES_URL", "")
    assert capstone("export", str(folder / "rows.csv"), "--sql", str(query), "--from", "warehouse")[0] == 0

    assert (folder / "rows.csv").read_text() == "who,symbol\nwarehouse_reader,A\n"
    monkeypatch.setenv("CAPSTONE_POSTGRES_URL", "")
    assert capstone("warehouse")[1].startswith(url.replace("//postgres@", "//warehouse_reader@"))
