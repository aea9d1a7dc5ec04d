"""Steps of EMR: submitted once, described, cancelled. ``launcher`` defines what a step runs."""

import gzip
import logging
import zlib
from dataclasses import dataclass
from typing import Any

from capstone_dagster.emr.api import Answer, Emr
from capstone_dagster.emr.cluster import log_uri
from spark_code.locations import StorageError
from spark_code.storage import Storage

# Every other state may still change, including one that EMR may add.
ENDED = ("COMPLETED", "CANCELLED", "FAILED", "INTERRUPTED")
_STDERR_LINES = 20


@dataclass(frozen=True)
class Steps:
    """The calls of the launcher about steps, in place of Dagster's own job runner."""

    emr: Emr

    def add_job_flow_steps(self, log: logging.Logger, cluster_id: str, step_defs: list[dict[str, Any]]) -> list[str]:
        """Submit one step; its name is unique, so a step whose answer was lost is found and not submitted again."""
        (step,) = step_defs
        submitted = self.emr.submit(
            "add_job_flow_steps",
            lambda: self.find(cluster_id, step["Name"]),
            lambda answer: str(answer["StepIds"][0]),
            JobFlowId=cluster_id,
            Steps=[step],
        )
        log.info("EMR: submitted step %s to cluster %s", submitted, cluster_id)
        return [submitted]

    def find(self, cluster_id: str, name: str) -> str | None:
        """The id of the step with that name."""
        steps = self.emr.pages("list_steps", "Steps", ClusterId=cluster_id)
        return next((str(step["Id"]) for step in steps if step["Name"] == name), None)

    def describe(self, cluster_id: str, step_id: str) -> Answer:
        """EMR's description of the step."""
        step: Answer = self.emr.ask("describe_step", ClusterId=cluster_id, StepId=step_id)["Step"]
        return step

    def cancel(self, cluster_id: str, step_ids: list[str]) -> None:
        """End steps and their processes."""
        self.emr.ask("cancel_steps", ClusterId=cluster_id, StepIds=step_ids, StepCancellationOption="TERMINATE_PROCESS")


def log_folder(cluster: Answer, step_id: str) -> str | None:
    """The folder of the step's logs; None if the cluster keeps no logs."""
    uri = log_uri(cluster)
    return f"{uri}/steps/{step_id}" if uri else None


def last_of_stderr(folder: str) -> str | None:
    """The last lines of the driver's standard error; None if they are not there yet."""
    try:
        packed = Storage(folder).read("stderr.gz")
        lines = gzip.decompress(packed).decode(errors="replace").splitlines() if packed else []
    except (StorageError, OSError, EOFError, zlib.error):  # the failure has a reason without its log, too
        return None
    return "\n".join(line for line in lines[-_STDERR_LINES:] if line.strip()) or None
