"""The machines of a cluster: what runs on them before its first step, and beside its steps.

That is nothing, unless the fake is asked for bootstrap actions that really run or for workers of Spark. All machines
are this one, so a bootstrap action runs once, as on the primary node.
"""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fake_aws.emr_image import StepRefused
from fake_aws.process_group import ProcessGroup
from fake_aws.script_runner import fetched
from fake_aws.spark_cluster import SparkCluster, SparkStartError
from fake_aws.step_runs import POLL, StepRunner


def instance_id(number: int) -> str:
    """EC2's name of a cluster's machine; the primary node is the first."""
    return f"i-{number:017}"


class MachinesError(Exception):
    """The machines are not ready, and the cluster must end with this code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class MachineOptions:
    """What machines of the fake have."""

    local_master: str = "local[2]"
    """The Spark master that steps use instead of YARN, unless there are workers."""
    workers: int = 0
    """How many workers the Spark cluster of each cluster has; 0: there is none, and each step is one process."""
    bootstrap: bool = False
    """Whether bootstrap actions really run."""


class Machines:
    """The machines of one cluster."""

    def __init__(self, runner: StepRunner, options: MachineOptions) -> None:
        self.runner = runner
        """Runs steps on them."""
        self._options = options
        self._folder = tempfile.TemporaryDirectory(prefix="emr-machines-", ignore_cleanup_errors=True)
        self._spark: SparkCluster | None = None

    def start(self, request: Mapping[str, Any], log_uri: str, cluster_ends: Callable[[], bool]) -> None:
        """Return when the first step may run."""

        def pause() -> None:
            with self.runner.changed:
                if cluster_ends():
                    raise MachinesError("USER_REQUEST", "Cluster terminated")
                self.runner.changed.wait(POLL)

        if self._options.bootstrap:
            self._bootstrap(request.get("BootstrapActions", []), log_uri, pause)
        if self._options.workers:
            self._spark = SparkCluster(self.runner.image, Path(self._folder.name))
            try:
                self._spark.start(self._options.workers, pause)
            except SparkStartError as error:
                raise MachinesError("INTERNAL_ERROR", str(error)) from error
            self.runner = replace(self.runner, image=replace(self.runner.image, local_master=self._spark.master))

    def lose_worker(self) -> None:
        """Kill a worker of Spark, if there is one."""
        if self._spark:
            self._spark.lose_worker()

    def stop(self) -> None:
        """End every process that is left."""
        if self._spark:
            self._spark.stop()
        self._folder.cleanup()

    def _bootstrap(self, actions: Sequence[Mapping[str, Any]], log_uri: str, pause: Callable[[], None]) -> None:
        """Run the actions in their order, until one fails."""
        primary = instance_id(1)
        for number, action in enumerate(actions, start=1):
            folder = Path(self._folder.name, f"bootstrap-action-{number}")
            (folder / "tmp").mkdir(parents=True)
            try:
                exit_code = self._run(action["ScriptBootstrapAction"], folder, pause)
            except (StepRefused, OSError) as error:
                (folder / "stderr").write_text(f"{error}\n")
                exit_code = 1
            if log_uri:
                self.runner.logs.publish(folder, f"{log_uri}/{primary}/bootstrap-actions/{number}")
            if exit_code:
                message = (
                    f"On the master instance ({primary}), bootstrap action {number} returned a non-zero return code"
                )
                raise MachinesError("BOOTSTRAP_FAILURE", message)

    def _run(self, script: Mapping[str, Any], folder: Path, pause: Callable[[], None]) -> int:
        image = self.runner.image
        command = [str(fetched(script["Path"], image.s3_endpoint, folder)), *script.get("Args", [])]
        process = ProcessGroup(command, image.environment(folder), folder)
        try:
            while (exit_code := process.exit_code()) is None:
                pause()
        except MachinesError:
            process.kill()
            raise
        return exit_code
