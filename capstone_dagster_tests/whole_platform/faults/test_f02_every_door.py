"""A trading day that is started at every door at once, with Dagster's real services: one run at a time, one result."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest
from psycopg2 import connect

from capstone_dagster.run_storage.embedded_postgres import serving
from capstone_dagster.settings import CHECKOUT
from capstone_dagster_tests.fault_report import Tally
from capstone_dagster_tests.servers.dagster_services import Services, services
from capstone_dagster_tests.servers.platform import CAPSTONE, Platform, Rows
from capstone_dagster_tests.servers.processes import eventually
from capstone_dagster_tests.whole_platform.faults.conftest import DAY
from spark_code.schemas import CLOSES, DAILY_SUMMARY, EVENTS, QUOTES, TRADES

_BACKFILL = """
mutation($days: [String!]!) {
  launchPartitionBackfill(backfillParams: {
    selector: {
      partitionSetName: "preprocessing_partition_set"
      repositorySelector: {repositoryLocationName: "capstone", repositoryName: "__repository__"}
    }
    partitionNames: $days
  }) { __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } }
}
"""
# The moments a run was running, from its own events.
_RUNNING = """
SELECT
    run_id,
    min("timestamp") FILTER (WHERE dagster_event_type = 'PIPELINE_START') AS began,
    min("timestamp") FILTER (
        WHERE dagster_event_type IN ('PIPELINE_SUCCESS', 'PIPELINE_FAILURE', 'PIPELINE_CANCELED')
    ) AS ended
FROM event_logs WHERE run_id IN (SELECT run_id FROM runs WHERE partition = %s) GROUP BY run_id ORDER BY began
"""
_STATUSES = "SELECT status FROM runs WHERE partition = %s"
_OF_THE_SENSOR = "SELECT run_id FROM run_tags WHERE key = 'dagster/sensor_name' AND value = 'new_files'"
_OF_THE_BACKFILL = "SELECT run_id FROM run_tags WHERE key = 'dagster/backfill'"

# Each refuses the day, or waits, while another door works on it.
DOORS = {
    "capstone run": (CAPSTONE, "run", f"{DAY}", "--job", "preprocessing"),
    "capstone track": (CAPSTONE, "track", "--job", "preprocessing", "--date", f"{DAY}", "--", "sleep", "2"),
    "shell workflow": (CAPSTONE, "exec", "--", f"{CHECKOUT}/deploy/submit/preprocessing.sh", f"{DAY}"),
    "dagster job launch": (
        *(CAPSTONE, "exec", "--", "dagster", "job", "launch", "-w", "workspace.yaml", "-j", "preprocessing"),
        *("--tags", f'{{"dagster/partition": "{DAY}"}}'),
    ),
    "dg launch": (CAPSTONE, "exec", "--", "dg", "launch", "--job", "preprocessing", "--partition", f"{DAY}"),
}
MAY_BE_REFUSED = ("capstone run", "capstone track", "shell workflow")


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    """Whose database is up, also while nothing of Dagster runs; its sensors look every few seconds."""
    with serving(tmp_path / "home") as url:
        yield Platform(tmp_path / "home", DAY, postgres_url=url, automation=True)


@pytest.fixture
def running(platform: Platform, tmp_path: Path) -> Iterator[Services]:
    assert platform.capstone("migrate").returncode == 0
    with services(platform, tmp_path) as started:
        yield started


def query(platform: Platform, statement: str, *values: object) -> list[tuple[object, ...]]:
    with connect(platform.postgres_url) as connection, connection.cursor() as cursor:
        cursor.execute(statement, values)
        rows: list[tuple[object, ...]] = cursor.fetchall()
        return rows


def statuses(platform: Platform, day: date) -> list[object]:
    return [status for (status,) in query(platform, _STATUSES, f"{day}")]


@pytest.mark.faults("F2")
def test_a_day_started_at_every_door_at_once_is_run_by_one_at_a_time_and_has_one_result(
    clean: dict[int, dict[str, Rows]], platform: Platform, running: Services, tally: Tally
) -> None:
    platform.sample(DAY, seed=1)
    with ExitStack() as open_doors:
        started = {
            name: open_doors.enter_context(platform.begun(*rest, program=(first,)))
            for name, (first, *rest) in DOORS.items()
        }
        running.materialize(["ingested/events", "eod/trades", "eod/quotes", "eod/closes"], DAY)
        backfill = running.ask(_BACKFILL, {"days": [f"{DAY}"]})["launchPartitionBackfill"]
        assert backfill["__typename"] == "LaunchBackfillSuccess", backfill
        ended = {name: (process.communicate(timeout=600)[0], process.returncode) for name, process in started.items()}

    for name, (output, code) in ended.items():
        is_refused = name in MAY_BE_REFUSED and f"{DAY} is being worked on by " in output
        assert code == 0 or is_refused, f"{name}: {output}"
    # The backfill and the sensor make their runs when the daemon comes round; only the sensor's makes a report.
    eventually(lambda: query(platform, _OF_THE_BACKFILL), len)
    eventually(lambda: query(platform, _OF_THE_SENSOR), len)
    ends = {"SUCCESS", "FAILURE", "CANCELED"}
    last = eventually(
        lambda: statuses(platform, DAY),
        lambda all_: set(all_) <= ends and platform.manifest(DAILY_SUMMARY, DAY),
        seconds=600,
        pause=1,
    )

    # Who was asked for what another had just done is canceled, and has not run.
    assert set(last) <= {"SUCCESS", "CANCELED"}
    intervals = [row for row in query(platform, _RUNNING, f"{DAY}") if row[1]]
    assert len(intervals) >= last.count("SUCCESS")
    for (_, _, before_ended), (_, began, _) in pairwise(intervals):
        assert before_ended <= began, intervals  # type: ignore[operator]
    manifests = [platform.lake.require(table, DAY) for table in (EVENTS, TRADES, QUOTES, CLOSES)]
    assert len({manifest.run_id for manifest in manifests}) == 1
    for path, rows in platform.rows_of_all_tables(DAY).items():
        tally.compare(rows, clean[1][path])
    known = query(platform, "SELECT job_id, status FROM job_status WHERE job_id LIKE %s ORDER BY 1", f"%{DAY}")
    assert known == [(f"{job}_{DAY}", "SUCCESS") for job in ("analytical", "daily_pipeline", "preprocessing")]
    tally.survive(len(DOORS) + 3)
