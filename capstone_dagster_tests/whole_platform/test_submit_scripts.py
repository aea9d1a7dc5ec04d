"""The scripts for plain ``spark-submit``: the tables Dagster makes, and their jobs in the job tracker."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from subprocess import PIPE
from typing import NamedTuple

import dagster as dg
import pytest
from pyspark.sql import SparkSession

from capstone_dagster.settings import CHECKOUT
from capstone_dagster.tracker import Tracker
from capstone_dagster_tests.servers.platform import Platform, Rows
from capstone_dagster_tests.whole_platform.test_out_of_date import (
    NEW,
    NOTHING,
    Causes,
    correct,
    out_of_date,
    run,
    trade,
)
from spark_code.schemas import QUALITY, TABLES
from spark_code.session import local_conf

# Labor Day lies between.
FRIDAY, TUESDAY = date(2020, 9, 4), date(2020, 9, 8)
PREPROCESSING, ANALYTICAL, SPARK_SUBMIT = (
    str(CHECKOUT / f"deploy/submit/{name}.sh") for name in ("preprocessing", "analytical", "spark_submit")
)

# What the scripts do and publish; the end-of-day load of the first day is Dagster's, as both share a lake.
SUBMITTED = {
    f"analytical_{FRIDAY}": ("report",),
    f"preprocessing_{TUESDAY}": ("ingested", "eod"),
    f"analytical_{TUESDAY}": ("report",),
}


def rows(platform: Platform) -> dict[tuple[str, date], Rows]:
    return {(table.path, day): platform.rows(table, day) for table in TABLES.values() for day in (FRIDAY, TUESDAY)}


def tags(instance: dg.DagsterInstance) -> dict[str, dict[str, str]]:
    """Those of the newest version of each table, which is of the second day, but for the events they point to."""
    found = {}
    for path in TABLES:
        event = instance.get_latest_materialization_event(dg.AssetKey(path.split("/")))
        assert event
        assert event.asset_materialization
        made = event.asset_materialization.tags or {}
        found[path] = {name: value for name, value in made.items() if "event_pointer" not in name}
    return found


def submit(platform: Platform, script: str, day: date) -> None:
    submitted = platform.capstone(f"{day}", "--conf", "spark.sql.shuffle.partitions=2", program=(script,))
    assert submitted.returncode == 0, submitted.stdout + submitted.stderr
    assert "incubator" not in submitted.stderr


@pytest.fixture(scope="module")
def platform(spark: SparkSession) -> Iterator[Platform]:
    """Two delivered days below a path that wants quoting."""
    del spark
    with tempfile.TemporaryDirectory() as folder:
        platform = Platform(Path(folder, 'my "home" = a\\b'), FRIDAY)
        for day in (FRIDAY, TUESDAY):
            platform.sample(day)
        yield platform


class Submitted(NamedTuple):
    instance: dg.DagsterInstance
    """The run storage behind the scripts' jobs."""
    out_of_date: dict[str, Causes]
    """After each of them, of its day."""


@pytest.fixture(scope="module")
def submitted(platform: Platform) -> Iterator[Submitted]:
    """After Dagster's load of the first day, and its tables of an earlier delivery of the second."""
    with platform.instance() as instance:
        run(platform, instance, FRIDAY, "preprocessing")
        run(platform, instance, TUESDAY)
        correct(platform, instance, TUESDAY, trade(TUESDAY, "12.5"))
        found = {}
        for script, day in ((ANALYTICAL, FRIDAY), (PREPROCESSING, TUESDAY), (ANALYTICAL, TUESDAY)):
            submit(platform, script, day)
            found[f"{Path(script).stem}_{day}"] = out_of_date(platform, instance, day)
        yield Submitted(instance, found)


def test_the_scripts_make_the_pages_too(platform: Platform, submitted: Submitted) -> None:
    page = dg.AssetKey(["report", "page"])
    assert submitted.instance.get_materialized_partitions(page) == {f"{FRIDAY}", f"{TUESDAY}"}
    assert (platform.folder / f"lake/report/page/{TUESDAY}.html").exists()


