from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from capstone_dagster_tests.fake_aws.emr_calls import INSTANCES, Asked, bash, client_of
from fake_aws.clusters import Delays
from fake_aws.emr import FakeEmr

PROTECTED = INSTANCES | {"TerminationProtected": True}
TRANSIENT = INSTANCES | {"KeepJobFlowAliveWhenNoSteps": False}
ENDED = ("TERMINATED", "TERMINATED_WITH_ERRORS")


@pytest.mark.parametrize(
    ("delays", "state"),
    [
        (Delays(starting=600), "STARTING"),
        (Delays(bootstrapping=600), "BOOTSTRAPPING"),
        (Delays(), "WAITING"),
    ],
)
def test_a_cluster_gets_ready_by_and_by(s3_endpoint: str, delays: Delays, state: str) -> None:
    with FakeEmr(s3_endpoint=s3_endpoint, delays=delays) as emr:
        status = Asked.for_cluster(client_of(emr.endpoint)).reaches(state)
        assert ("ReadyDateTime" in status["Timeline"]) == (state == "WAITING")
        assert "EndDateTime" not in status["Timeline"]


def test_a_cluster_runs_while_a_step_runs(client: Any) -> None:
    cluster = Asked.for_cluster(client, bash("sleep 300"))
    assert cluster.reaches("RUNNING")
    assert cluster.step_reaches(cluster.step_ids()[0], "RUNNING")


def test_a_cluster_that_was_told_to_end_takes_its_time_and_no_more_steps(s3_endpoint: str) -> None:
    with FakeEmr(s3_endpoint=s3_endpoint, delays=Delays(terminating=600)) as emr:
        client = client_of(emr.endpoint)
        cluster = Asked.for_cluster(client)
        client.terminate_job_flows(JobFlowIds=[cluster.id])
        assert cluster.status()["State"] == "TERMINATING"
        with pytest.raises(ClientError, match=r"ValidationException.* shutting down, terminated, or finished"):
            cluster.add(bash("true"))


def test_a_protected_cluster_holds_and_the_others_of_the_request_end(client: Any) -> None:
    protected, other = Asked.for_cluster(client, Instances=PROTECTED), Asked.for_cluster(client)
    with pytest.raises(ClientError, match=r"ValidationException.* since they are termination protected"):
        client.terminate_job_flows(JobFlowIds=[protected.id, other.id])
    assert other.reaches(*ENDED)["StateChangeReason"]["Code"] == "USER_REQUEST"
    assert protected.reaches("WAITING")["StateChangeReason"] == {}

    client.set_termination_protection(JobFlowIds=[protected.id], TerminationProtected=False)
    client.terminate_job_flows(JobFlowIds=[protected.id])
    assert protected.reaches(*ENDED)["State"] == "TERMINATED"


def test_the_end_of_a_cluster_ends_its_steps(client: Any) -> None:
    cluster = Asked.for_cluster(client, bash("sleep 300"), bash("true"))
    running, waiting = cluster.step_ids()
    cluster.step_reaches(running, "RUNNING")
    client.terminate_job_flows(JobFlowIds=[cluster.id])
    assert [cluster.ended(running), cluster.ended(waiting)] == ["INTERRUPTED", "CANCELLED"]


@pytest.mark.parametrize(
    ("script", "message"), [("exit 0", "Steps completed"), ("exit 1", "Steps completed with errors")]
)
def test_a_cluster_that_is_not_kept_alive_ends_with_its_steps(client: Any, script: str, message: str) -> None:
    cluster = Asked.for_cluster(client, bash(script), Instances=TRANSIENT | {"TerminationProtected": True})
    status = cluster.reaches(*ENDED)
    assert status["State"] == "TERMINATED"
    assert status["StateChangeReason"] == {"Code": "ALL_STEPS_COMPLETED", "Message": message}


@pytest.mark.parametrize(
    ("action", "instances", "behind", "state"),
    [
        ("CONTINUE", INSTANCES, "COMPLETED", "WAITING"),
        ("CANCEL_AND_WAIT", INSTANCES, "CANCELLED", "WAITING"),
        ("TERMINATE_CLUSTER", INSTANCES, "CANCELLED", "TERMINATED_WITH_ERRORS"),
        ("TERMINATE_CLUSTER", PROTECTED, "CANCELLED", "WAITING"),
    ],
)
def test_a_step_says_what_its_failure_does(
    client: Any, action: str, instances: dict[str, Any], behind: str, state: str
) -> None:
    cluster = Asked.for_cluster(client, bash("exit 1", action), bash("true"), Instances=instances)
    failed, other = cluster.step_ids()
    assert [cluster.ended(failed), cluster.ended(other)] == ["FAILED", behind]
    assert cluster.reaches(state)["State"] == state


