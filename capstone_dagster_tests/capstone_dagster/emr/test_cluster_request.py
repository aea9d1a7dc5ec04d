"""What a new cluster is made of, as EMR is asked for it."""

import hashlib
from typing import Any

import pytest

from capstone_dagster.emr import packages
from capstone_dagster.emr.api import Emr
from capstone_dagster.emr.attempt_folder import Versions
from capstone_dagster.emr.cluster_request import Owner, creation
from capstone_dagster.settings import CHECKOUT, Settings
from capstone_dagster_tests.servers.s3_server import VERSIONED, s3_client, uri_of
from fake_aws.emr import FakeEmr
from spark_code.storage import Storage

OWNER = Owner(run_id="5e0c9a4e-run", job_id="preprocessing_2020-08-05")
PLACES = {
    "CAPSTONE_DEPLOYMENT": "emr",
    "CAPSTONE_RAW_URI": "s3://bucket/raw",
    "CAPSTONE_LAKE_URI": "s3://bucket/lake",
    "CAPSTONE_EMR_STAGING_URI": "s3://bucket/staging",
}
EVERYTHING = {
    "CAPSTONE_EMR_TASK_FLEET": "4xm6i.xlarge,r6i.xlarge",
    "CAPSTONE_EMR_SUBNETS": "subnet-1,subnet-2",
    "CAPSTONE_EMR_SECURITY_CONFIGURATION": "encrypted",
    "CAPSTONE_EMR_BOOTSTRAP_URI": "s3://bucket/own.sh",
    "CAPSTONE_EMR_IDLE_MINUTES": "0.1",
    "CAPSTONE_EMR_LOG_URI": "s3://logs/emr/",
    "CAPSTONE_EMR_TERMINATE_CLUSTER": "false",
    "CAPSTONE_EMR_DISK_GIB": "250",
    "CAPSTONE_EMR_MAX_MACHINES": "20",
    "CAPSTONE_EMR_PROTECT": "false",
}


def request_of(staging: Storage, **variables: str) -> dict[str, Any]:
    wanted = Settings.from_mapping(PLACES | variables).emr
    assert wanted
    return creation(wanted, OWNER, 2, staging)


@pytest.fixture
def staging(request: pytest.FixtureRequest) -> Storage:
    """Below a bucket that keeps every version, so that a second upload shows."""
    return Storage(uri_of(VERSIONED, request))


def key_of(stem: str, suffix: str, *path: str) -> str:
    return f"code/{stem}-{hashlib.sha256(CHECKOUT.joinpath(*path).read_bytes()).hexdigest()}{suffix}"


def test_without_a_wish_it_is_this(staging: Storage) -> None:
    bootstrap, requirements = (
        key_of("bootstrap", ".sh", "deploy", "emr", "bootstrap.sh"),
        key_of("requirements", ".lock", "deploy", "runtime.lock"),
    )
    machines = [{"InstanceType": name, "WeightedCapacity": 1} for name in ("m6i.xlarge", "m5.xlarge")]
    on_demand = {"OnDemandSpecification": {"AllocationStrategy": "lowest-price"}}

    assert request_of(staging) == {
        "Name": "capstone preprocessing_2020-08-05 5e0c9a4e-run 2",
        "ReleaseLabel": "emr-spark-8.1.0",
        "Applications": [{"Name": "Spark"}],
        "Instances": {
            "InstanceFleets": [
                {
                    "Name": kind,
                    "InstanceFleetType": kind,
                    "TargetOnDemandCapacity": units,
                    "InstanceTypeConfigs": machines,
                    "LaunchSpecifications": on_demand,
                }
                for kind, units in (("MASTER", 1), ("CORE", 2))
            ],
            "KeepJobFlowAliveWhenNoSteps": True,
            "TerminationProtected": True,
            "UnhealthyNodeReplacement": True,
        },
        "ServiceRole": "EMR_DefaultRole",
        "JobFlowRole": "EMR_EC2_DefaultRole",
        "LogUri": "s3://bucket/staging/logs/",
        "Tags": [
            {"Key": "capstone:run_id", "Value": "5e0c9a4e-run"},
            {"Key": "capstone:job_id", "Value": "preprocessing_2020-08-05"},
            {"Key": "capstone:terminate", "Value": "true"},
            {"Key": "for-use-with-amazon-emr-managed-policies", "Value": "true"},
        ],
        "AutoTerminationPolicy": {"IdleTimeout": 1800},
        "BootstrapActions": [
            {
                "Name": "install packages",
                "ScriptBootstrapAction": {
                    "Path": f"{staging.root}/{bootstrap}",
                    "Args": [f"{staging.root}/{requirements}", "--python", f"python{Versions.here().python}"],
                },
            }
        ],
        "StepConcurrencyLevel": 1,
        "EbsRootVolumeSize": 30,
    }
    assert staging.read(bootstrap) == (CHECKOUT / "deploy" / "emr" / "bootstrap.sh").read_bytes()
    assert staging.read(requirements) == (CHECKOUT / "deploy" / "runtime.lock").read_bytes()


