"""EMR's rules for a cluster request beyond its shape, so that a caller finds a mistake here and not on AWS."""

import functools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from botocore.loaders import Loader

from fake_aws.errors import invalid_value

MAX_ACTIVE_STEPS = 256
_MOST_BOOTSTRAP_ACTIONS = 16
# Of a fleet: unless its request names an allocation strategy, and if it does.
_MOST_TYPES, _MOST_TYPES_WITH_STRATEGY = 5, 30

_RELEASES = re.compile(r"emr-(5|6|7)\.\d{1,2}\.\d|emr-spark-8\.\d{1,2}\.\d")
# Those of the releases for Spark alone, and what the others have besides.
_APPLICATIONS = re.compile(r"(?i)amazoncloudwatchagent|delta|hudi|iceberg|jupyterenterprisegateway|livy|spark")
_MORE_APPLICATIONS = re.compile(
    r"(?i)flink|ganglia|hadoop|hbase|hcatalog|hive|hue|jupyterhub|mahout|mxnet|oozie|phoenix|pig|presto|prestosql|sqoop|"
    r"tensorflow|tez|trino|zeppelin|zookeeper"
)
# A minute to seven days.
_IDLE_SECONDS = range(60, 604_801)


def check_cluster(request: Mapping[str, Any]) -> None:
    """Refuse a RunJobFlow that EMR would refuse."""
    check_release(request.get("ReleaseLabel", ""))
    _check_applications(request["ReleaseLabel"], request.get("Applications", []))
    if not request.get("JobFlowRole"):
        raise invalid_value("InstanceProfile is required for creating cluster.")
    if not request.get("ServiceRole"):
        raise invalid_value("ServiceRole is required for creating cluster.")
    check_concurrency(request)
    _check_instances(request["Instances"])
    check_auto_termination(request.get("AutoTerminationPolicy"))
    if (policy := request.get("ManagedScalingPolicy")) is not None:
        check_managed_scaling(policy, has_fleets=bool(request["Instances"].get("InstanceFleets")))
    check_number_of_steps(0, request.get("Steps", []))
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


def _check_applications(label: str, applications: Sequence[Mapping[str, Any]]) -> None:
    known = [_APPLICATIONS] if label.startswith("emr-spark-") else [_APPLICATIONS, _MORE_APPLICATIONS]
    for name in (application.get("Name", "") for application in applications):
        if not any(names.fullmatch(name) for names in known):
            raise invalid_value(f"The application {name!r} is not part of {label}.")


def check_concurrency(request: Mapping[str, Any]) -> None:
    """Refuse what EMR can do and the fake cannot."""
    if request.get("StepConcurrencyLevel", 1) != 1:
        raise invalid_value("The fake EMR runs one step at a time: StepConcurrencyLevel must be 1.")


def check_auto_termination(policy: Mapping[str, Any] | None) -> None:
    """Refuse an idle time that is out of EMR's range."""
    if policy is not None and policy.get("IdleTimeout", 0) not in _IDLE_SECONDS:
        raise invalid_value("The IdleTimeout of an auto-termination policy must be between 60 and 604800 seconds.")


def check_managed_scaling(policy: Mapping[str, Any], *, has_fleets: bool) -> None:
    """Refuse limits that cannot be kept, and units that the cluster does not have."""
    limits = policy.get("ComputeLimits")
    if not limits:
        raise invalid_value("A managed scaling policy needs ComputeLimits.")
    if has_fleets != (limits["UnitType"] == "InstanceFleetUnits"):
        raise invalid_value(f"The UnitType {limits['UnitType']} does not fit a cluster of this kind.")
    least, most = limits["MinimumCapacityUnits"], limits["MaximumCapacityUnits"]
    if not 1 <= least <= most:
        raise invalid_value("MinimumCapacityUnits must be at least 1, and at most MaximumCapacityUnits.")
    for name in ("MaximumOnDemandCapacityUnits", "MaximumCoreCapacityUnits"):
        if not 0 <= limits.get(name, 0) <= most:
            raise invalid_value(f"{name} must be between 0 and MaximumCapacityUnits.")


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
    own = [instances[name] for name in ("MasterInstanceType", "SlaveInstanceType") if instances.get(name)]
    configs = [config for fleet in fleets for config in fleet["InstanceTypeConfigs"]]
    for name in (*own, *(each["InstanceType"] for each in (*configs, *groups))):
        if name not in _instance_types():
            raise invalid_value(f"Instance type {name!r} is not supported.")


def _check_fleet(fleet: Mapping[str, Any]) -> None:
    kind = fleet["InstanceFleetType"]
    on_demand, spot = fleet.get("TargetOnDemandCapacity", 0), fleet.get("TargetSpotCapacity", 0)
    if not on_demand + spot:
        raise invalid_value(f"The {kind} fleet needs a TargetOnDemandCapacity or a TargetSpotCapacity above 0.")
    if kind == "MASTER" and on_demand + spot != 1:
        raise invalid_value("The MASTER fleet has a capacity of 1, on demand or spot.")
    types = fleet.get("InstanceTypeConfigs")
    if not types:
        raise invalid_value(f"The {kind} fleet needs InstanceTypeConfigs.")
    strategies = [each.get("AllocationStrategy") for each in fleet.get("LaunchSpecifications", {}).values()]
    most = _MOST_TYPES_WITH_STRATEGY if any(strategies) else _MOST_TYPES
    if len(types) > most:
        raise invalid_value(
            f"The {kind} fleet has {len(types)} instance types, more than {most}: with an AllocationStrategy up to "
            f"{_MOST_TYPES_WITH_STRATEGY}, without up to {_MOST_TYPES}."
        )


@functools.cache
def _instance_types() -> frozenset[str]:
    """The types that EC2 has; EMR takes almost all of them."""
    return frozenset(Loader().load_service_model("ec2", "service-2")["shapes"]["InstanceType"]["enum"])
