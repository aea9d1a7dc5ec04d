"""Mistakes of a caller that EMR refuses, and the fake does too."""

from typing import Any

import pytest
from botocore.exceptions import ClientError

from capstone_dagster_tests.fake_aws.emr_calls import CLUSTER, FLEETS, INSTANCES, Asked, bash

MASTER, CORE = FLEETS
GROUPS = [{"InstanceRole": "MASTER", "InstanceType": "m5.xlarge", "InstanceCount": 1}]
# EMR's words are written small.
LOUD = {"OnDemandSpecification": {"AllocationStrategy": "LOWEST_PRICE"}}
CHEAPEST = {"OnDemandSpecification": {"AllocationStrategy": "lowest-price"}}
UNKNOWN = "j-0000000000000"
INSTALLING = {"Name": "install", "ScriptBootstrapAction": {"Path": "s3://bucket/install.sh"}}


def fleets(*fleets: dict[str, Any]) -> dict[str, Any]:
    return {"Instances": {"InstanceFleets": list(fleets)}}


def of_types(*types: str) -> dict[str, Any]:
    return CORE | {"InstanceTypeConfigs": [{"InstanceType": name} for name in types]}


def scaling(**changes: Any) -> dict[str, Any]:
    """A policy of 2 to 10 units, changed."""
    limits = {"UnitType": "InstanceFleetUnits", "MinimumCapacityUnits": 2, "MaximumCapacityUnits": 10}
    return {"ManagedScalingPolicy": {"ComputeLimits": limits | changes}}


def with_argument(argument: str) -> dict[str, Any]:
    return {**INSTALLING, "ScriptBootstrapAction": {"Path": "s3://bucket/install.sh", "Args": [argument]}}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"Name": None}, "Name"),
        ({"Instances": None}, "Instances"),
        ({"ReleaseLabel": "emr-spark-9.9"}, "The supplied release label is invalid: emr-spark-9.9"),
        ({"JobFlowRole": None}, "InstanceProfile is required"),
        ({"ServiceRole": None}, "ServiceRole is required"),
        ({"StepConcurrencyLevel": 2}, "StepConcurrencyLevel must be 1"),
        ({"AutoTerminationPolicy": {"IdleTimeout": 59}}, "between 60 and 604800"),
        ({"ManagedScalingPolicy": {}}, "needs ComputeLimits"),
        (scaling(UnitType="Instances"), "UnitType Instances does not fit"),
        (scaling(MinimumCapacityUnits=0), "MinimumCapacityUnits must be at least 1"),
        (scaling(MinimumCapacityUnits=11), "at most MaximumCapacityUnits"),
        (scaling(MaximumCoreCapacityUnits=11), "MaximumCoreCapacityUnits must be between 0 and MaximumCapacityUnits"),
        (scaling(UnitType="Machines"), "enum value set: [InstanceFleetUnits, Instances, VCPU]"),
        ({"Steps": [bash("true")] * 257}, "Maximum number of active steps"),
        ({"Steps": [bash("true", "IGNORE")]}, "'Steps.1.member.ActionOnFailure' failed to satisfy constraint"),
        ({"Steps": [{"Name": "no jar"}]}, "HadoopJarStep"),
        ({"Instances": INSTANCES | {"InstanceGroups": GROUPS}}, "mutually exclusive"),
        ({"Instances": {}}, "InstanceFleets, InstanceGroups"),
        ({"Instances": INSTANCES | {"Ec2SubnetId": "subnet-1", "Ec2SubnetIds": ["subnet-1"]}}, "mutually exclusive"),
        (
            {"Name": "x" * 257},
            "at 'Name' failed to satisfy constraint: Member must have length less than or equal to 256",
        ),
        (
            {"Steps": [bash("x" * 10_281)]},
            "Args.3.member' failed to satisfy constraint: Member must have length less than",
        ),
        ({"BootstrapActions": [with_argument("x" * 10_281)]}, "length less than or equal to 10280"),
        ({"Applications": [{"Name": "Sparc"}]}, "application 'Sparc' is not part of emr-spark-8.1.0"),
        ({"Applications": [{"Name": "Spark"}, {"Name": "Hive"}]}, "application 'Hive' is not part of emr-spark-8.1.0"),
        ({"BootstrapActions": [INSTALLING] * 17}, "at most 16 bootstrap actions"),
        ({"Tags": [{"Key": "aws:owner", "Value": "desk"}]}, "aws:owner begins with aws:"),
        (fleets(CORE), "exactly one MASTER"),
        (fleets(MASTER, CORE, CORE), "at most one"),
        (fleets(MASTER | {"TargetOnDemandCapacity": 2}), "capacity of 1"),
        (fleets(MASTER, CORE | {"TargetOnDemandCapacity": 0}), "CORE fleet needs a TargetOnDemandCapacity"),
        (fleets(MASTER, CORE | {"InstanceTypeConfigs": []}), "CORE fleet needs InstanceTypeConfigs"),
        (fleets(MASTER, of_types("m5.xlarge", "m55.xlarge")), "Instance type 'm55.xlarge' is not supported"),
        (
            {"Instances": {"InstanceGroups": [GROUPS[0] | {"InstanceType": "m5"}]}},
            "Instance type 'm5' is not supported",
        ),
        ({"Instances": {"MasterInstanceType": "big", "InstanceCount": 1}}, "Instance type 'big' is not supported"),
        (fleets(MASTER, of_types(*["m5.xlarge"] * 6)), "CORE fleet has 6 instance types, more than 5"),
        (
            fleets(MASTER, of_types(*["m5.xlarge"] * 31) | {"LaunchSpecifications": CHEAPEST}),
            "31 instance types, more than 30",
        ),
        (fleets(MASTER, CORE | {"LaunchSpecifications": LOUD}), "[lowest-price, prioritized]"),
    ],
)
def test_a_cluster_that_emr_would_not_make_is_refused(client: Any, changes: dict[str, Any], why: str) -> None:
    request = {name: value for name, value in (CLUSTER | changes).items() if value is not None}
    with pytest.raises(ClientError, match="ValidationException") as refused:
        client.run_job_flow(**request)
    assert why in refused.value.response["Error"]["Message"]
    assert client.list_clusters()["Clusters"] == []


