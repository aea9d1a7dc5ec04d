"""Runs of one day that are killed, or pass by the queue, with Dagster's real services: one at a time, one result."""

import signal
from collections.abc import Iterator
from datetime import date

import psutil
import pytest
from psycopg2 import connect

from capstone_dagster.run_storage.embedded_postgres import serving
from capstone_dagster.tracker import Tracker
from capstone_dagster_tests.servers.dagster_services import Services, services
from capstone_dagster_tests.servers.platform import Platform
from capstone_dagster_tests.servers.processes import eventually
from spark_code.schemas import EVENTS, QUOTES, TRADES

DAY = date(2020, 8, 5)
OTHER_DAY = date(2020, 8, 6)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A home whose database is up for the whole module, also while nothing of Dagster runs."""
    made = Platform(tmp_path_factory.mktemp("one"), DAY)
    made.sample(OTHER_DAY)
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
        *("--select", "group:ingested or group:eod", "--partition", str(OTHER_DAY)),
    )
    eventually(lambda: running.status(run_id), lambda status: status in ("SUCCESS", "FAILURE"))

    trades, quotes = (platform.lake.require(table, OTHER_DAY) for table in (TRADES, QUOTES))
    assert past.returncode == 0 or "which began later" in past.stdout + past.stderr, past.stdout[-3000:]
    assert trades.inputs == quotes.inputs
    assert len({trades.run_id, quotes.run_id, platform.lake.require(EVENTS, OTHER_DAY).run_id}) == 1
