"""The worked day has the rows and numbers of the documents, and their programs and queries run."""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import psycopg2
import pytest
from pyspark.sql import SparkSession

from capstone_dagster import connect
from capstone_dagster.assets.metadata import rejects_by_reason
from capstone_dagster.cli.text_table import as_text
from capstone_dagster.run_storage.instance import libpq_environment
from capstone_dagster.warehouse.database import reader_url
from capstone_dagster.warehouse.loading import Warehouse
from capstone_dagster.warehouse.tables import WarehouseTable, tables
from capstone_dagster_tests.builders.command_line import CAPSTONE
from capstone_dagster_tests.builders.published_files import first_rows
from capstone_dagster_tests.servers.job_status_database import job_status_database
from capstone_dagster_tests.servers.platform import ALL_ROWS, Platform
from spark_code import eod_to_report, ingested_to_eod, quality, raw_to_ingested
from spark_code.schemas import BARS, EVENTS, TABLES

ROOT = Path(__file__).parents[2]
DATA_FLOW = (ROOT / "docs" / "data_flow.md").read_text()
DAYS = (date(2020, 8, 5), date(2020, 8, 6))


def _blocks(kind: str) -> dict[str, str]:
    """Fenced blocks of a kind, by what stands behind the kind."""
    return dict(re.findall(rf"^```{kind} (\S.*)\n([\s\S]*?)^```", DATA_FLOW, re.MULTILINE))


@pytest.fixture(scope="module")
def worked_days(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Platform:
    del spark
    platform = Platform(tmp_path_factory.mktemp("worked"), DAYS[0])
    for name, content in (_blocks("csv") | _blocks("json")).items():
        file = platform.raw / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    for day in DAYS:
        assert platform.run("daily_pipeline", day).success
    return platform


SHOWN = [title for title in _blocks("text") if not title.startswith("rejects")]


@pytest.mark.parametrize("title", SHOWN)
def test_the_worked_day_has_the_rows_of_the_document(worked_days: Platform, title: str) -> None:
    name, day = title.split()
    table, trade_dt = TABLES[name], date.fromisoformat(day)
    shown = _blocks("text")[title].splitlines()
    rows = first_rows(worked_days.lake, table, trade_dt, ALL_ROWS)
    made = as_text(table.columns, rows).splitlines()
    assert sorted(made) == sorted(shown[:-1])
    assert shown[-1] == f"{len(rows)} of {len(rows)} rows"


READ_IT = (ROOT / "docs" / "read_it.md").read_text()


PROGRAMS = re.findall(r"^```python\n([\s\S]*?)^```", READ_IT, re.MULTILINE)


@pytest.fixture(scope="module")
def warehouse(worked_days: Platform) -> Iterator[str]:
    """The URL of one that has loaded the worked days, for its reader."""
    with job_status_database() as database:
        url = database.url_of("postgres")
        for day in DAYS:
            Warehouse(url, worked_days.lake.storage.root, tables(quotes=True)).load(day, "run")
        yield reader_url(url)


@pytest.mark.parametrize("table", tables(quotes=True), ids=lambda table: table.name)
def test_the_warehouse_has_the_rows_of_the_lake(worked_days: Platform, warehouse: str, table: WarehouseTable) -> None:
    rows = [row for day in DAYS for row in first_rows(worked_days.lake, table.source, day, ALL_ROWS)]
    of_30_minutes = [row for row in rows if "minutes" not in table.source.columns or 30 in row[:4]]

    with closing(psycopg2.connect(warehouse)) as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table.name}")  # noqa: S608 -- it is ours
        assert sorted(map(list, cursor.fetchall()), key=repr) == sorted(of_30_minutes, key=repr)
    assert of_30_minutes


