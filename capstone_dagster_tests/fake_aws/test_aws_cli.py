"""The flow that users know from other schedulers, with clients that nobody here wrote: the AWS CLI and boto3's waiters.

Create a cluster, protect it, run a shell script from S3 as a step, catch its failure, end the protection and the
cluster. The CLI runs in this process, which saves a second per command.
"""

import json
import re
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from awscli.clidriver import CLIDriver, create_clidriver

from capstone_dagster_tests.fake_aws.emr_calls import CLUSTER, Asked, client_of
from capstone_dagster_tests.servers.s3_server import s3_client
from fake_aws.emr import FakeEmr

Aws = Callable[..., Any]
FLEETS = (
    "InstanceFleetType=MASTER,TargetOnDemandCapacity=1,InstanceTypeConfigs=[{InstanceType=m5.xlarge}]",
    "InstanceFleetType=TASK,TargetSpotCapacity=2,InstanceTypeConfigs=[{InstanceType=m5.xlarge}]",
)
CREATE = (
    *("create-cluster", "--name", "by hand", "--release-label", "emr-spark-8.1.0", "--service-role", "service-role"),
    *("--ec2-attributes", "InstanceProfile=instance-profile", "--applications", "Name=Spark"),
    *("--bootstrap-actions", "Path=s3://bucket/install.sh,Name=install,Args=[a,b]", "--termination-protected"),
)
RUNNER = "s3://us-east-1.elasticmapreduce/libs/script-runner/script-runner.jar"


@pytest.fixture(scope="module")
def cli() -> CLIDriver:
    return create_clidriver()


@pytest.fixture
def aws(emr: FakeEmr, cli: CLIDriver, s3_uri: str, capsys: pytest.CaptureFixture[str]) -> Aws:
    """``aws emr``: what it prints, read as JSON."""
    del s3_uri  # it sets credentials and region

    def run(*arguments: str, expected: int = 0) -> Any:
        assert cli.main(["emr", *arguments, "--endpoint-url", emr.endpoint]) == expected, capsys.readouterr().err
        told = capsys.readouterr()
        return json.loads(told.out) if told.out.strip() else told.err.strip()

    return run


def uploaded(s3_uri: str, script: str) -> str:
    s3_client().put_object(Bucket=s3_uri.removeprefix("s3://"), Key="steps/load.sh", Body=script.encode())
    return f"{s3_uri}/steps/load.sh"


def step(script: str, *arguments: str) -> str:
    return f"Type=CUSTOM_JAR,Name=load,ActionOnFailure=CONTINUE,Jar={RUNNER},Args=[{','.join([script, *arguments])}]"


def test_a_day_is_loaded_by_a_script_and_the_cluster_is_ended(aws: Aws, s3_uri: str, emr: FakeEmr) -> None:
    script = uploaded(s3_uri, "#!/bin/bash\ntest $# = 2 && test $1 = 2020-08-06 && test $2 = NYSE\n")
    cluster_id = aws(*CREATE, "--instance-fleets", *FLEETS)["ClusterId"]
    asked = Asked(client_of(emr.endpoint), cluster_id)
    asked.reaches("WAITING")  # the CLI looks only every half minute
    aws("wait", "cluster-running", "--cluster-id", cluster_id)

    [step_id] = aws("add-steps", "--cluster-id", cluster_id, "--steps", step(script, "2020-08-06", "NYSE"))["StepIds"]
    asked.ended(step_id)
    aws("wait", "step-complete", "--cluster-id", cluster_id, "--step-id", step_id)
    described = aws("describe-cluster", "--cluster-id", cluster_id)["Cluster"]
    assert described["TerminationProtected"] is True
    assert described["BootstrapActions"] == [
        {"Name": "install", "ScriptPath": "s3://bucket/install.sh", "Args": ["a", "b"]}
    ]
    assert [fleet["InstanceFleetType"] for fleet in described["InstanceFleets"]] == ["MASTER", "TASK"]
    refused = aws("terminate-clusters", "--cluster-ids", cluster_id, expected=255)
    assert "termination protected" in refused
    aws("modify-cluster-attributes", "--cluster-id", cluster_id, "--no-termination-protected")
    aws("terminate-clusters", "--cluster-ids", cluster_id)
    asked.reaches("TERMINATED")
    aws("wait", "cluster-terminated", "--cluster-id", cluster_id)


