"""Loads at the same time, killed and cut off: one whole copy of each day, and nobody ever sees another one."""

import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from capstone_dagster.definitions import build_defs
from capstone_dagster.run_storage.embedded_postgres import serving
from capstone_dagster.settings import Settings
from capstone_dagster.warehouse import loading
from capstone_dagster.warehouse.csv_rows import CsvRows
from capstone_dagster.warehouse.database import WarehouseAwayError
from capstone_dagster.warehouse.tables import tables
from capstone_dagster_tests.builders.published_files import DAY
from capstone_dagster_tests.builders.warehouses import TestedWarehouse, summary
from capstone_dagster_tests.servers.processes import eventually

NEXT_DAY = date(2020, 8, 6)

# A load that stops when it has copied all rows of so many tables, and before it commits.
STOPPING = """
import sys, time
from datetime import date
from capstone_dagster.warehouse import loading
from capstone_dagster.warehouse.tables import tables

url, lake, day, number = sys.argv[1:]

class Stopping(loading.CsvRows):
    copied = 0

    def read(self, size=-1):
        text = super().read(size)
        if not text:
            Stopping.copied += 1
            if Stopping.copied == int(number):
                print("copied", flush=True)
                time.sleep(300)
        return text

loading.CsvRows = Stopping
loading.Warehouse(url, lake, tables(quotes=False)).load(date.fromisoformat(day), "killed")
"""


