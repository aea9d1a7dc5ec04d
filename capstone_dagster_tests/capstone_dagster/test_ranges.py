"""A range of days as one run, with Dagster's real services: a day fails, the process is killed, and it goes on."""

import signal
from collections import Counter
from collections.abc import Iterator
from datetime import date

import psutil
import pytest
from psycopg2 import connect

from capstone_dagster.embedded_postgres import serving
from capstone_dagster_tests.dagster_services import Services, services
from capstone_dagster_tests.platform import Platform
from capstone_dagster_tests.processes import eventually
from spark_code.schemas import CLOSES, EVENTS, QUOTE_ANALYTICS

DAYS = [date(2020, 8, day) for day in (5, 6, 7, 10)]
BEFORE, *RANGE = DAYS
FIRST, WITHOUT_FILES, LAST = RANGE

_BACKFILL = """
mutation($days: [String!]!) {
  launchPartitionBackfill(backfillParams: {
    selector: {
      partitionSetName: "daily_pipeline_partition_set"
      repositorySelector: {repositoryLocationName: "capstone", repositoryName: "__repository__"}
    }
    partitionNames: $days
  }) { __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message } }
}
"""
_RESUME = """
mutation($id: String!) {
  launchRunReexecution(reexecutionParams: {parentRunId: $id, strategy: FROM_FAILURE}) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  }
}
"""
_STOP = "mutation($id: String!) { terminateRun(runId: $id) { __typename ... on PythonError { message } } }"
# The runs over several days, then those of each day, the oldest first.
_OVER_DAYS = """
SELECT run_id, status FROM runs JOIN run_tags USING (run_id)
WHERE run_tags.key = 'dagster/asset_partition_range_start' ORDER BY runs.id
"""
_OF_DAY = "SELECT run_id, status FROM runs WHERE partition = %s ORDER BY id"
_SIGNATURE = "SELECT value FROM run_tags WHERE run_id = %s AND key = '.dagster/capstone_worker'"
_REASON = "SELECT event FROM event_logs WHERE run_id = %s AND dagster_event_type = 'PIPELINE_FAILURE'"

Runs = list[tuple[str, str]]


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    made = Platform(tmp_path_factory.mktemp("range"), BEFORE)
    for day in DAYS:
        made.sample(day)
    with serving(made.folder) as url:
        yield Platform(made.folder, BEFORE, postgres_url=url)


@pytest.fixture(scope="module")
def running(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    assert platform.capstone("migrate").returncode == 0
    assert platform.capstone("run", str(BEFORE)).returncode == 0
    with services(platform, tmp_path_factory.mktemp("services")) as started:
        yield started


def _query(platform: Platform, statement: str, *values: object) -> Runs:
    with connect(platform.postgres_url) as connection, connection.cursor() as cursor:
        cursor.execute(statement, values)
        rows: Runs = cursor.fetchall()
        return rows


def _statuses(platform: Platform, day: date) -> list[str]:
    return [status for _, status in _query(platform, _OF_DAY, str(day))]


def _kill_worker(platform: Platform, run_id: str) -> None:
    signature = eventually(lambda: _query(platform, _SIGNATURE, run_id), len)
    psutil.Process(int(signature[0][0].split()[1])).send_signal(signal.SIGKILL)


def test_a_range_outlives_a_failed_day_and_a_killed_process_and_runs_each_day_once(
    platform: Platform, running: Services
) -> None:
    missing = platform.raw / "csv" / str(WITHOUT_FILES)
    kept = missing.rename(platform.folder / "kept")
    backfill = running.ask(_BACKFILL, {"days": [str(day) for day in RANGE]})["launchPartitionBackfill"]
    assert backfill["__typename"] == "LaunchBackfillSuccess", backfill

    # Killed while it works on the last day; what is left is run again by itself, as another run over the days.
    eventually(lambda: platform.manifest(EVENTS, LAST))
    [(killed, _)] = _query(platform, _OVER_DAYS)
    _kill_worker(platform, killed)
    ended = eventually(
        lambda: _query(platform, _OVER_DAYS), lambda runs: [status for _, status in runs] == ["FAILURE"] * 2
    )
    assert _statuses(platform, FIRST) == ["SUCCESS"]
    assert _statuses(platform, WITHOUT_FILES) == ["FAILURE", "FAILURE"]
    assert _statuses(platform, LAST) == ["FAILURE", "FAILURE"]
    resumed = ended[1][0]
    [(failure, *_)] = _query(platform, _REASON, resumed)
    assert f"2 of 2 days did not succeed: daily_pipeline_{WITHOUT_FILES} FAILURE (no raw files of" in failure
    assert f"not published: eod/closes of {WITHOUT_FILES}" in failure
    # The failed day did not stop the one behind it: only its report wants the missing closes.
    assert platform.manifest(CLOSES, LAST)
    assert not platform.manifest(QUOTE_ANALYTICS, LAST)

    # Its files come, and a person resumes: what is done already stays.
    first = platform.lake.require(QUOTE_ANALYTICS, FIRST)
    kept.rename(missing)
    again = running.ask(_RESUME, {"id": resumed})["launchRunReexecution"]
    assert again["__typename"] == "LaunchRunSuccess", again
    eventually(lambda: running.status(again["run"]["runId"]), "SUCCESS".__eq__)

    assert platform.lake.require(QUOTE_ANALYTICS, FIRST) == first
    for day, before in zip(RANGE, DAYS, strict=False):
        assert Counter(_statuses(platform, day))["SUCCESS"] == 1
        report = platform.lake.require(QUOTE_ANALYTICS, day)
        assert report.inputs["eod/closes"] == platform.lake.require(CLOSES, before).version
        assert report.measures["with_close"] == report.rows


def test_a_range_that_is_stopped_is_canceled_with_the_day_it_is_at(platform: Platform, running: Services) -> None:
    before = _query(platform, _OF_DAY, str(FIRST))
    running.ask(_BACKFILL, {"days": [str(day) for day in RANGE]})
    *_, (day_run, _) = eventually(
        lambda: _query(platform, _OF_DAY, str(FIRST)),
        lambda runs: len(runs) > len(before) and runs[-1][1] == "STARTED",
    )
    *_, (over_days, _) = _query(platform, _OVER_DAYS)
    running.ask(_STOP, {"id": over_days})
    eventually(lambda: running.status(over_days), "CANCELED".__eq__)
    assert running.status(day_run) == "CANCELED"
    assert len(_query(platform, _OF_DAY, str(FIRST))) == len(before) + 1