def test_an_idle_cluster_ends_by_its_policy_unless_it_is_protected(s3_endpoint: str) -> None:
    with FakeEmr(s3_endpoint=s3_endpoint, delays=Delays(idle_second=0.001)) as emr:
        client = client_of(emr.endpoint)
        policy = {"IdleTimeout": 60}
        protected = Asked.for_cluster(client, AutoTerminationPolicy=policy, Instances=PROTECTED)
        protected.reaches("WAITING")
        idle = Asked.for_cluster(client, AutoTerminationPolicy=policy)
        assert client.get_auto_termination_policy(ClusterId=idle.id)["AutoTerminationPolicy"] == policy
        assert idle.reaches(*ENDED)["State"] == "TERMINATED"
        assert protected.status()["State"] == "WAITING"
        client.set_termination_protection(JobFlowIds=[protected.id], TerminationProtected=False)
        assert protected.reaches(*ENDED)["State"] == "TERMINATED"


def test_a_policy_can_come_later_and_does_not_end_a_busy_cluster(s3_endpoint: str) -> None:
    with FakeEmr(s3_endpoint=s3_endpoint, delays=Delays(idle_second=0.001)) as emr:
        client = client_of(emr.endpoint)
        cluster = Asked.for_cluster(client, bash("sleep 0.3"))
        client.put_auto_termination_policy(ClusterId=cluster.id, AutoTerminationPolicy={"IdleTimeout": 60})
        ended = cluster.reaches(*ENDED)["Timeline"]["EndDateTime"]
        step = cluster.step_reaches(cluster.step_ids()[0], "COMPLETED")
        # The sixty of its seconds count from the end of the step.
        assert ended - step["Timeline"]["EndDateTime"] >= timedelta(milliseconds=50)


def test_a_scaling_policy_is_kept_until_it_is_removed(client: Any) -> None:
    limits = {"UnitType": "InstanceFleetUnits", "MinimumCapacityUnits": 1, "MaximumCapacityUnits": 5}
    cluster = Asked.for_cluster(client, ManagedScalingPolicy={"ComputeLimits": limits})
    assert client.get_managed_scaling_policy(ClusterId=cluster.id)["ManagedScalingPolicy"] == {"ComputeLimits": limits}

    more = {"ComputeLimits": limits | {"MaximumCapacityUnits": 9}}
    client.put_managed_scaling_policy(ClusterId=cluster.id, ManagedScalingPolicy=more)
    assert client.get_managed_scaling_policy(ClusterId=cluster.id)["ManagedScalingPolicy"] == more

    client.remove_managed_scaling_policy(ClusterId=cluster.id)
    assert "ManagedScalingPolicy" not in client.get_managed_scaling_policy(ClusterId=cluster.id)


def test_clusters_are_listed_newest_first_in_pages(s3_endpoint: str) -> None:
    with FakeEmr(s3_endpoint=s3_endpoint, page_size=2) as emr:
        client = client_of(emr.endpoint)
        made = [Asked.for_cluster(client).id for _ in range(5)]
        pages = list(client.get_paginator("list_clusters").paginate())
        assert [[each["Id"] for each in page["Clusters"]] for page in pages] == [made[:2:-1], made[2:0:-1], made[:1]]


def test_clusters_are_listed_by_state_and_time(client: Any) -> None:
    ended, waiting = Asked.for_cluster(client), Asked.for_cluster(client)
    client.terminate_job_flows(JobFlowIds=[ended.id])
    ended.reaches("TERMINATED")
    waiting.reaches("WAITING")

    def listed(**filters: Any) -> list[str]:
        return [each["Id"] for each in client.list_clusters(**filters)["Clusters"]]

    assert listed(ClusterStates=["WAITING", "RUNNING"]) == [waiting.id]
    soon = datetime.now(UTC) + timedelta(hours=1)
    assert listed(CreatedBefore=soon) == [waiting.id, ended.id]
    assert listed(CreatedAfter=soon) == []


def test_a_cluster_is_described_as_it_was_asked_for(client: Any) -> None:
    configurations = [{"Classification": "spark-defaults", "Properties": {"spark.executor.cores": "4"}}]
    cluster = Asked.for_cluster(
        client, LogUri="s3://bucket/logs/", Tags=[{"Key": "team", "Value": "equities"}], Configurations=configurations
    )
    described = client.describe_cluster(ClusterId=cluster.id)["Cluster"]
    assert described["Name"] == "a cluster"
    assert described["ReleaseLabel"] == "emr-spark-8.1.0"
    assert described["LogUri"] == "s3n://bucket/logs/"
    assert described["Configurations"] == configurations
    assert (described["TerminationProtected"], described["AutoTerminate"]) == (False, False)

    client.add_tags(ResourceId=cluster.id, Tags=[{"Key": "run", "Value": "1"}])
    client.remove_tags(ResourceId=cluster.id, TagKeys=["team"])
    assert client.describe_cluster(ClusterId=cluster.id)["Cluster"]["Tags"] == [{"Key": "run", "Value": "1"}]


def test_fleets_have_their_capacity_when_the_cluster_runs(client: Any) -> None:
    cluster = Asked.for_cluster(client)
    cluster.reaches("WAITING")
    fleets = client.list_instance_fleets(ClusterId=cluster.id)["InstanceFleets"]
    assert [(each["InstanceFleetType"], each["Status"]["State"]) for each in fleets] == [
        ("MASTER", "RUNNING"),
        ("CORE", "RUNNING"),
    ]
    assert {each["ProvisionedOnDemandCapacity"] for each in fleets} == {1}
