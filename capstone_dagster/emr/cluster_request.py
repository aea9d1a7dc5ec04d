"""The request for a new cluster: fleets, roles, packages, tags. ``cluster`` decides when to create one.

MASTER and CORE are on demand: without them the run is lost. TASK is on spot: its machines only compute.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

from capstone_dagster.emr import packages
from capstone_dagster.emr.attempt_folder import Versions
from capstone_dagster.emr_settings import EmrSettings
from capstone_dagster.setting_values import Fleet
from capstone_dagster.settings import CHECKOUT
from spark_code.storage import Storage

# The names of all clusters and steps of the platform begin with it; job id and run id follow.
NAME = "capstone"
RUN_TAG, TERMINATE_TAG = "capstone:run_id", "capstone:terminate"
# On somebody's own cluster, the run that has switched its protection on: it was off before.
PROTECTED_BY_TAG = "capstone:protected_by"
# Where the bootstrap action puts Python and the packages of the lock.
PYTHON = "/opt/capstone/venv/bin/python"

_BOOTSTRAP = CHECKOUT / "deploy" / "emr" / "bootstrap.sh"
# How long EMR goes on asking for spot machines before it takes machines on demand.
_SPOT_MINUTES = 10
_ROOT_GIB = 30
# The minimum of EMR.
_SHORTEST_IDLE_SECONDS = 60


@dataclass(frozen=True)
class Owner:
    """The run that a cluster or step belongs to."""

    run_id: str
    job_id: str


def creation(wanted: EmrSettings, owner: Owner, number: int, staging: Storage) -> dict[str, Any]:
    """The request for the run's cluster; ``number`` counts from 1 on, for the next one if a cluster was lost."""
    instances: dict[str, Any] = {
        "InstanceFleets": _fleets(wanted),
        "KeepJobFlowAliveWhenNoSteps": True,
        "TerminationProtected": wanted.protect,
        # Otherwise EMR keeps an unhealthy machine, such as one with a full disk, in a cluster that is protected.
        "UnhealthyNodeReplacement": True,
    }
    if wanted.subnets:
        instances["Ec2SubnetIds"] = list(wanted.subnets)
    tags = {
        RUN_TAG: owner.run_id,
        "capstone:job_id": owner.job_id,
        TERMINATE_TAG: str(wanted.terminate_cluster).lower(),
        # AWS's managed policy for EMR gives the service role rights only where this tag is.
        "for-use-with-amazon-emr-managed-policies": "true",
    }
    request = {
        "Name": f"{NAME} {owner.job_id} {owner.run_id} {number}",
        "ReleaseLabel": wanted.release,
        "Applications": [{"Name": "Spark"}],
        "Instances": instances,
        "ServiceRole": wanted.service_role,
        "JobFlowRole": wanted.instance_profile,
        "LogUri": f"{wanted.log_uri}/",
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
        "AutoTerminationPolicy": {"IdleTimeout": max(_SHORTEST_IDLE_SECONDS, round(wanted.idle_minutes * 60))},
        "BootstrapActions": [_bootstrap(wanted, staging)],
        "StepConcurrencyLevel": 1,
        # The packages and the logs of the machine are on it; EMR's default is 15 GiB.
        "EbsRootVolumeSize": _ROOT_GIB,
    }
    if wanted.max_machines:
        # Machines of CORE, which hold HDFS and the application master, stay as they are: TASK grows and shrinks.
        units = {"MinimumCapacityUnits": wanted.core_fleet.units, "MaximumCapacityUnits": wanted.max_machines}
        core = {"MaximumCoreCapacityUnits": wanted.core_fleet.units}
        request["ManagedScalingPolicy"] = {"ComputeLimits": {"UnitType": "InstanceFleetUnits", **units, **core}}
    if wanted.security_configuration:
        request["SecurityConfiguration"] = wanted.security_configuration
    return request


def _fleets(wanted: EmrSettings) -> list[dict[str, Any]]:
    def fleet(kind: str, wanted: Fleet, market: str, disks: dict[str, Any], **more: Any) -> dict[str, Any]:
        types = [{"InstanceType": name, "WeightedCapacity": 1, **disks} for name in wanted.types]
        return {
            "Name": kind,
            "InstanceFleetType": kind,
            f"Target{market}Capacity": wanted.units,
            "InstanceTypeConfigs": types,
            **more,
        }

    spot = {
        "SpotSpecification": {
            "AllocationStrategy": "price-capacity-optimized",
            "TimeoutDurationMinutes": _SPOT_MINUTES,
            "TimeoutAction": "SWITCH_TO_ON_DEMAND",
        }
    }
    # It is the default, but EMR allows more than five types in a fleet only if the request names it.
    cheapest = {"OnDemandSpecification": {"AllocationStrategy": "lowest-price"}}
    # What Spark sorts and exchanges is there; without a size, EMR chooses it by the type.
    volume = {"VolumeSpecification": {"VolumeType": "gp3", "SizeInGB": wanted.disk_gib}, "VolumesPerInstance": 1}
    disks = {"EbsConfiguration": {"EbsBlockDeviceConfigs": [volume]}} if wanted.disk_gib else {}
    fleets = [
        fleet("MASTER", wanted.master_fleet, "OnDemand", {}, LaunchSpecifications=cheapest),
        fleet("CORE", wanted.core_fleet, "OnDemand", disks, LaunchSpecifications=cheapest),
    ]
    if wanted.task_fleet.units:
        fleets.append(fleet("TASK", wanted.task_fleet, "Spot", disks, LaunchSpecifications=spot))
    return fleets


def _bootstrap(wanted: EmrSettings, staging: Storage) -> dict[str, Any]:
    """The bootstrap action that installs the packages of this checkout: host and cluster need the same."""
    script = wanted.bootstrap_uri or _staged(staging, "bootstrap", ".sh", _BOOTSTRAP.read_bytes())
    requirements = _staged(staging, "requirements", ".lock", packages.LOCK.read_bytes())
    arguments = [requirements, "--python", f"python{Versions.here().python}"]
    if staging.names(wheels := packages.folder())[1]:
        arguments += ["--wheels", staging.uri(wheels)]
    return {"Name": "install packages", "ScriptBootstrapAction": {"Path": script, "Args": arguments}}


def _staged(staging: Storage, stem: str, suffix: str, content: bytes) -> str:
    key = f"code/{stem}-{hashlib.sha256(content).hexdigest()}{suffix}"
    if staging.read(key) is None:
        staging.write(key, content)
    return staging.uri(key)
