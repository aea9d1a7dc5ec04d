"""What runs on the machines of a cluster, when the fake is asked for it: Spark's workers, and bootstrap actions."""

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from capstone_dagster_tests.fake_aws.emr_calls import Asked, client_of, command
from capstone_dagster_tests.servers.processes import eventually
from capstone_dagster_tests.servers.s3_server import s3_client
from fake_aws.emr import FakeEmr
from fake_aws.machines import MachineOptions


@pytest.fixture
def emr(s3_endpoint: str) -> Iterator[FakeEmr]:
    with FakeEmr(s3_endpoint=s3_endpoint, machines=MachineOptions(bootstrap=True)) as emr:
        yield emr


def action(s3_uri: str, script: str, *arguments: str) -> dict[str, Any]:
    """A bootstrap action, whose script is on S3."""
    name = f"{abs(hash(script))}.sh"
    s3_client().put_object(Bucket=s3_uri.removeprefix("s3://"), Key=name, Body=f"#!/bin/bash\n{script}".encode())
    return {"Name": "install", "ScriptBootstrapAction": {"Path": f"{s3_uri}/{name}", "Args": list(arguments)}}


def test_bootstrap_actions_run_in_their_order_before_the_first_step(client: Any, s3_uri: str, tmp_path: Path) -> None:
    file = tmp_path / "installed"
    actions = [action(s3_uri, 'echo "$2" >>"$1"', str(file), name) for name in ("first", "second")]

    cluster = Asked.for_cluster(client, command("cp", str(file), f"{file}.seen"), BootstrapActions=actions)
    assert cluster.ended(*cluster.step_ids()) == "COMPLETED"

    assert Path(f"{file}.seen").read_text() == "first\nsecond\n"


def test_a_bootstrap_action_that_fails_ends_the_cluster_and_its_log_says_why(
    client: Any, s3_uri: str, tmp_path: Path
) -> None:
    actions = [
        action(s3_uri, "echo no such package >&2; exit 3"),
        action(s3_uri, f"touch {tmp_path}/after"),
    ]

    cluster = Asked.for_cluster(client, command("true"), BootstrapActions=actions, LogUri=f"{s3_uri}/logs")
    status = cluster.reaches("TERMINATED_WITH_ERRORS")

    machine = "i-00000000000000001"
    assert status["StateChangeReason"] == {
        "Code": "BOOTSTRAP_FAILURE",
        "Message": f"On the master instance ({machine}), bootstrap action 1 returned a non-zero return code",
    }
    assert "ReadyDateTime" not in status["Timeline"]
    assert cluster.ended(*cluster.step_ids()) == "CANCELLED"
    assert not (tmp_path / "after").exists()
    key = f"logs/{cluster.id}/node/{machine}/bootstrap-actions/1/stderr.gz"
    log = s3_client().get_object(Bucket=s3_uri.removeprefix("s3://"), Key=key)["Body"].read()
    assert gzip.decompress(log).decode() == "no such package\n"


def test_a_bootstrap_action_that_is_absent_ends_the_cluster(client: Any, s3_uri: str) -> None:
    absent = {"Name": "install", "ScriptBootstrapAction": {"Path": f"{s3_uri}/absent.sh"}}
    status = Asked.for_cluster(client, BootstrapActions=[absent]).reaches("TERMINATED_WITH_ERRORS")
    assert status["StateChangeReason"]["Code"] == "BOOTSTRAP_FAILURE"


def test_nothing_of_a_bootstrap_action_outlives_the_cluster(client: Any, s3_uri: str, tmp_path: Path) -> None:
    file = tmp_path / "pid"
    endless = action(s3_uri, f"sleep 300 & echo $! >{file}.tmp; mv {file}.tmp {file}; wait")
    cluster = Asked.for_cluster(client, BootstrapActions=[endless])
    eventually(file.exists)
    client.terminate_job_flows(JobFlowIds=[cluster.id])

    assert cluster.reaches("TERMINATED")["StateChangeReason"]["Code"] == "USER_REQUEST"
    eventually(lambda: not psutil.pid_exists(int(file.read_text())))


def test_a_cluster_whose_spark_does_not_start_says_so(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    with FakeEmr(s3_endpoint=s3_endpoint, machines=MachineOptions(workers=1)) as emr:
        reason = Asked.for_cluster(client_of(emr.endpoint)).reaches("TERMINATED_WITH_ERRORS")["StateChangeReason"]
    assert reason["Code"] == "INTERNAL_ERROR"
    assert reason["Message"].startswith("Spark's master ended with exit code 1")
    assert "/nowhere/bin/java" in reason["Message"]
