"""A step whose machines stay unhealthy is ended with that reason; the reports are in moto's CloudWatch on loopback."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import boto3
import dagster as dg
import pytest
from dagster._core.execution.context.system import StepExecutionContext

from capstone_dagster.emr.api import Emr
from capstone_dagster.emr.node_health import NodeHealth
from capstone_dagster_tests.capstone_dagster.emr.launchers import ours, submitted
from capstone_dagster_tests.capstone_dagster.emr.one_step import Clock, begun_step
from capstone_dagster_tests.servers.emr_platform import EmrPlatform, taken_cluster
from fake_aws.emr import FakeEmr

COMPLAINT = "of the machines of cluster {} have been UNHEALTHY for 15 minutes, probably because their disks are full"


@pytest.fixture
def step(platform: EmrPlatform, instance: dg.DagsterInstance) -> Iterator[StepExecutionContext]:
    with begun_step(platform.defs, instance) as step:
        yield step


@pytest.fixture(autouse=True)
def _here(emr: FakeEmr, s3_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    del s3_uri
    monkeypatch.setenv("AWS_ENDPOINT_URL_EMR", emr.endpoint)


def reported(cluster_id: str, *unhealthy: int) -> None:
    """What EMR has told CloudWatch every five minutes, oldest first."""
    now = datetime.now(UTC)
    data = [
        {
            "MetricName": "MRUnhealthyNodes",
            "Dimensions": [{"Name": "JobFlowId", "Value": cluster_id}],
            "Timestamp": now - timedelta(minutes=5 * number + 2),
            "Value": value,
        }
        for number, value in enumerate(reversed(unhealthy))
    ]
    boto3.client("cloudwatch").put_metric_data(Namespace="AWS/ElasticMapReduce", MetricData=data)


def complaints(cluster_id: str, warnings: list[str], times: int = 1) -> list[str | None]:
    """What is said each time that five minutes have passed."""
    clock = Clock()
    health = NodeHealth("us-east-1", cluster_id, clock, warnings.append)
    said = [health.complaint()]
    for _ in range(times):
        clock.pause(300)
        said.append(health.complaint())
    return said


@pytest.mark.parametrize(
    ("unhealthy", "complains"),
    [
        ((1, 1, 2), "2 " + COMPLAINT),
        ((0, 2, 2), None),
        ((2, 2, 0), None),
        ((2, 2), None),
        ((), None),
    ],
)
def test_machines_that_stay_unhealthy_are_complained_of(
    s3_uri: str, unhealthy: tuple[int, ...], complains: str | None
) -> None:
    cluster_id = f"j-{s3_uri[-8:].upper()}"
    if unhealthy:
        reported(cluster_id, *unhealthy)

    warnings: list[str] = []
    before, after = complaints(cluster_id, warnings)

    assert before is None
    assert (after and after.partition(":")[0]) == (complains and complains.format(cluster_id))
    assert warnings == []


def test_a_step_goes_on_if_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")

    warnings: list[str] = []
    assert complaints("j-1", warnings) == [None, None]

    [warning] = warnings
    assert warning.startswith("whether machines of cluster j-1 are healthy is not known: Could not connect")


def test_the_step_is_ended_with_that_reason(emr: FakeEmr, platform: EmrPlatform, step: StepExecutionContext) -> None:
    emr.tell.hang_next_step()
    cluster_id = taken_cluster(emr)
    step_id = submitted(emr, cluster_id, "RUNNING")
    reported(cluster_id, 1, 1, 1)
    clock = Clock()
    own = ours(
        replace(platform, settings_of_emr={"CAPSTONE_EMR_POLL_SECONDS": "200"}),
        step,
        cluster_id,
        Emr("us-east-1", 60, pause=clock.pause, clock=clock),
    )

    with pytest.raises(dg.Failure) as failure:
        list(own.watch.until_ended(step_id))

    assert failure.value.description
    assert failure.value.description.startswith(
        f"step {step_id} of EMR was ended: 1 {COMPLAINT.format(cluster_id)}: give them larger ones"
    )
