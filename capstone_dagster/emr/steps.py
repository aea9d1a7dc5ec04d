"""Steps of EMR: submitted once, described, cancelled. What a step runs is put together in ``launcher``."""

import gzip
import logging
import zlib
from dataclasses import dataclass
from typing import Any

from capstone_dagster.emr.api import Answer, Emr
from spark_code.locations import StorageError
from spark_code.storage import Storage

# Every other state, also one that EMR may add, is one that may still change.
ENDED = ("COMPLETED", "CANCELLED", "FAILED", "INTERRUPTED")
_STDERR_LINES = 20


@dataclass(frozen=True)
class Steps:
    """What the launcher asks of EMR, in the place of Dagster's own job runner."""

    emr: Emr

    def add_job_flow_steps(self, log: logging.Logger, cluster_id: str, step_defs: list[dict[str, Any]]) -> list[str]:
        """Submit one step; its name is unique, so one whose answer was lost is found and not submitted again."""
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
        """The step of that name."""
        steps = self.emr.pages("list_steps", "Steps", ClusterId=cluster_id)
        return next((str(step["Id"]) for step in steps if step["Name"] == name), None)

    def describe(self, cluster_id: str, step_id: str) -> Answer:
        """The step as EMR knows it."""
        step: Answer = self.emr.ask("describe_step", ClusterId=cluster_id, StepId=step_id)["Step"]
        return step

    def cancel(self, cluster_id: str, step_ids: list[str]) -> None:
        """End steps and their processes."""
        self.emr.ask("cancel_steps", ClusterId=cluster_id, StepIds=step_ids, StepCancellationOption="TERMINATE_PROCESS")


def log_folder(cluster: Answer, step_id: str) -> str | None:
    """Where EMR puts what the step printed; None if the cluster keeps no logs."""
    # EMR answers with the scheme of an old client of S3, and with or without a slash at the end.
    uri = (cluster.get("LogUri") or "").replace("s3n://", "s3://").rstrip("/")
    return f"{uri}/{cluster['Id']}/steps/{step_id}" if uri else None


def last_of_stderr(folder: str) -> str | None:
    """The last lines of the driver's standard error; None while they are not there."""
    try:
        packed = Storage(folder).read("stderr.gz")
        lines = gzip.decompress(packed).decode(errors="replace").splitlines() if packed else []
    except (StorageError, OSError, EOFError, zlib.error):  # logs are a courtesy: without them the reason still counts
        return None
    return "\n".join(line for line in lines[-_STDERR_LINES:] if line.strip()) or None