def test_kept_wheels_are_installed(staging: Storage) -> None:
    staging.write(f"{packages.folder()}/x86_64.tar", b"")

    arguments = request_of(staging)["BootstrapActions"][0]["ScriptBootstrapAction"]["Args"]

    assert arguments[-2:] == ["--wheels", staging.uri(packages.folder())]


def test_every_wish_is_heard(staging: Storage) -> None:
    request = request_of(staging, **EVERYTHING)
    volume = {"VolumeSpecification": {"VolumeType": "gp3", "SizeInGB": 250}, "VolumesPerInstance": 1}
    disk = {"EbsConfiguration": {"EbsBlockDeviceConfigs": [volume]}}

    assert request["Instances"]["InstanceFleets"][2] == {
        "Name": "TASK",
        "InstanceFleetType": "TASK",
        "TargetSpotCapacity": 4,
        "InstanceTypeConfigs": [
            {"InstanceType": "m6i.xlarge", "WeightedCapacity": 1, **disk},
            {"InstanceType": "r6i.xlarge", "WeightedCapacity": 1, **disk},
        ],
        "LaunchSpecifications": {
            "SpotSpecification": {
                "AllocationStrategy": "price-capacity-optimized",
                "TimeoutDurationMinutes": 10,
                "TimeoutAction": "SWITCH_TO_ON_DEMAND",
            }
        },
    }
    first_types = [fleet["InstanceTypeConfigs"][0] for fleet in request["Instances"]["InstanceFleets"]]
    by_fleet = [first.get("EbsConfiguration") for first in first_types]
    assert by_fleet == [None, *[disk["EbsConfiguration"]] * 2]  # the primary node computes nothing
    assert request["ManagedScalingPolicy"] == {
        "ComputeLimits": {
            "UnitType": "InstanceFleetUnits",
            "MinimumCapacityUnits": 2,
            "MaximumCapacityUnits": 20,
            "MaximumCoreCapacityUnits": 2,
        }
    }
    assert request["Instances"]["TerminationProtected"] is False
    assert request["Instances"]["Ec2SubnetIds"] == ["subnet-1", "subnet-2"]
    assert request["SecurityConfiguration"] == "encrypted"
    assert request["BootstrapActions"][0]["ScriptBootstrapAction"]["Path"] == "s3://bucket/own.sh"
    assert request["AutoTerminationPolicy"] == {"IdleTimeout": 60}  # EMR refuses less
    assert request["LogUri"] == "s3://logs/emr/"
    assert {"Key": "capstone:terminate", "Value": "false"} in request["Tags"]


def test_script_and_requirements_are_uploaded_once(staging: Storage) -> None:
    for _ in range(2):
        request_of(staging)

    bucket, _, prefix = staging.root.removeprefix("s3://").partition("/")
    puts = [version["Key"] for version in s3_client().list_object_versions(Bucket=bucket)["Versions"]]
    assert sorted(puts) == [
        f"{prefix}/{key_of('bootstrap', '.sh', 'deploy', 'emr', 'bootstrap.sh')}",
        f"{prefix}/{key_of('requirements', '.lock', 'deploy', 'runtime.lock')}",
    ]


@pytest.mark.parametrize("variables", [{}, EVERYTHING], ids=["without a wish", "with every wish"])
def test_emr_accepts_it(
    emr: FakeEmr, staging: Storage, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_EMR", emr.endpoint)

    made = Emr("us-east-1", 1).ask("run_job_flow", **request_of(staging, **variables))["JobFlowId"]

    described = Emr("us-east-1", 1).ask("describe_cluster", ClusterId=made)["Cluster"]
    assert (described["TerminationProtected"], described["AutoTerminate"]) == (not variables, False)
    assert emr.cluster(made).tags["capstone:run_id"] == "5e0c9a4e-run"
