"""``python -m fake_aws``, and that nothing which a step has started outlives whoever ran it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
from dotenv import dotenv_values

from capstone_dagster_tests.fake_aws.emr_calls import Asked, bash, client_of, living
from capstone_dagster_tests.servers.processes import eventually
from capstone_dagster_tests.servers.s3_server import s3_client
from fake_aws.__main__ import main
from fake_aws.emr import FakeEmr


@contextmanager
def servers(env_file: Path, *options: str) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-m", "fake_aws", "--env-file", str(env_file), *options]
    # Who is killed cannot remove a step's folder.
    environment = os.environ | {"TMPDIR": str(env_file.parent)}
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        try:
            eventually(lambda: process.poll() is not None or env_file.exists())
            yield process
        finally:
            process.kill()


def started_step(client: Any, folder: Path) -> int:
    """The group of a step that goes on for ever, and that only SIGKILL ends."""
    script = f"sleep 300 & echo $$ >{folder}/group.tmp; mv {folder}/group.tmp {folder}/group; wait"
    Asked.for_cluster(client, bash(f"trap '' TERM INT HUP; {script}"))
    eventually((folder / "group").exists)
    group = int((folder / "group").read_text())
    eventually(lambda: len(living(group)), (2).__eq__)
    return group


def test_no_process_survives_the_end_of_the_block(s3_endpoint: str, tmp_path: Path) -> None:
    with FakeEmr(s3_endpoint=s3_endpoint) as emr:
        group = started_step(client_of(emr.endpoint), tmp_path)
    eventually(lambda: living(group), lambda left: left == [], seconds=30)
    assert [step.state for cluster in emr.clusters for step in cluster.steps] == ["INTERRUPTED"]


@pytest.mark.parametrize("ending", ["SIGTERM", "SIGINT", "SIGKILL", "end of input"])
def test_no_process_survives_the_server(tmp_path: Path, ending: str) -> None:
    with servers(tmp_path / "env") as process:
        variables = dotenv_values(tmp_path / "env")
        group = started_step(client_of(str(variables["AWS_ENDPOINT_URL_EMR"])), tmp_path)
        if ending == "end of input":
            assert process.stdin
            process.stdin.close()
        else:
            process.send_signal(signal.Signals[ending])
        assert process.wait(timeout=60) == (-signal.SIGKILL if ending == "SIGKILL" else 0)
        eventually(lambda: living(group), lambda left: left == [], seconds=30)


def test_no_worker_of_spark_survives_a_server_that_is_killed(tmp_path: Path) -> None:
    with servers(tmp_path / "env", "--workers", "1") as process:
        variables = dotenv_values(tmp_path / "env")
        Asked.for_cluster(client_of(str(variables["AWS_ENDPOINT_URL_EMR"]))).reaches("WAITING", seconds=180)
        spark = [child for child in psutil.Process(process.pid).children(recursive=True) if child.name() == "java"]
        assert len(spark) == 2
        process.kill()
        eventually(lambda: [each for each in spark if each.is_running()], lambda left: left == [], seconds=30)


def test_its_variables_lead_to_both_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with servers(tmp_path / "env") as process:
        assert process.stdout
        printed = "".join(process.stdout.readline().decode() for _ in (tmp_path / "env").read_text().splitlines())
        assert printed == (tmp_path / "env").read_text()
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        for name, value in dotenv_values(tmp_path / "env").items():
            monkeypatch.setenv(name, str(value))
        boto3.Session().client("s3").create_bucket(Bucket="from-outside")
        assert [bucket["Name"] for bucket in s3_client().list_buckets()["Buckets"]] == ["from-outside"]
        assert boto3.Session().client("emr").list_clusters()["Clusters"] == []


@pytest.mark.parametrize("number", ["-1", "two"])
def test_no_number_of_workers_is_refused(number: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--workers", number])
    assert f"argument --workers: {number!r} is not a number of workers" in capsys.readouterr().err


def test_a_port_that_is_taken_is_named(emr: FakeEmr) -> None:
    port = emr.endpoint.rpartition(":")[2]
    command = [sys.executable, "-m", "fake_aws", "--emr-port", port]
    refused = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert f"cannot listen on port {port}: Address already in use" in refused.stderr
    assert "Traceback" not in refused.stderr