def test_the_jobs_of_the_scripts_are_shown_as_done(platform: Platform, submitted: Submitted) -> None:
    assert submitted

    printed = platform.capstone("status").stdout

    shown = dict(line.split()[:2] for line in printed.splitlines()[1:])
    of_dagster = (f"preprocessing_{FRIDAY}", f"daily_pipeline_{TUESDAY}")
    assert shown == dict.fromkeys((*SUBMITTED, *of_dagster), "SUCCESS")


def test_spark_logs_into_the_home(platform: Platform, submitted: Submitted) -> None:
    assert submitted
    assert (platform.settings.log_dir / "spark.log").is_file()


@pytest.mark.parametrize("job_id", SUBMITTED)
def test_what_a_script_published_is_in_the_run_storage_under_its_run(
    platform: Platform, submitted: Submitted, job_id: str
) -> None:
    *_, attempt = Tracker(submitted.instance).history(job_id)
    day = date.fromisoformat(job_id.rpartition("_")[2])
    for table in TABLES.values():
        if table.layer not in SUBMITTED[job_id]:
            continue
        manifest = platform.lake.require(table, day)
        of_day = dg.AssetRecordsFilter(dg.AssetKey(table.path.split("/")), asset_partitions=[day.isoformat()])
        record, *_ = submitted.instance.fetch_materializations(of_day, limit=10).records
        materialization = record.asset_materialization
        assert materialization
        metadata = {name: value.value for name, value in materialization.metadata.items()}
        assert record.run_id == manifest.run_id == attempt.run_id
        assert (metadata["dagster/partition_row_count"], metadata["version"]) == (manifest.rows, manifest.version)


def test_tables_that_were_made_outside_dagster_are_judged_like_those_of_its_steps(submitted: Submitted) -> None:
    reports = [table.path for table in TABLES.values() if table.layer == "report"]
    assert submitted.out_of_date == {
        f"analytical_{FRIDAY}": NOTHING,
        f"preprocessing_{TUESDAY}": {
            QUALITY.path: [f"{NEW} eod/trades", f"{NEW} ingested/events"],
            **{report: [f"{NEW} eod/trades"] for report in reports},
        },
        f"analytical_{TUESDAY}": NOTHING,
    }


def test_dagster_makes_the_rows_that_the_scripts_made_with_the_same_data_versions(
    platform: Platform, submitted: Submitted
) -> None:
    by_hand, tags_by_hand = rows(platform), tags(submitted.instance)
    assert all(by_hand.values())

    for job, day in (("analytical", FRIDAY), ("daily_pipeline", TUESDAY)):
        run(platform, submitted.instance, day, job)

    assert rows(platform) == by_hand
    assert tags(submitted.instance) == tags_by_hand
    assert [out_of_date(platform, submitted.instance, day) for day in (FRIDAY, TUESDAY)] == [NOTHING, NOTHING]


@pytest.mark.parametrize("script", [PREPROCESSING, ANALYTICAL])
def test_a_script_without_a_date_says_how_it_is_used(platform: Platform, script: str) -> None:
    misused = platform.capstone(program=(script,))

    usage = f"usage: deploy/submit/{Path(script).name} DATE [options of spark-submit]\n"
    assert (misused.returncode, misused.stdout, misused.stderr) == (2, "", usage)


def tracked(folder: Path, spark_submit: str) -> dict[str, str]:
    """The environment that capstone track gives the script, with this text as spark-submit."""
    path = folder / "spark-submit"
    path.write_text(f"#!/bin/sh\n{spark_submit}\n")
    path.chmod(0o755)
    return os.environ | {
        "CAPSTONE_HOME": str(folder),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "TRACKED_RUN_ID": "run",
        "TRACKED_PREVIOUS_DAY": "",
        "SPARK_SUBMIT": str(path),
    }