def test_the_program_that_asks_the_warehouse_runs(warehouse: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (program,) = [program for program in PROGRAMS if "psycopg2" in program]
    for name, value in libpq_environment(warehouse).items():
        monkeypatch.setenv(name, value)

    exec(program, {})  # noqa: S102 -- it is ours


@pytest.mark.parametrize(
    "program", [program for program in PROGRAMS if "polars" not in program and "psycopg2" not in program]
)
def test_the_programs_that_read_published_days_run(
    worked_days: Platform, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAPSTONE_LAKE_URI", worked_days.lake.storage.root)
    monkeypatch.setenv("PATH", f"{CAPSTONE.parent}", prepend=os.pathsep)

    exec(program, {})  # noqa: S102 -- it is ours


def test_the_notebook_runs(worked_days: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPSTONE_LAKE_URI", worked_days.lake.storage.root)
    cells = json.loads((ROOT / "examples" / "published_days.ipynb").read_text())["cells"]
    known: dict[str, Any] = {}

    for cell in cells:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), known)  # noqa: S102 -- it is ours

    assert (known["day"], list(known["active"]["symbol"])) == (DAYS[1], ["ABC"])
    assert all(not cell.get("outputs") for cell in cells)


def test_the_query_of_the_document_finds_the_last_trade_of_the_report(worked_days: Platform) -> None:
    (query,) = re.findall(r"^```sql\n([\s\S]*?)^```", READ_IT, re.MULTILINE)
    database = connect(worked_days.lake)

    found = database.execute(query).fetchall()

    columns = "symbol, exchange, event_tm, event_seq_nb, bid_pr, ask_pr, last_trade_pr"
    assert found == database.execute(f"SELECT {columns} FROM report.quote_analytics ORDER BY ALL").fetchall()  # noqa: S608
    assert [row[-1] for row in found].count(None) == 3


def test_the_gaps_between_bars_are_filled_as_the_document_says(worked_days: Platform) -> None:
    (query,) = re.findall(r"^```sql\n([\s\S]*?)^```", DATA_FLOW, re.MULTILINE)
    (name,) = worked_days.lake.require(BARS, DAYS[1]).paths
    filled = duckdb.execute(query.replace("bars.parquet", worked_days.lake.storage.uri(name))).fetchall()

    assert [(f"{tm:%H:%M}", close and f"{close}", volume) for tm, close, volume in filled] == [
        ("09:30", "100.400000", 400),
        *(
            (f"{hour}:{minute}", "102.000000", 200 if hour == 10 and minute == "00" else 0)
            for hour in range(10, 16)
            for minute in ("00", "30")
        ),
    ]


def test_the_worked_day_has_the_rejects_of_the_document(worked_days: Platform) -> None:
    events = worked_days.lake.require(EVENTS, DAYS[1])
    assert (events.rows, events.measures["trades"], events.measures["quotes"]) == (13, 5, 5)
    shown = dict(line.split() for line in _blocks("text")["rejects 2020-08-06"].splitlines())
    assert {reason: str(count) for reason, count in rejects_by_reason(events).items()} == shown


# The code version of the edge that makes a layer, and what it makes of the worked day.
MADE: Mapping[str, tuple[str, list[str | None]]] = {
    "ingested": ("1", ["a0538a62cbad7ea4cbef0f7bf626d951"]),
    "eod": (
        "1",
        ["40f9285d55ddae4bb61c5bb7c8a4449b", "b5d19815bedf89612b0a62fb105183c4", "8a6754373ef0c5cf63e7744831e5346c"],
    ),
    "quality": ("1", ["867d2aae99fd227b1a32b43d1353c658"]),
    "report": (
        "1",
        ["823030d4b2372b7b32a20de4710189db", "fe39bf8d5f7402d9ad2fe040fec2e045", "dabc73b49b9b63742c4fc3609637eecd"],
    ),
}
EDGES = {"ingested": raw_to_ingested, "eod": ingested_to_eod, "quality": quality, "report": eod_to_report}


@pytest.mark.parametrize("layer", MADE)
def test_an_edge_that_makes_other_rows_has_another_code_version(worked_days: Platform, layer: str) -> None:
    """So that the UI shows what was made before as out of date."""
    edge, tables = EDGES[layer], [table for table in TABLES.values() if table.layer == layer]
    digests = [worked_days.lake.require(table, DAYS[1]).digest for table in tables]

    assert (edge.CODE_VERSION, digests) == MADE[layer], (
        f"unless the worked day or an edge before it has changed, raise CODE_VERSION in {edge.__name__}; note both here"
    )
