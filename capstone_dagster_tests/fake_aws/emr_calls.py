"""What a caller of EMR asks for: clients, small clusters, steps, and looks at where they stand."""

import functools
import os
from dataclasses import dataclass
from typing import Any

import boto3
import psutil
from botocore.config import Config

from capstone_dagster_tests.servers.processes import eventually

FLEETS = [
    {
        "InstanceFleetType": kind,
        "TargetOnDemandCapacity": 1,
        "InstanceTypeConfigs": [{"InstanceType": "m5.xlarge"}],
    }
    for kind in ("MASTER", "CORE")
]
INSTANCES = {"InstanceFleets": FLEETS, "KeepJobFlowAliveWhenNoSteps": True}
CLUSTER = {
    "Name": "a cluster",
    "ReleaseLabel": "emr-spark-8.1.0",
    "JobFlowRole": "instance-profile",
    "ServiceRole": "service-role",
    "Instances": INSTANCES,
}
FINAL = ("COMPLETED", "FAILED", "CANCELLED", "INTERRUPTED")


def client_of(endpoint: str) -> Any:
    """A client that tries once, and leaves it to the server to find mistakes."""
    config = Config(retries={"total_max_attempts": 1}, parameter_validation=False)
    return _session().client("emr", endpoint_url=endpoint, config=config)


@functools.cache
def _session() -> boto3.Session:
    return boto3.Session("loopback", "loopback", region_name="us-east-1")


def command(*arguments: str, action: str = "CONTINUE") -> dict[str, Any]:
    """A step that runs these arguments."""
    return {
        "Name": "a step",
        "ActionOnFailure": action,
        "HadoopJarStep": {"Jar": "command-runner.jar", "Args": list(arguments)},
    }


def bash(script: str, action: str = "CONTINUE") -> dict[str, Any]:
    """A step that runs a script."""
    return command("bash", "-c", script, action=action)


@dataclass(frozen=True)
class Asked:
    """A cluster as its caller sees it."""

    client: Any
    id: str

    @classmethod
    def for_cluster(cls, client: Any, *steps: dict[str, Any], **changes: Any) -> "Asked":
        return cls(client, client.run_job_flow(**{**CLUSTER, "Steps": list(steps), **changes})["JobFlowId"])

    def add(self, *steps: dict[str, Any]) -> list[str]:
        ids: list[str] = self.client.add_job_flow_steps(JobFlowId=self.id, Steps=list(steps))["StepIds"]
        return ids

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.client.describe_cluster(ClusterId=self.id)["Cluster"]["Status"]
        return status

    def reaches(self, *states: str, seconds: float = 180) -> dict[str, Any]:
        """The cluster's status, once it is in one of these states."""
        return eventually(self.status, lambda status: status["State"] in states, seconds=seconds)

    def step_status(self, step_id: str) -> dict[str, Any]:
        status: dict[str, Any] = self.client.describe_step(ClusterId=self.id, StepId=step_id)["Step"]["Status"]
        return status

    def step_reaches(self, step_id: str, *states: str, seconds: float = 180) -> dict[str, Any]:
        """The step's status, once it is in one of these states."""
        return eventually(lambda: self.step_status(step_id), lambda status: status["State"] in states, seconds=seconds)

    def ended(self, step_id: str) -> str:
        """The state in which the step ended."""
        return str(self.step_reaches(step_id, *FINAL)["State"])

    def step_ids(self) -> list[str]:
        """All of them, oldest first."""
        return [step["Id"] for step in self.client.list_steps(ClusterId=self.id)["Steps"]][::-1]


def living(group: int) -> list[int]:
    """The processes of a group; one that has ended and that nobody waited for does not count."""
    found = []
    for process in psutil.process_iter(["pid", "status"]):
        try:
            if os.getpgid(process.pid) == group and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except ProcessLookupError:
            continue
    return found