def test_a_script_that_fails_fails_the_step_and_one_that_is_absent_too(aws: Aws, s3_uri: str, emr: FakeEmr) -> None:
    script = uploaded(s3_uri, "#!/bin/bash\nexit 3\n")
    groups = ("InstanceGroupType=MASTER,InstanceCount=1,InstanceType=m5.xlarge",)
    cluster_id = aws(*CREATE, "--instance-groups", *groups)["ClusterId"]

    steps = [step(script), step(f"{s3_uri}/steps/absent.sh")]
    ids = aws("add-steps", "--cluster-id", cluster_id, "--steps", *steps)["StepIds"]

    asked = Asked(client_of(emr.endpoint), cluster_id)
    for step_id in ids:
        asked.ended(step_id)
        told = aws("wait", "step-complete", "--cluster-id", cluster_id, "--step-id", step_id, expected=255)
        assert "Waiter StepComplete failed" in told
        found = aws("describe-step", "--cluster-id", cluster_id, "--step-id", step_id)["Step"]
        assert found["Status"]["State"] == "FAILED"
    described = aws("describe-cluster", "--cluster-id", cluster_id)["Cluster"]
    assert [group["InstanceGroupType"] for group in described["InstanceGroups"]] == ["MASTER"]


def test_a_step_is_cancelled_and_machines_are_listed(aws: Aws, s3_uri: str, emr: FakeEmr) -> None:
    emr.tell.hang_next_step()
    cluster_id = aws(*CREATE, "--instance-fleets", *FLEETS)["ClusterId"]
    [step_id] = aws("add-steps", "--cluster-id", cluster_id, "--steps", step(uploaded(s3_uri, "")))["StepIds"]
    asked = Asked(client_of(emr.endpoint), cluster_id)
    asked.step_reaches(step_id, "RUNNING")

    option = ("--step-cancellation-option", "TERMINATE_PROCESS")
    told = aws("cancel-steps", "--cluster-id", cluster_id, "--step-ids", step_id, *option)["CancelStepsInfoList"]

    assert [answer["Status"] for answer in told] == ["SUBMITTED"]
    assert asked.ended(step_id) == "CANCELLED"
    machines = aws("list-instances", "--cluster-id", cluster_id, "--instance-fleet-type", "TASK")["Instances"]
    assert [(machine["Market"], machine["Status"]["State"]) for machine in machines] == [("SPOT", "RUNNING")] * 2
    label = aws("describe-release-label", "--release-label", "emr-spark-8.1.0")
    assert [application["Name"] for application in label["Applications"]] == ["Spark"]


def test_waiters_and_pages_of_boto3(emr: FakeEmr, client: Any) -> None:
    asked = Asked.for_cluster(client, **{**CLUSTER, "Name": "waited for"})
    quickly = {"Delay": 1, "MaxAttempts": 30}
    client.get_waiter("cluster_running").wait(ClusterId=asked.id, WaiterConfig=quickly)
    jar = {"Jar": "command-runner.jar", "Args": ["true"]}
    ids = asked.add(*[{"Name": f"{number}", "HadoopJarStep": jar} for number in range(60)])
    client.get_waiter("step_complete").wait(ClusterId=asked.id, StepId=ids[-1], WaiterConfig=quickly)

    pages = list(client.get_paginator("list_steps").paginate(ClusterId=asked.id))
    assert [len(page["Steps"]) for page in pages] == [50, 10]
    (machines,) = client.get_paginator("list_instances").paginate(ClusterId=asked.id)
    assert len(machines["Instances"]) == 2
    client.terminate_job_flows(JobFlowIds=[asked.id])
    client.get_waiter("cluster_terminated").wait(ClusterId=asked.id, WaiterConfig=quickly)
    assert emr.clusters[0].state == "TERMINATED"


MOODS = re.findall(
    r"^tell (\w+)(?: '(.*)')?", (Path(__file__).parents[2] / "docs" / "emr_by_hand.md").read_text(), re.MULTILINE
)


@pytest.mark.parametrize(("method", "arguments"), MOODS)
def test_what_the_document_tells_the_fake_is_understood(emr: FakeEmr, method: str, arguments: str) -> None:
    request = urllib.request.Request(  # noqa: S310 - on loopback
        emr.endpoint, data=(arguments or "{}").encode(), headers={"X-Amz-Target": f"FakeEmr.{method}"}
    )

    with urllib.request.urlopen(request) as answer:  # noqa: S310
        assert (answer.status, len(MOODS)) == (200, 9)