def test_a_tag_that_is_awss_own_is_not_added_later_either(client: Any) -> None:
    cluster = Asked.for_cluster(client)

    with pytest.raises(ClientError, match="AWS:owner begins with aws:"):
        client.add_tags(ResourceId=cluster.id, Tags=[{"Key": "AWS:owner", "Value": "desk"}])


def test_a_cluster_of_groups_has_no_fleets(client: Any) -> None:
    cluster = Asked.for_cluster(client, Instances={"InstanceGroups": GROUPS})
    with pytest.raises(ClientError, match=r"InvalidRequestException.* mutually exclusive"):
        client.list_instance_fleets(ClusterId=cluster.id)


@pytest.mark.parametrize(
    ("operation", "parameters", "code"),
    [
        ("describe_cluster", {"ClusterId": UNKNOWN}, "InvalidRequestException"),
        ("list_steps", {"ClusterId": UNKNOWN}, "InvalidRequestException"),
        ("describe_step", {"ClusterId": UNKNOWN, "StepId": "s-0"}, "InvalidRequestException"),
        ("cancel_steps", {"ClusterId": UNKNOWN, "StepIds": ["s-0"]}, "InvalidRequestException"),
        ("list_instance_fleets", {"ClusterId": UNKNOWN}, "InvalidRequestException"),
        ("get_auto_termination_policy", {"ClusterId": UNKNOWN}, "InvalidRequestException"),
        ("get_managed_scaling_policy", {"ClusterId": UNKNOWN}, "InvalidRequestException"),
        ("add_tags", {"ResourceId": UNKNOWN, "Tags": []}, "InvalidRequestException"),
        # As EMR has it: what was called a job flow before it was called a cluster refuses otherwise.
        ("add_job_flow_steps", {"JobFlowId": UNKNOWN, "Steps": []}, "ValidationException"),
        ("terminate_job_flows", {"JobFlowIds": [UNKNOWN]}, "ValidationException"),
        (
            "set_termination_protection",
            {"JobFlowIds": [UNKNOWN], "TerminationProtected": True},
            "ValidationException",
        ),
    ],
)
def test_an_unknown_cluster_is_refused(client: Any, operation: str, parameters: dict[str, Any], code: str) -> None:
    with pytest.raises(ClientError, match=r"not valid") as refused:
        getattr(client, operation)(**parameters)
    assert refused.value.response["Error"]["Code"] == code


@pytest.mark.parametrize(
    ("operation", "parameters"), [("describe_step", {"StepId": "s-0"}), ("cancel_steps", {"StepIds": ["s-0"]})]
)
def test_an_unknown_step_is_refused(client: Any, operation: str, parameters: dict[str, Any]) -> None:
    cluster = Asked.for_cluster(client)
    with pytest.raises(ClientError, match="Step id 's-0' is not valid"):
        getattr(client, operation)(ClusterId=cluster.id, **parameters)


def test_more_steps_than_a_cluster_takes_are_refused(client: Any) -> None:
    cluster = Asked.for_cluster(client, bash("sleep 300"), *[bash("true")] * 254)
    cluster.add(bash("true"))
    with pytest.raises(ClientError, match="Maximum number of active steps"):
        cluster.add(bash("true"))


@pytest.mark.parametrize(
    ("operation", "parameters", "code"),
    [
        ("list_clusters", {"ClusterStates": ["SHINY"]}, "ValidationException"),
        ("list_clusters", {"Marker": "next"}, "InvalidRequestException"),
        ("list_studios", {}, "UnknownOperationException"),
    ],
)
def test_what_the_fake_cannot_answer_is_refused(
    client: Any, operation: str, parameters: dict[str, Any], code: str
) -> None:
    with pytest.raises(ClientError, match=code):
        getattr(client, operation)(**parameters)
