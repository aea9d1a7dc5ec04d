"""Days whose steps really run, with spark-submit and S3, under ``capstone run`` in a process of its own."""

import gzip
import io
import os
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import dagster as dg
import psutil
import pytest
from pyspark.sql import SparkSession

from capstone_dagster_tests.servers.emr_platform import DAY, QUICK, EmrPlatform, taken_cluster
from capstone_dagster_tests.servers.platform import CAPSTONE, Platform
from capstone_dagster_tests.servers.processes import eventually, heard
from capstone_dagster_tests.servers.s3_server import s3_client
from fake_aws.emr import FakeEmr
from fake_aws.machines import MachineOptions
from spark_code.flow import STEPS
from spark_code.schemas import EVENTS, TABLES

CANARY = "canary-5f1c07"
# Where people keep secrets; the AWS libraries use the first, and the S3 server here takes any.
SECRETS = {
    "AWS_SECRET_ACCESS_KEY": f"{CANARY}-aws",
    "AWS_SESSION_TOKEN": f"{CANARY}-session",
    "PGPASSWORD": f"{CANARY}-database",
    "SLACK_TOKEN": f"{CANARY}-slack",
}

# `capstone`, where a step that failed is tried again at once.
_PROGRAM = """
from capstone_dagster import resources
from capstone_dagster.cli import main

resources.FIRST_SECONDS = 0.1
main.main()
"""
HARDLY_WAITING = (sys.executable, "-c", _PROGRAM)

pytestmark = pytest.mark.usefixtures("real_jars")


