"""Runs one step: its command, its cancellation, its trouble, and its logs."""

import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fake_aws.emr_image import EmrImage, StepRefused
from fake_aws.misbehaviour import StepTrouble
from fake_aws.process_group import ProcessGroup
from fake_aws.script_runner import with_script
from fake_aws.step_logs import StepLogs
from fake_aws.steps import FINAL, Step

# Seconds between two checks of a command.
POLL = 0.02


@dataclass(frozen=True)
class StepRun:
    """A step that is to run now."""

    step: Step
    trouble: StepTrouble
    configurations: Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class StepRunner:
    """Runs steps to their end, each in a temporary folder."""

    image: EmrImage
    logs: StepLogs
    changed: threading.Condition

    def run(self, run: StepRun, cluster_ends: Callable[[], bool]) -> None:
        """Run the step, and let it end."""
        with tempfile.TemporaryDirectory(prefix="emr-step-", ignore_cleanup_errors=True) as name:
            folder = Path(name)
            exit_code = self._exit_code(run, folder, cluster_ends) if run.trouble.runs else 0
            if run.step.log_uri:
                self.logs.publish(folder, run.step.log_uri)
            self._end(run, exit_code, cluster_ends)

    def _exit_code(self, run: StepRun, folder: Path, cluster_ends: Callable[[], bool]) -> int:
        controller = folder / "controller"
        controller.write_text(f"INFO startExec {run.step.config['HadoopJarStep']}\n")
        try:
            process = self._start(run, folder)
        except (StepRefused, OSError) as error:
            (folder / "stderr").write_text(f"{error}\n")
            return 1
        exit_code = self._watch(run, process, cluster_ends)
        with controller.open("a") as file:
            file.write(f"INFO waitProcessCompletion ended with exit code {exit_code}\n")
        return exit_code

    def _start(self, run: StepRun, folder: Path) -> ProcessGroup:
        jar = with_script(run.step.config["HadoopJarStep"], self.image.s3_endpoint, folder)
        command = self.image.command(jar, run.configurations)
        self.image.write_settings(folder / "conf", run.configurations)
        (folder / "tmp").mkdir()
        process = ProcessGroup(command, self.image.environment(folder), folder)
        run.step.pid = process.pid
        return process

    def _watch(self, run: StepRun, process: ProcessGroup, cluster_ends: Callable[[], bool]) -> int:
        """Wait until the command has ended, by itself or because it was cancelled."""
        deadline = time.monotonic() + run.trouble.kill_after if run.trouble.kill_after is not None else None
        interrupted_for = None
        while (exit_code := process.exit_code()) is None:
            with self.changed:
                wish = run.step.cancellation
                if cluster_ends() or wish == "TERMINATE_PROCESS" or (deadline and time.monotonic() >= deadline):
                    process.kill()
                elif wish != interrupted_for:
                    interrupted_for = wish
                    process.interrupt()
                else:
                    self.changed.wait(POLL)
        return exit_code

    def _end(self, run: StepRun, exit_code: int, cluster_ends: Callable[[], bool]) -> None:
        step, trouble = run.step, run.trouble
        with self.changed:
            if trouble.ends and trouble.ends not in FINAL and not step.cancellation:
                step.state = trouble.ends
                self.changed.notify_all()
                self.changed.wait_for(lambda: cluster_ends() or trouble.over or step.cancellation)
            if cluster_ends():
                step.end("INTERRUPTED", "Cluster terminated")
            elif step.cancellation:
                step.end("CANCELLED", "Cancelled by user request")
            elif trouble.ends in FINAL:
                step.end(trouble.ends, "" if trouble.ends == "FAILED" else trouble.message)
            else:
                step.end("FAILED" if exit_code else "COMPLETED")
            if step.state == "FAILED":
                step.failure = _failure_details(step, trouble)
            self.changed.notify_all()


def _failure_details(step: Step, trouble: StepTrouble) -> dict[str, str]:
    """EMR does not know why a driver failed, so it says almost nothing: the reason is in the log."""
    details = {
        "Reason": trouble.reason or "Unknown Error.",
        "Message": trouble.message,
        "LogFile": f"{step.log_uri}/stderr.gz" if step.log_uri else "",
    }
    return {name: value for name, value in details.items() if value}
