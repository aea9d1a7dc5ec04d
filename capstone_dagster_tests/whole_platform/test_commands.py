"""Whole days through the real command line: processes, embedded Postgres, Spark, files."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from capstone_dagster.run_storage.instance import ready
from capstone_dagster.run_tags import PARTITION_TAG
from capstone_dagster_tests.servers.platform import CAPSTONE, Platform
from spark_code.raw_to_ingested import SMALL_FILES
from spark_code.schemas import EVENTS, QUOTE_ANALYTICS

# Labor Day lies between.
THURSDAY, FRIDAY, TUESDAY = date(2020, 9, 3), date(2020, 9, 4), date(2020, 9, 8)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """Two delivered days below a path with a space."""
    platform = Platform(tmp_path_factory.mktemp("my platform"), FRIDAY)
    for day in (FRIDAY, TUESDAY):
        platform.sample(day)
    return platform


@pytest.fixture(scope="module")
def ran(platform: Platform) -> str:
    """What ``capstone run`` printed for the range of both days."""
    ran = platform.capstone("run", f"{FRIDAY}..{TUESDAY}")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@contextmanager
def _instance(platform: Platform) -> Iterator[dg.DagsterInstance]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DAGSTER_HOME", "CAPSTONE_POSTGRES_URL"):
            patch.setenv(name, os.environ.get(name, ""))
        with ready(platform.settings), dg.DagsterInstance.get() as instance:
            yield instance


def test_a_range_runs_its_trading_days_and_sums_them_up(platform: Platform, ran: str) -> None:
    summary = ran[ran.index("job id ") :].splitlines()
    for line, day in zip(summary[1::2], (FRIDAY, TUESDAY), strict=False):
        events, report = platform.lake.require(EVENTS, day), platform.lake.require(QUOTE_ANALYTICS, day)
        rejected = events.measures["rejected"]
        assert line.split() == (
            f"daily_pipeline_{day} SUCCESS 120 = {120 - rejected} + {rejected}; report rows {report.rows}".split()
        )
    assert f"lake       {platform.settings.lake_uri}" in summary


def test_progress_is_a_line_per_table_and_no_wall(ran: str) -> None:
    progress = ran[: ran.index("job id ")]
    assert progress.count("published report/quote_analytics") == 2
    assert "DEBUG" not in ran
    assert len(progress.splitlines()) < 40


def test_the_run_storage_knows_the_runs_their_days_and_what_they_made(platform: Platform, ran: str) -> None:
    assert ran
    with _instance(platform) as instance:
        runs = {run.tags["dagster/partition"]: run for run in instance.get_runs() if run.job_name == "daily_pipeline"}
        assert {day: run.status for day, run in runs.items()} == {
            f"{day}": dg.DagsterRunStatus.SUCCESS for day in (FRIDAY, TUESDAY)
        }
        made = instance.get_materialized_partitions(dg.AssetKey(["report", "daily_summary"]))
    assert made == {f"{FRIDAY}", f"{TUESDAY}"}
    assert platform.lake.require(EVENTS, FRIDAY).run_id == runs[f"{FRIDAY}"].run_id


def test_the_printed_paths_open_in_duckdb(platform: Platform, ran: str) -> None:
    assert ran
    paths = platform.capstone("paths", "report/quote_analytics", f"{TUESDAY}").stdout.splitlines()
    counted = (
        duckdb.read_parquet(paths, hive_partitioning=True)
        .aggregate("count(*), count(close_pr), min(trade_dt)")
        .fetchall()
    )
    report = platform.lake.require(QUOTE_ANALYTICS, TUESDAY)
    assert counted == [(report.rows, report.measures["with_close"], TUESDAY)]


def test_dg_launch_lands_in_the_same_storage(platform: Platform, ran: str) -> None:
    assert ran
    before = platform.lake.require(EVENTS, FRIDAY).version
    dg_tool = str(Path(sys.executable).with_name("dg"))
    launched = platform.capstone(
        "exec", "--", dg_tool, "launch", "--job", "preprocessing", "--partition", f"{FRIDAY}", program=(CAPSTONE,)
    )
    assert launched.returncode == 0, launched.stdout + launched.stderr
    after = platform.lake.require(EVENTS, FRIDAY)
    assert after.previous_version == before
    with _instance(platform) as instance:
        run = instance.get_run_by_id(after.run_id)
    assert run
    assert (run.job_name, run.status) == ("preprocessing", dg.DagsterRunStatus.SUCCESS)


@pytest.fixture(scope="module")
def without_the_first_two(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Platform, "subprocess.CompletedProcess[str]"]:
    """A range whose first day has no files, the second a broken one, the third more than the driver reads itself."""
    platform = Platform(tmp_path_factory.mktemp("two fail"), THURSDAY)
    platform.sample(FRIDAY)
    platform.sample(TUESDAY, events=1_000)
    for number in range(SMALL_FILES):
        (platform.raw / f"csv/{TUESDAY}/NYSE/blank line {number}.csv").write_bytes(b"\n")
    broken = platform.raw / f"csv/{FRIDAY}/NYSE/broken.csv.gz"
    broken.write_bytes(b"\x1f\x8b\x08\x00")  # a gzip file that ends after its header
    return platform, platform.capstone("run", f"{THURSDAY}..{TUESDAY}", "--job", "preprocessing")


def test_a_day_that_fails_or_has_no_files_says_why_and_does_not_stop_the_days_behind_it(
    without_the_first_two: tuple[Platform, "subprocess.CompletedProcess[str]"],
) -> None:
    platform, ran = without_the_first_two
    assert ran.returncode == 1
    assert (
        f"REFUSED, no raw files of {THURSDAY} from NYSE (looked in {platform.raw}/csv/{THURSDAY}/NYSE/)" in ran.stdout
    )
    assert "broken.csv.gz" in ran.stdout
    assert "Traceback" not in ran.stdout + ran.stderr
    statuses = [
        line.split()[:2] for line in ran.stdout.splitlines() if line.startswith("preprocessing_") and " " in line
    ]
    assert statuses == [
        [f"preprocessing_{THURSDAY}", "REFUSED"],
        [f"preprocessing_{FRIDAY}", "FAILURE"],
        [f"preprocessing_{TUESDAY}", "SUCCESS"],
    ]
    with _instance(platform) as instance:
        assert [run.tags["dagster/partition"] for run in instance.get_runs()] == [f"{TUESDAY}", f"{FRIDAY}"]
    assert platform.manifest(EVENTS, FRIDAY) is None
    assert platform.manifest(EVENTS, TUESDAY) is not None


def test_a_day_too_large_for_the_driver_loses_no_line(
    without_the_first_two: tuple[Platform, "subprocess.CompletedProcess[str]"],
) -> None:
    platform, _ = without_the_first_two
    events = platform.lake.require(EVENTS, TUESDAY)
    assert events.rows == 1_000 + SMALL_FILES
    assert events.measures["rejected_blank"] >= SMALL_FILES


@pytest.mark.faults("F1")
@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.faults(sample=True)), signal.SIGTERM])
def test_an_interrupted_range_ends_its_day_in_failure_and_runs_no_further_day(tmp_path: Path, number: int) -> None:
    platform = Platform(tmp_path, FRIDAY)
    for day in (FRIDAY, TUESDAY):
        platform.sample(day)
    command = [CAPSTONE, "run", f"{FRIDAY}..{TUESDAY}"]
    with subprocess.Popen(command, env=os.environ | platform.environment, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout
        while "ingested/events ..." not in running.stdout.readline():
            assert running.poll() is None
        running.send_signal(number)
        printed, _ = running.communicate(timeout=120)
    assert running.returncode == 1
    assert f"daily_pipeline_{FRIDAY}    FAILURE\n" in printed
    assert f"daily_pipeline_{TUESDAY}" not in printed
    assert f"interrupted in daily_pipeline_{FRIDAY}; days not run: 1" in printed
    assert platform.manifest(EVENTS, FRIDAY) is None
    with _instance(platform) as instance:
        assert [run.status for run in instance.get_runs()] == [dg.DagsterRunStatus.FAILURE]


def test_a_day_that_is_stopped_in_the_ui_does_not_end_the_days_after_it(tmp_path: Path) -> None:
    platform = Platform(tmp_path, FRIDAY)
    for day in (FRIDAY, TUESDAY):
        platform.sample(day)
    command = [CAPSTONE, "run", f"{FRIDAY}..{TUESDAY}", "--job", "preprocessing"]
    with (
        _instance(platform) as instance,
        subprocess.Popen(command, env=os.environ | platform.environment, stdout=subprocess.PIPE, text=True) as running,
    ):
        assert running.stdout
        while "eod ..." not in running.stdout.readline():
            assert running.poll() is None
        [run] = instance.get_runs()
        assert instance.run_launcher.terminate(run.run_id)
        printed, _ = running.communicate(timeout=120)
        statuses = {run.tags[PARTITION_TAG]: run.status for run in instance.get_runs()}

    assert (running.returncode, "days not run" in printed) == (1, False)
    assert statuses == {f"{FRIDAY}": dg.DagsterRunStatus.CANCELED, f"{TUESDAY}": dg.DagsterRunStatus.SUCCESS}
