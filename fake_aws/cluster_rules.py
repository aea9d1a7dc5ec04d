"""EMR's rules for a cluster request beyond its shape, so that a caller finds a mistake here and not on AWS."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from fake_aws.errors import invalid_value

MAX_ACTIVE_STEPS = 256
_LONGEST_NAME, _MOST_BOOTSTRAP_ACTIONS = 256, 16

_RELEASES = re.compile(r"emr-(5|6|7)\.\d{1,2}\.\d|emr-spark-8\.\d{1,2}\.\d")
# A minute to seven days.
_IDLE_SECONDS = range(60, 604_801)


def check_cluster(request: Mapping[str, Any]) -> None:
    """Refuse a RunJobFlow that EMR would refuse."""
    check_release(request.get("ReleaseLabel", ""))
    if not request.get("JobFlowRole"):
        raise invalid_value("InstanceProfile is required for creating cluster.")
    if not request.get("ServiceRole"):
        raise invalid_value("ServiceRole is required for creating cluster.")
    check_concurrency(request)
    _check_instances(request["Instances"])
    check_auto_termination(request.get("AutoTerminationPolicy"))
    check_number_of_steps(0, request.get("Steps", []))
    if len(request["Name"]) > _LONGEST_NAME:
        raise invalid_value(f"The name of a cluster has at most {_LONGEST_NAME} characters.")
    if len(request.get("BootstrapActions", [])) > _MOST_BOOTSTRAP_ACTIONS:
        raise invalid_value(f"A cluster has at most {_MOST_BOOTSTRAP_ACTIONS} bootstrap actions.")
    check_tags(request.get("Tags", []))


def check_tags(tags: Sequence[Mapping[str, Any]]) -> None:
    """Refuse keys that are AWS's own."""
    for tag in tags:
        if tag["Key"].lower().startswith("aws:"):
            raise invalid_value(f"The tag key {tag['Key']} begins with aws:, which is reserved.")


def check_release(label: str) -> None:
    """Refuse a release that has never been."""
    if not _RELEASES.fullmatch(label):
        raise invalid_value(f"The supplied release label is invalid: {label}.")


def check_concurrency(request: Mapping[str, Any]) -> None:
    """Refuse what EMR can do and the fake cannot."""
    if request.get("StepConcurrencyLevel", 1) != 1:
        raise invalid_value("The fake EMR runs one step at a time: StepConcurrencyLevel must be 1.")


def check_auto_termination(policy: Mapping[str, Any] | None) -> None:
    """Refuse an idle time that is out of EMR's range."""
    if policy is not None and policy.get("IdleTimeout", 0) not in _IDLE_SECONDS:
        raise invalid_value("The IdleTimeout of an auto-termination policy must be between 60 and 604800 seconds.")


def check_number_of_steps(active: int, added: Sequence[Mapping[str, Any]]) -> None:
    """Refuse more steps than a cluster accepts."""
    if active + len(added) > MAX_ACTIVE_STEPS:
        raise invalid_value(
            "Maximum number of active steps(State = 'Running', 'Pending' or 'Cancel_Pending') for cluster exceeded."
        )


def _check_instances(instances: Mapping[str, Any]) -> None:
    if instances.get("Ec2SubnetId") and instances.get("Ec2SubnetIds"):
        raise invalid_value("Ec2SubnetId and Ec2SubnetIds are mutually exclusive.")
    groups, fleets = instances.get("InstanceGroups", []), instances.get("InstanceFleets", [])
    uniform = groups or any(instances.get(name) for name in ("MasterInstanceType", "SlaveInstanceType"))
    if fleets and uniform:
        raise invalid_value("Instance fleets and instance groups are mutually exclusive.")
    if not fleets and not uniform:
        raise invalid_value("Instances must name InstanceFleets, InstanceGroups or a MasterInstanceType.")
    types = [each.get("InstanceFleetType") or each.get("InstanceRole") for each in (*fleets, *groups)]
    if types.count("MASTER") != 1 and (fleets or groups):
        raise invalid_value("A cluster needs exactly one MASTER instance fleet or group.")
    if types.count("CORE") > 1 or (fleets and types.count("TASK") > 1):
        raise invalid_value("A cluster has at most one instance fleet or group of a type.")
    for fleet in fleets:
        _check_fleet(fleet)


def _check_fleet(fleet: Mapping[str, Any]) -> None:
    kind = fleet["InstanceFleetType"]
    on_demand, spot = fleet.get("TargetOnDemandCapacity", 0), fleet.get("TargetSpotCapacity", 0)
    if not on_demand + spot:
        raise invalid_value(f"The {kind} fleet needs a TargetOnDemandCapacity or a TargetSpotCapacity above 0.")
    if kind == "MASTER" and on_demand + spot != 1:
        raise invalid_value("The MASTER fleet has a capacity of 1, on demand or spot.")
    if not fleet.get("InstanceTypeConfigs"):
        raise invalid_value(f"The {kind} fleet needs InstanceTypeConfigs.")
