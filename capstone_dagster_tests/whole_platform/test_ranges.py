"""A range of days as one run, with Dagster's real services: a day fails, the process is killed, and it goes on.

And a day that is no trading day, which none of them runs.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from datetime import date
from itertools import pairwise

import dagster as dg
import psutil
import pytest
from dagster_graphql import DagsterGraphQLClient
from psycopg2 import connect

from capstone_dagster.run_storage.embedded_postgres import serving
from capstone_dagster.runs.failure_reasons import run_reason
from capstone_dagster.tracker import Tracker
from capstone_dagster_tests.servers.dagster_services import ROOT, Services, services
from capstone_dagster_tests.servers.platform import CAPSTONE, Platform
from capstone_dagster_tests.servers.processes import eventually
from spark_code.schemas import CLOSES, EVENTS, QUOTE_ANALYTICS

DAYS = [date(2020, 8, day) for day in (5, 6, 7)]
FIRST, WITHOUT_FILES, LAST = DAYS
# To Dagster, whose calendar has no partition for it, the first is another name of the second.
SATURDAY, MONDAY = date(2020, 8, 8), date(2020, 8, 10)

_BACKFILL = """
mutation($parameters: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $parameters) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
  }
}
"""
_BACKFILL_STATUS = """
query($id: String!) { partitionBackfillOrError(backfillId: $id) { ... on PartitionBackfill { status } } }
"""
_STATES = """
query($id: String!) {
  partitionBackfillOrError(backfillId: $id) {
    ... on PartitionBackfill { partitionStatuses { results { partitionName runStatus runId } } }
  }
}
"""
_REEXECUTE = """
mutation($id: String!) {
  launchRunReexecution(reexecutionParams: {parentRunId: $id, strategy: ALL_STEPS}) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  }
}
"""
_ORIGIN = """
query($id: ID!) {
  runOrError(runId: $id) { ... on Run { repositoryOrigin { repositoryName repositoryLocationName } } }
}
"""
_REPOSITORY = {"repositoryLocationName": "capstone", "repositoryName": "__repository__"}
_OF_JOB = {"selector": {"partitionSetName": "daily_pipeline_partition_set", "repositorySelector": _REPOSITORY}}
_STOP = "mutation($id: String!) { terminateRun(runId: $id) { __typename ... on PythonError { message } } }"
# The runs over several days, then those of each day, the oldest first.
_OVER_DAYS = """
SELECT run_id, status FROM runs JOIN run_tags USING (run_id)
WHERE run_tags.key = 'dagster/asset_partition_range_start' ORDER BY runs.id
"""
_OF_DAYS = "SELECT pipeline_name, status FROM runs WHERE partition IS NOT NULL ORDER BY id"
_OF_DAY = "SELECT run_id, status FROM runs WHERE partition = %s ORDER BY id"
_SIGNATURE = "SELECT value FROM run_tags WHERE run_id = %s AND key = '.dagster/capstone_worker'"

Runs = list[tuple[str, str]]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    made = Platform(tmp_path_factory.mktemp("range"), FIRST)
    for day in DAYS:
        made.sample(day)
    with serving(made.folder) as url:
        yield Platform(made.folder, FIRST, postgres_url=url)


@pytest.fixture(scope="module")
def running(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    assert platform.capstone("migrate").returncode == 0
    with services(platform, tmp_path_factory.mktemp("services")) as started:
        yield started


def _states(running: Services, backfill: str) -> list[str]:
    """What the page of a backfill says of each of its days."""
    page = running.ask(_STATES, {"id": backfill})["partitionBackfillOrError"]
    days = page["partitionStatuses"]["results"]
    assert [day["partitionName"] for day in days] == [str(day) for day in DAYS]
    return [day["runStatus"] for day in days]


def _query(platform: Platform, statement: str, *values: object) -> Runs:
    with connect(platform.postgres_url) as connection, connection.cursor() as cursor:
        cursor.execute(statement, values)
        rows: Runs = cursor.fetchall()
        return rows


def _runs_of_days(platform: Platform) -> list[str]:
    return [f"{job} {status}" for job, status in _query(platform, _OF_DAYS)]


def _kill_worker(platform: Platform, run_id: str) -> None:
    signature = eventually(lambda: _query(platform, _SIGNATURE, run_id), len)
    psutil.Process(int(signature[0][0].split()[1])).send_signal(signal.SIGKILL)


def _backfill(running: Services, what: Mapping[str, object]) -> str:
    """Launch it; returns its id."""
    parameters = {**what, "partitionNames": [str(day) for day in DAYS]}
    launched = running.ask(_BACKFILL, {"parameters": parameters})["launchPartitionBackfill"]
    assert launched["__typename"] == "LaunchBackfillSuccess", launched
    backfill: str = launched["backfillId"]
    return backfill


@pytest.mark.faults("F15")
def test_a_range_outlives_a_failed_day_and_a_killed_process_and_runs_each_day_once(
    platform: Platform, running: Services
) -> None:
    missing = platform.raw / "csv" / str(WITHOUT_FILES)
    kept = missing.rename(platform.folder / "kept")
    backfill = _backfill(running, _OF_JOB)

    # The failed day does not stop the one behind it. While that is worked on, the process is killed.
    eventually(lambda: platform.manifest(EVENTS, LAST))
    assert _runs_of_days(platform) == [f"daily_pipeline {status}" for status in ("SUCCESS", "FAILURE", "STARTED")]
    assert _states(running, backfill)[:2] == ["SUCCESS", "FAILURE"]
    first = platform.lake.require(QUOTE_ANALYTICS, FIRST)
    kept.rename(missing)
    [(killed, _)] = _query(platform, _OVER_DAYS)
    _kill_worker(platform, killed)

    # Another run goes on by itself, and leaves alone what has succeeded.
    eventually(
        lambda: _query(platform, _OVER_DAYS), lambda runs: [status for _, status in runs] == ["FAILURE", "SUCCESS"]
    )
    assert _runs_of_days(platform)[2:] == [f"daily_pipeline {status}" for status in ("FAILURE", "SUCCESS", "SUCCESS")]
    assert platform.lake.require(QUOTE_ANALYTICS, FIRST) == first
    for day, before in pairwise(reversed(DAYS)):
        report = platform.lake.require(QUOTE_ANALYTICS, day)
        assert report.inputs["eod/closes"] == platform.lake.require(CLOSES, before).version
        assert report.measures["with_close"] == report.rows
    assert _states(running, backfill) == ["SUCCESS"] * 3


@pytest.mark.faults("F15")
def test_one_day_that_is_stopped_stops_no_other_and_is_made_up_from_the_ui(
    platform: Platform, running: Services
) -> None:
    before, ranges_before = (_query(platform, _OF_DAY, str(FIRST)), _query(platform, _OVER_DAYS))
    backfill = _backfill(running, _OF_JOB)
    *_, (day_run, _) = eventually(
        lambda: _query(platform, _OF_DAY, str(FIRST)),
        lambda runs: len(runs) > len(before) and runs[-1][1] == "STARTED",
    )
    running.ask(_STOP, {"id": day_run})
    ended = {"SUCCESS", "FAILURE", "CANCELED"}
    *_, over_days = eventually(
        lambda: _query(platform, _OVER_DAYS), lambda runs: len(runs) > len(ranges_before) and runs[-1][1] in ended
    )
    assert over_days[1] == "FAILURE"
    assert _states(running, backfill) == ["CANCELED", "SUCCESS", "SUCCESS"]

    assert running.ask(_ORIGIN, {"id": day_run})["runOrError"]["repositoryOrigin"] == {
        "repositoryName": "__repository__",
        "repositoryLocationName": "capstone",
    }
    again = running.ask(_REEXECUTE, {"id": day_run})["launchRunReexecution"]
    assert again["__typename"] == "LaunchRunSuccess", again
    eventually(lambda: running.status(again["run"]["runId"]), "SUCCESS".__eq__)
    assert _states(running, backfill) == ["SUCCESS"] * 3


def test_a_backfill_of_single_assets_hears_of_the_days_that_were_materialized(
    platform: Platform, running: Services
) -> None:
    before = _runs_of_days(platform)
    asked = {"id": _backfill(running, {"assetSelection": [{"path": EVENTS.path.split("/")}]})}

    told = eventually(
        lambda: running.ask(_BACKFILL_STATUS, asked)["partitionBackfillOrError"]["status"],
        lambda status: status.startswith("COMPLETED"),
    )
    assert told == "COMPLETED_SUCCESS"
    assert _runs_of_days(platform)[len(before) :] == ["__ASSET_JOB SUCCESS"] * 3


@pytest.mark.faults("F15", sample=True)
def test_a_range_that_is_stopped_is_canceled_with_the_day_it_is_at(platform: Platform, running: Services) -> None:
    before = _query(platform, _OF_DAY, str(FIRST))
    _backfill(running, _OF_JOB)
    *_, (day_run, _) = eventually(
        lambda: _query(platform, _OF_DAY, str(FIRST)),
        lambda runs: len(runs) > len(before) and runs[-1][1] == "STARTED",
    )
    *_, (over_days, _) = _query(platform, _OVER_DAYS)
    running.ask(_STOP, {"id": over_days})
    eventually(lambda: running.status(over_days), "CANCELED".__eq__)
    assert running.status(day_run) == "CANCELED"
    assert len(_query(platform, _OF_DAY, str(FIRST))) == len(before) + 1


def test_a_range_fails_with_the_reasons_of_its_days(platform: Platform) -> None:
    launch = ("dg", "launch", "--job", "preprocessing", "--partition-range", "2020-09-03...2020-09-08")
    ended = platform.capstone("exec", "--", *launch)

    assert ended.returncode == 1
    told = "3 of 3 days did not succeed: 2020-09-03, 2020-09-04, 2020-09-08; preprocessing_2020-09-03 FAILURE: no raw"
    assert told in ended.stderr + ended.stdout
    assert "RunRefusedError" not in ended.stderr + ended.stdout
    with platform.instance() as instance:
        assert Tracker(instance).get_job_status("preprocessing_2020-09-08").attempts == 1
        (failed,) = instance.get_runs(dg.RunsFilter(tags={"dagster/asset_partition_range_start": "2020-09-03"}))
        assert str(run_reason(instance, failed.run_id)).startswith(told)


def test_a_day_that_is_none_is_refused_at_every_door_though_its_files_are_there(
    platform: Platform, running: Services
) -> None:
    for delivered in platform.raw.glob(f"*/{FIRST}"):
        shutil.copytree(delivered, delivered.with_name(f"{SATURDAY}"))
    tags = f'{{"dagster/partition": "{SATURDAY}"}}'
    dagster_job = [CAPSTONE, "exec", "--", "dagster", "job"]
    commands = [
        [*dagster_job, "launch", "-w", "workspace.yaml", "-j", "daily_pipeline", "--tags", tags],
        [*dagster_job, "execute", "-m", "capstone_dagster.definitions", "-j", "preprocessing", "--tags", tags],
        [CAPSTONE, "exec", "--", "dg", "launch", "--job", "preprocessing", "--partition", f"{SATURDAY}"],
    ]
    environment = os.environ | platform.environment
    processes = [
        subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for command in commands
    ]
    client = DagsterGraphQLClient("127.0.0.1", port_number=running.port)
    asked = client.submit_job_execution("daily_pipeline", tags={"dagster/partition": f"{SATURDAY}"})
    assert running.status(asked) == "FAILURE"
    # Launched, executed, and refused by Dagster.
    assert [process.wait(timeout=300) for process in processes] == [0, 1, 1]

    with platform.instance() as instance:
        runs = instance.get_runs(dg.RunsFilter(tags={"dagster/partition": f"{SATURDAY}"}))
        reasons = {run_reason(instance, run.run_id) for run in runs}
    assert [run.status for run in runs] == [dg.DagsterRunStatus.FAILURE] * 3
    assert reasons == {"2020-08-08 cannot be run: the NYSE is closed on Saturdays"}
    assert _query(platform, "SELECT job_id FROM job_status WHERE job_id LIKE '%%-08-08'") == []
    assert not {SATURDAY, MONDAY} & set(platform.lake.days(EVENTS))