def started(
    platform: EmrPlatform, *arguments: str, program: Sequence[str] = (CAPSTONE,), **variables: str
) -> "subprocess.Popen[str]":
    """``capstone`` on a host that has no Java."""
    environment = {name: value for name, value in os.environ.items() if name != "JAVA_HOME"}
    return subprocess.Popen(
        [*program, *arguments],
        env={**environment, **platform.environment, **variables, "PATH": str(Path(sys.executable).parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def everything_on_s3(bucket: str) -> Iterator[tuple[str, bytes]]:
    """Every object with what is in it, unpacked."""
    for page in s3_client().get_paginator("list_objects_v2").paginate(Bucket=bucket.removeprefix("s3://")):
        for listed in page["Contents"]:
            content = s3_client().get_object(Bucket=bucket.removeprefix("s3://"), Key=listed["Key"])["Body"].read()
            if listed["Key"].endswith(".gz"):
                content = gzip.decompress(content)
            if listed["Key"].endswith(".zip"):
                packed = zipfile.ZipFile(io.BytesIO(content))
                content = b"".join(packed.read(name) for name in packed.namelist())
            yield listed["Key"], content


def data_versions(instance: dg.DagsterInstance, path: str) -> dict[str, str]:
    """What Dagster knows of the latest materialization's own version and those of its inputs."""
    event = instance.get_latest_materialization_event(dg.AssetKey(path.split("/")))
    assert event
    assert event.asset_materialization
    return {name: value for name, value in (event.asset_materialization.tags or {}).items() if "data_version" in name}


@pytest.fixture(scope="module")
def local(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """The same day as it is without EMR."""
    del spark
    platform = Platform(tmp_path_factory.mktemp("local"), DAY)
    platform.sample(DAY)
    assert platform.run("daily_pipeline", DAY).success
    return platform


@pytest.mark.whole_platform
@pytest.mark.faults("F14", sample=True)
def test_a_day_gives_the_rows_of_a_local_run_although_a_step_failed_once_and_no_secret_shows(
    platform: EmrPlatform, local: Platform
) -> None:
    platform.emr.tell.fail_next_steps(message="exit code 137")
    retrying = replace(platform, settings_of_emr={"CAPSTONE_MAX_RETRIES": "1"})

    with retrying.instance() as instance:
        process = started(retrying, "run", DAY.isoformat(), program=HARDLY_WAITING, **SECRETS)
        said, _ = process.communicate(timeout=900)
        versions = {path: data_versions(instance, path) for path in ("raw/nyse", "ingested/events", "eod/closes")}
        run = instance.get_runs()[0]
        summary = instance.get_latest_materialization_event(dg.AssetKey(["report", "daily_summary"]))
        logs = instance.all_logs(run.run_id)

    assert process.returncode == 0, said
    kinds = [entry.dagster_event.event_type for entry in logs if entry.dagster_event]
    assert kinds.count(dg.DagsterEventType.STEP_UP_FOR_RETRY) == 1
    assert kinds.count(dg.DagsterEventType.ASSET_MATERIALIZATION) == len(TABLES) + 2  # and the page and the index
    assert summary
    assert summary.asset_materialization
    assert {"volume_by_time", "turnover", "late_events"} <= summary.asset_materialization.metadata.keys()
    assert platform.states == ["TERMINATED"]
    assert [step.state for step in platform.emr.clusters[0].steps] == ["FAILED", *["COMPLETED"] * len(STEPS)]
    for made, of in (("ingested/events", "raw/nyse"), ("eod/closes", "ingested/events")):
        of_its_partitions = sha256(versions[of]["dagster/data_version"].encode()).hexdigest()
        assert versions[made][f"dagster/input_data_version/{of}"] == of_its_partitions
        assert versions[made]["dagster/data_version"] == platform.lake.require(TABLES[made], DAY).digest
        assert versions[made]["dagster/data_version_is_user_provided"] == "true"

    for table in TABLES.values():
        assert platform.rows(table, DAY) == local.rows(table, DAY), table

    shown = {"the terminal": said, "the events": "".join(dg.serialize_value(entry) for entry in logs)}
    shown |= {"the steps": str([step.config for step in platform.emr.clusters[0].steps])}
    shown |= {"the cluster": str(platform.emr.clusters[0].request), "the run": str(run)}
    on_s3 = {key: content.decode(errors="replace") for key, content in everything_on_s3(platform.bucket)}
    # Spark's own log of each step that has run, in the folder of its attempt.
    event_logs = {key.split("/eventlog_v2_")[0] for key in on_s3 if "/events_1_" in key}
    assert len(event_logs) == len(STEPS)
    assert {key.split("/")[:3] == ["staging", "runs", run.run_id] for key in event_logs} == {True}
    assert f"its logs: {platform.bucket}/staging/logs/{platform.emr.clusters[0].id}/" in said
    shown |= on_s3
    logs_here = [path for path in platform.settings.log_dir.rglob("*") if path.is_file()]
    shown |= {str(path): path.read_text(errors="replace") for path in logs_here}
    assert logs_here
    assert [where for where, text in shown.items() if CANARY in text] == []


@pytest.mark.faults("F1")
def test_a_day_on_two_workers_gives_the_same_rows_although_one_of_them_is_killed(
    s3_endpoint: str, s3_uri: str, tmp_path: Path, local: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with FakeEmr(s3_endpoint=s3_endpoint, machines=MachineOptions(workers=2)) as emr:
        readable = {"CAPSTONE_EMR_SPARK_CONF": f"{QUICK['CAPSTONE_EMR_SPARK_CONF']};spark.eventLog.compress=false"}
        platform = EmrPlatform(tmp_path, DAY, bucket=s3_uri, emr=emr, settings_of_emr=readable)
        platform.sample(DAY)
        process = started(platform, "run", DAY.isoformat())
        # The last step works, and the worker that is killed has rows of it.
        logs_of_executors = f"emr-machines-*/worker-2/work/app-*-{len(STEPS) - 1:04}/*/stderr"
        eventually(
            lambda: (
                process.poll() is not None
                or any("Finished task" in log.read_text() for log in tmp_path.glob(logs_of_executors))
            ),
            seconds=1200,
        )
        emr.tell.lose_worker()
        meanwhile = [step.state for step in emr.clusters[0].steps]
        said, _ = process.communicate(timeout=1200)

    assert process.returncode == 0, said
    assert meanwhile == [*["COMPLETED"] * (len(STEPS) - 1), "RUNNING"]
    ours = [" ".join(child.cmdline()) for child in psutil.Process().children()]
    assert [command for command in ours if "deploy.master" in command or "deploy.worker" in command] == []
    assert [step.state for step in emr.clusters[0].steps] == ["COMPLETED"] * len(STEPS)
    for table in TABLES.values():
        assert platform.rows(table, DAY) == local.rows(table, DAY), table
    event_logs = [content.decode() for key, content in everything_on_s3(s3_uri) if "/events_1_" in key]
    assert [log.count("SparkListenerExecutorAdded") for log in event_logs] == [2] * len(STEPS)
    assert any("SparkListenerExecutorRemoved" in log for log in event_logs)


@pytest.mark.faults("F3")
def test_what_goes_on_of_a_cancelled_run_can_publish_nothing(platform: EmrPlatform, emr: FakeEmr) -> None:
    emr.tell.hang_cancels()
    taken = taken_cluster(emr)
    on_taken = replace(platform, settings_of_emr={"CAPSTONE_EMR_CLUSTER_ID": taken})

    with on_taken.instance() as instance, heard(signal.SIGTERM):
        process = started(on_taken, "run", DAY.isoformat(), "--job", "preprocessing")
        eventually(lambda: [step.state for step in emr.cluster(taken).steps], ["RUNNING"].__eq__)
        (run,) = instance.get_runs()
        assert instance.run_launcher.terminate(run.run_id)  # as the UI does
        said, _ = process.communicate(timeout=120)
        run = instance.get_runs()[0]

    assert process.returncode == 1, said
    assert run.status == dg.DagsterRunStatus.CANCELED
    (cancelled,) = emr.calls("CancelSteps")
    (step,) = emr.cluster(taken).steps
    assert cancelled.params["StepIds"] == [step.id]
    # The step did not hear it, and works on to its end.
    eventually(lambda: step.state, "FAILED".__eq__)
    assert platform.manifest(EVENTS, DAY) is None
    end = b"".join(content for key, content in everything_on_s3(platform.bucket) if "/events/" in key)
    assert b"this attempt was given up, its rows are not published" in end
    assert emr.cluster(taken).state == "WAITING"
    assert not emr.cluster(taken).protected