def called(folder: Path, options: list[str], settings: dict[str, str]) -> list[str]:
    """The arguments with which the script calls spark-submit, of which this one only shows them."""
    ended = subprocess.run(
        [SPARK_SUBMIT, "analytical", "2020-09-04", *options],
        env=tracked(folder, 'printf "%s\\n" "$@"') | settings,
        capture_output=True,
        text=True,
        check=True,
    )
    return ended.stdout.splitlines()


@pytest.mark.parametrize(("database", "options"), [("market", ["--glue-database", "market"]), ("", [])])
def test_the_settings_reach_the_job_with_a_glue_database_or_without(
    tmp_path: Path, database: str, options: list[str]
) -> None:
    settings = {
        "CAPSTONE_RAW_URI": "s3://bucket/raw",
        "CAPSTONE_LAKE_URI": "s3://bucket/lake",
        "CAPSTONE_GLUE_DATABASE": database,
        "CAPSTONE_KEEP_VERSIONS": "5",
        "CAPSTONE_QUALITY_LIMITS": "zero_ratio=off",
        "SPARK_MASTER": "yarn",
    }

    arguments = called(tmp_path, [], settings)

    job = arguments[arguments.index("spark_code/submit.py") + 1 :]
    places = ["--raw", "s3://bucket/raw", "--lake", "s3://bucket/lake"]
    expected = ["analytical", "--date", "2020-09-04", *places, "--run-id", "run", "--keep-versions", "5"]
    limits = ["--quality-limits", "rejected_ratio=0.05 zero_ratio=off"]
    assert job == [*expected, *options, "--first-day", *limits]


@pytest.mark.parametrize("master", ["local[2]", "yarn"])
def test_spark_on_this_machine_has_the_settings_of_other_local_runs_and_a_cluster_its_own(
    tmp_path: Path, master: str
) -> None:
    home, own = tmp_path / "a = 'b'  \"c\" $d \\e", "spark.ui.enabled=true"
    home.mkdir()
    settings = {
        "CAPSTONE_HOME": str(home),
        "CAPSTONE_RAW_URI": str(home / "raw"),
        "CAPSTONE_LAKE_URI": str(home / "lake"),
        "CAPSTONE_DRIVER_MEMORY": "3g",
        "SPARK_MASTER": master,
    }

    arguments = called(tmp_path, ["--conf", own], settings)

    conf = local_conf("3g", home / "logs") if master.startswith("local") else {}
    assert arguments[: arguments.index("spark_code/submit.py")] == [
        *("--master", master, "--name", "analytical_2020-09-04", "--py-files", f"{home}/spark_code.zip"),
        *(argument for name, value in conf.items() for argument in ("--conf", f"{name}={value}")),
        *("--conf", own),
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_sparks_log_is_whole_whatever_its_bytes_and_however_it_is_stopped(tmp_path: Path, number: int) -> None:
    spark_submit = r"""
trap '' INT TERM  # takes its time to end
printf 'WARNING: Using incubator modules: jdk.incubator.vector\nrunning\n' >&2
cat
printf 'caf\351\nthe last line\n' >&2"""
    settings = {"SPARK_MASTER": "yarn", "CAPSTONE_RAW_URI": "/raw", "CAPSTONE_LAKE_URI": "/lake", "LC_ALL": "C.UTF-8"}
    command, environment = [SPARK_SUBMIT, "preprocessing", "2020-09-04"], tracked(tmp_path, spark_submit) | settings

    with subprocess.Popen(command, env=environment, start_new_session=True, stdin=PIPE, stderr=PIPE) as running:
        assert running.stdin
        assert running.stderr
        first = running.stderr.readline()
        os.killpg(running.pid, number)  # to the whole group, as a Ctrl-C
        running.stdin.close()
        others = running.stderr.read()

    assert (first, others) == (b"running\n", b"caf\xe9\nthe last line\n")
