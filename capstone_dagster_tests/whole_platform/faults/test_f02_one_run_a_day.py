"""A trading day started in every way at once, with Dagster's real services: one run at a time, one result."""

import os
import signal
import subprocess
from collections.abc import Iterator
from datetime import date
from itertools import pairwise

import dagster as dg
import psutil
import pytest
from psycopg2 import connect

from capstone_dagster.run_storage.embedded_postgres import serving
from capstone_dagster.tracker import Tracker
from capstone_dagster_tests.servers.dagster_services import ROOT, Services, services
from capstone_dagster_tests.servers.platform import CAPSTONE, Platform
from capstone_dagster_tests.servers.processes import eventually
from spark_code.schemas import CLOSES, EVENTS, QUOTES, TRADES

DAY = date(2020, 8, 5)
OTHER_DAY = date(2020, 8, 6)

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


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A home whose database is up for the whole module, also while nothing of Dagster runs."""
    made = Platform(tmp_path_factory.mktemp("one"), DAY)
    for day in (DAY, OTHER_DAY):
        made.sample(day)
    with serving(made.folder) as url:
        yield Platform(made.folder, DAY, postgres_url=url)


@pytest.fixture(scope="module")
def running(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    assert platform.capstone("migrate").returncode == 0
    with services(platform, tmp_path_factory.mktemp("services")) as started:
        yield started


def _query(platform: Platform, statement: str, *values: object) -> list[tuple[object, ...]]:
    with connect(platform.postgres_url) as connection, connection.cursor() as cursor:
        cursor.execute(statement, values)
        rows: list[tuple[object, ...]] = cursor.fetchall()
        return rows


def _start(platform: Platform, *command: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        command,
        env=os.environ | platform.environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _statuses(platform: Platform, day: date) -> list[str]:
    return [str(status) for (status,) in _query(platform, "SELECT status FROM runs WHERE partition = %s", str(day))]


@pytest.mark.faults("F2")
def test_a_day_started_in_five_ways_at_once_is_run_by_one_at_a_time(platform: Platform, running: Services) -> None:
    tags = f'{{"dagster/partition": "{DAY}"}}'
    launched_by_cli = ["dagster", "job", "launch", "-w", "workspace.yaml", "-j", "preprocessing", "--tags", tags]
    track = [CAPSTONE, "track", "--job", "preprocessing", "--date", str(DAY), "--", "sleep", "2"]
    others = [
        _start(platform, CAPSTONE, "run", str(DAY), "--job", "preprocessing"),
        _start(platform, *track),
        _start(platform, CAPSTONE, "exec", "--", *launched_by_cli),
    ]
    running.materialize(["ingested/events", "eod/trades", "eod/quotes", "eod/closes"], DAY)
    backfill = running.ask(_BACKFILL, {"days": [str(DAY)]})["launchPartitionBackfill"]
    assert backfill["__typename"] == "LaunchBackfillSuccess", backfill

    ended = [(process.communicate(timeout=300)[0], process.returncode) for process in others]
    # The backfill makes its run when its daemon comes round; then nothing of the day is left to do.
    backfilled = "SELECT run_id FROM run_tags WHERE key = 'dagster/backfill'"
    eventually(lambda: _query(platform, backfilled))
    ends = {status.value for status in (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE)}
    statuses = eventually(lambda: _statuses(platform, DAY), lambda all_: len(all_) >= 3 and set(all_) <= ends)

    for output, code in ended[:2]:
        assert code == 0 or f"{DAY} is being worked on by preprocessing_{DAY}" in output, output
    assert ended[2][1] == 0, ended[2][0]
    intervals = _query(platform, _RUNNING, str(DAY))
    assert len(intervals) == len(statuses)
    for (_, _, before_ended), (_, began, _) in pairwise(intervals):
        assert before_ended <= began, intervals  # type: ignore[operator]
    assert set(statuses) == {"SUCCESS"}

    manifests = [platform.lake.require(table, DAY) for table in (EVENTS, TRADES, QUOTES, CLOSES)]
    assert len({manifest.run_id for manifest in manifests}) == 1
    rows = _query(platform, "SELECT job_id, status, attempts FROM job_status WHERE job_id LIKE %s", f"%{DAY}")
    assert rows == [(f"preprocessing_{DAY}", "SUCCESS", len(statuses))]


@pytest.mark.faults("F15")
def test_a_killed_worker_of_the_queue_ends_in_failure_and_frees_the_day(platform: Platform, running: Services) -> None:
    with platform.instance() as instance:  # work that somebody has forgotten holds up its own day, and no other
        Tracker(instance).update_job_status(f"analytical_{DAY}", "STARTED")
    run_id = running.launch("preprocessing", OTHER_DAY, max_retries="0")
    eventually(lambda: running.status(run_id), "STARTED".__eq__)
    signature = eventually(
        lambda: _query(
            platform, "SELECT value FROM run_tags WHERE run_id = %s AND key = '.dagster/capstone_worker'", run_id
        ),
        len,
    )
    worker = psutil.Process(int(str(signature[0][0]).split()[1]))
    worker.send_signal(signal.SIGKILL)

    eventually(lambda: running.status(run_id), "FAILURE".__eq__)
    status = platform.capstone("status", f"preprocessing_{OTHER_DAY}")
    assert "FAILURE" in status.stdout
    # Who hears of it first: the code server that had started it, or the daemon that looks after the workers.
    assert "SIGKILL" in status.stdout or f"process {worker.pid} on" in status.stdout
    after = platform.capstone("track", "--job", "preprocessing", "--date", str(OTHER_DAY), "--", "true")
    assert after.returncode == 0, after.stderr


@pytest.mark.faults("F2")
def test_materializing_past_the_queue_publishes_one_whole_version(platform: Platform, running: Services) -> None:
    run_id = running.launch("preprocessing", OTHER_DAY)
    eventually(lambda: running.status(run_id), "STARTED".__eq__)
    past = platform.capstone(
        *("exec", "--", "dagster", "asset", "materialize", "-m", "capstone_dagster.definitions"),
        *("--select", 'key:"ingested/*" or key:"eod/*"', "--partition", str(OTHER_DAY)),
    )
    eventually(lambda: running.status(run_id), lambda status: status in ("SUCCESS", "FAILURE"))

    trades, quotes = (platform.lake.require(table, OTHER_DAY) for table in (TRADES, QUOTES))
    assert past.returncode == 0 or "which began later" in past.stdout + past.stderr, past.stdout[-3000:]
    assert trades.inputs == quotes.inputs
    assert len({trades.run_id, quotes.run_id, platform.lake.require(EVENTS, OTHER_DAY).run_id}) == 1