@contextmanager
def _stopped_load(warehouse: TestedWarehouse, day: date, tables: int) -> Iterator["subprocess.Popen[str]"]:
    """A process in the middle of a load."""
    command = [sys.executable, "-c", STOPPING, warehouse.url, warehouse.lake.storage.root, f"{day}", f"{tables}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "copied\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.faults("F8", sample=True)
@pytest.mark.parametrize("tables", [1, 2])
def test_of_a_load_that_is_killed_nothing_is_seen_and_the_next_one_does_it_all(
    warehouse: TestedWarehouse, tables: int
) -> None:
    warehouse.publish(DAY, summary("A", "1"))
    warehouse.load(run_id="first")
    warehouse.publish(DAY, summary("A", "2"), summary("B", "2"), version="v2", token=2)

    with _stopped_load(warehouse, DAY, tables) as process:
        assert warehouse.closes() == [("A", "1.000000")]
        process.kill()
        process.wait()
        assert warehouse.closes() == [("A", "1.000000")]
        again = warehouse.load(run_id="again")

    assert [done.state for done in again] == ["loaded"] * 3
    assert warehouse.closes() == [("A", "2.000000"), ("B", "2.000000")]
    assert {(version, rows, run_id) for _, _, version, rows, _, run_id in warehouse.loads()} == {
        ("v2", 2, "again"),
        ("v2", 1, "again"),
    }


def test_a_load_waits_for_another_one_of_its_day_and_for_no_other(warehouse: TestedWarehouse) -> None:
    warehouse.publish(DAY, summary("A", "1"))
    warehouse.publish(NEXT_DAY, summary("A", "2"))
    waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"

    with _stopped_load(warehouse, DAY, 1) as process, ThreadPoolExecutor() as others:
        assert [done.state for done in warehouse.load(NEXT_DAY)] == ["loaded"] * 3
        waits = others.submit(warehouse.load, DAY, "waited")
        eventually(lambda: warehouse.query(waiting), lambda found: found == [(1,)])
        assert not waits.done()
        process.kill()
        assert [done.state for done in waits.result()] == ["loaded"] * 3

    assert [warehouse.closes(day) for day in (DAY, NEXT_DAY)] == [[("A", "1.000000")], [("A", "2.000000")]]


def test_loads_at_the_same_time_leave_one_copy_of_each_day(
    warehouse: TestedWarehouse, rounds: Callable[[int], int]
) -> None:
    """The first ones also make the schema, its tables and the partition of the month."""
    days = [date(2020, 8, 5), date(2020, 8, 6), date(2020, 9, 1)]
    for number in range(rounds(3)):
        warehouse.query("DROP SCHEMA IF EXISTS warehouse CASCADE", user="postgres")
        for day in days:
            warehouse.publish(day, summary("A", f"{number}.5"), summary("B"))
        twice = [*days, *days]
        begin = threading.Barrier(len(twice))

        def load(day: date, begin: threading.Barrier = begin) -> list[str]:
            begin.wait()
            return [done.state for done in warehouse.load(day)]

        with ThreadPoolExecutor(len(twice)) as threads:
            states = list(threads.map(load, twice))

        for number_of_day, day in enumerate(days):
            assert sorted([states[number_of_day], states[number_of_day + len(days)]]) == [
                ["loaded"] * 3,
                ["present"] * 3,
            ]
            assert warehouse.closes(day) == [("A", f"{number}.500000"), ("B", "1.250000")]


def test_a_reader_sees_whole_days_while_they_are_replaced(
    warehouse: TestedWarehouse, rounds: Callable[[int], int]
) -> None:
    def publish(number: int) -> None:
        rows = [summary(f"S{row}", f"{number}", volume=number) for row in range(100 * number)]
        warehouse.publish(DAY, *rows, version=f"v{number}", token=number)

    seen = set()
    last = rounds(5) + 1
    publish(1)
    warehouse.load()
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            seen.update(
                warehouse.query(
                    "SELECT count(*), min(volume), max(volume), "
                    "(SELECT count(*) FROM bars_30m), (SELECT max(close_pr)::int FROM bars_30m) FROM daily_summary"
                )
            )

    with ThreadPoolExecutor() as reader:
        reading = reader.submit(read)
        try:
            for number in range(2, last + 1):
                publish(number)
                warehouse.load()
            eventually(lambda: any(rows == 100 * last for rows, *_ in seen))
        finally:
            ended.set()
        reading.result()

    assert seen <= {(100 * number, number, number, 100 * number, number) for number in range(1, last + 1)}


def _cut_off_once(monkeypatch: pytest.MonkeyPatch, warehouse: TestedWarehouse) -> list[str]:
    """The server ends the session in the middle of the first load, as one does that shuts down."""
    cut: list[str] = []

    class CutOff(CsvRows):
        def read(self, size: int = -1, /) -> bytes:
            if not cut:
                cut.append("cut")
                warehouse.query(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE application_name = 'capstone warehouse'",
                    user="postgres",
                )
            return super().read(size)

    monkeypatch.setattr(loading, "CsvRows", CutOff)
    return cut


def _materialize(settings: Settings) -> dg.ExecuteInProcessResult:
    """The step of the warehouse alone, tried again at once."""
    with dg.DagsterInstance.ephemeral() as instance:
        return (
            build_defs(settings)
            .resolve_implicit_global_asset_job_def()
            .execute_in_process(
                asset_selection=[dg.AssetKey(["warehouse", table.name]) for table in tables(quotes=False)],
                partition_key=f"{DAY}",
                instance=instance,
                raise_on_error=False,
                run_config={"resources": {"retries": {"config": {"max_retries": 1, "first_seconds": 0.0}}}},
            )
        )


def test_the_step_is_tried_again_when_the_server_cuts_it_off(
    warehouse: TestedWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse.publish(DAY, summary("A"))
    cut = _cut_off_once(monkeypatch, warehouse)
    lake = warehouse.lake.storage.root

    ran = _materialize(Settings.from_mapping({"CAPSTONE_WAREHOUSE_URL": warehouse.url, "CAPSTONE_LAKE_URI": lake}))

    assert ran.success
    assert cut == ["cut"]
    assert [event.event_type_value for event in ran.all_events if event.is_step_up_for_retry] == ["STEP_UP_FOR_RETRY"]
    (of_summary,) = [
        made.materialization
        for made in (event.step_materialization_data for event in ran.get_asset_materialization_events())
        if made.materialization.asset_key.path[-1] == "daily_summary"
    ]
    facts = {name: of_summary.metadata[name].value for name in ("dagster/partition_row_count", "state", "version")}
    assert facts == {"dagster/partition_row_count": 1, "state": "loaded", "version": "v1"}
    assert warehouse.closes() == [("A", "1.250000")]


def test_without_a_database_the_step_fails_and_says_what_to_set(tmp_path: Path) -> None:
    ran = _materialize(Settings.from_mapping({"CAPSTONE_LAKE_URI": f"{tmp_path}"}))

    [failed] = [event for event in ran.all_events if event.is_step_failure]
    assert failed.step_failure_data.user_failure_data
    assert (failed.step_failure_data.user_failure_data.description or "").startswith(
        "the warehouse has no database: name one in CAPSTONE_WAREHOUSE_URL"
    )


@pytest.mark.faults("F8", sample=True)
def test_a_server_that_was_down_is_loaded_when_it_is_back(warehouse: TestedWarehouse) -> None:
    warehouse.publish(DAY, summary("A"))
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with serving(home) as url:
            own = warehouse.warehouse(url=url)
            own.load(DAY, "before")
        warehouse.publish(DAY, summary("A"), summary("B"), version="v2", token=2)
        with pytest.raises(WarehouseAwayError, match="does not answer"):
            own.load(DAY, "down")
        with serving(home):
            assert [(done.state, done.rows) for done in own.load(DAY, "back")] == [
                ("loaded", 2),
                ("loaded", 2),
                ("loaded", 1),
            ]
