"""A cluster's life: from STARTING through its steps, one at a time and in order, to TERMINATED.

Each cluster has its own thread. Threads and operations read and change clusters only under one condition that all
clusters share. ``step_runs`` runs the command of a step.
"""

import secrets
import string
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from fake_aws.machines import Machines, MachinesError
from fake_aws.misbehaviour import Misbehaviour, StepTrouble
from fake_aws.step_runs import StepRun
from fake_aws.steps import Step


@dataclass(frozen=True)
class Delays:
    """How many seconds things take: almost none, unless a test or demo needs to see the states between."""

    starting: float = 0.01
    bootstrapping: float = 0.01
    pending: float = 0.0
    """How long a step waits before it runs, if no other is before it."""
    terminating: float = 0.01
    logs: float = 0.0
    idle_second: float = 1.0
    """The length of a second of an auto-termination policy, which is at least 60 seconds."""


@dataclass(frozen=True)
class _Ending:
    code: str
    message: str
    with_errors: bool


def new_id(prefix: str) -> str:
    """An id in EMR's form."""
    return prefix + "".join(secrets.choice(string.ascii_uppercase + string.digits) for _ in range(13))


class Cluster:
    """One cluster; creating it starts it."""

    def __init__(
        self,
        request: Mapping[str, Any],
        delays: Delays,
        changed: threading.Condition,
        tell: Misbehaviour,
        machines: Machines,
    ) -> None:
        self.id = new_id("j-")
        self.request = request
        """The parameters of RunJobFlow."""
        self.created = time.time()
        self.ready: float | None = None
        self.ended: float | None = None
        self.state = "STARTING"
        self.steps: list[Step] = []
        self.tags = {tag["Key"]: tag.get("Value", "") for tag in request.get("Tags", [])}
        self.protected = bool(request["Instances"].get("TerminationProtected"))
        self.auto_termination = request.get("AutoTerminationPolicy")
        self.managed_scaling = request.get("ManagedScalingPolicy")
        self._delays = delays
        self._changed = changed
        self._tell = tell
        self._machines = machines
        self._trouble = tell.for_cluster()
        self._ending: _Ending | None = None
        self._stopped = False
        self._busy_until = time.monotonic()
        self.add_steps(request.get("Steps", []))
        self._thread = threading.Thread(target=self._live, name=self.id, daemon=True)
        self._thread.start()

    # What the operations do

    def add_steps(self, configs: list[Mapping[str, Any]]) -> list[str]:
        """Queue steps behind the existing ones."""
        with self._changed:
            added = [Step(new_id("s-"), config) for config in configs]
            for step in added:
                step.log_uri = self._log_uri(step)
            self.steps += added
            self._busy_until = time.monotonic()
            self._changed.notify_all()
            return [step.id for step in added]

    def cancel(self, step: Step, option: str) -> None:
        """Cancel a waiting step, or ask a running step to end."""
        with self._changed:
            if step.state == "PENDING":
                step.end("CANCELLED", "Cancelled by user request")
            elif self._tell.hanging_cancels:
                step.state = self._tell.hanging_cancels
            else:
                step.state, step.cancellation = "CANCEL_PENDING", option
            self._changed.notify_all()

    def end(self, code: str, message: str, *, with_errors: bool = False) -> None:
        """Let it terminate, with everything that runs on it."""
        with self._changed:
            if not self._ending:
                self._ending, self.state = _Ending(code, message, with_errors), "TERMINATING"
            self._changed.notify_all()

    def lose_worker(self) -> None:
        """Lose one of its workers of Spark."""
        with self._changed:
            self._machines.lose_worker()

    def stop(self) -> None:
        """End it at once, and return when none of its processes runs."""
        with self._changed:
            self._stopped = True
            self.end("USER_REQUEST", "the fake EMR was stopped")
        self._thread.join()

    @property
    def is_ending(self) -> bool:
        """Whether it accepts no more work."""
        return self._ending is not None

    @property
    def keeps_alive(self) -> bool:
        """Whether it waits for more steps when its steps are done."""
        return bool(self.request["Instances"].get("KeepJobFlowAliveWhenNoSteps"))

    @property
    def ending_reason(self) -> dict[str, str]:
        """The StateChangeReason."""
        return {"Code": self._ending.code, "Message": self._ending.message} if self._ending else {}

    # Its life

    def _live(self) -> None:
        self._sleep(self._delays.starting if self._trouble.starts else None, lambda: self._trouble.over)
        if self._trouble.validation_error:
            self.end("VALIDATION_ERROR", self._trouble.validation_error, with_errors=True)
        self._become("BOOTSTRAPPING")
        self._sleep(self._delays.bootstrapping)
        if self._trouble.bootstrap_failure:
            self.end("BOOTSTRAP_FAILURE", self._trouble.bootstrap_failure, with_errors=True)
        if not self.is_ending:
            self._start_machines()
        if not self.is_ending:
            self.ready, self._busy_until = time.time(), time.monotonic()
        while not self.is_ending:
            run = self._next_run()
            if run:
                self._machines.runner.run(run, lambda: self.is_ending)
                self._after(run.step)
            else:
                self._wait_for_work()
        with self._changed:
            self._machines.stop()
        self._terminate()

    def _start_machines(self) -> None:
        try:
            self._machines.start(self.request, self._log_folder("node"), lambda: self.is_ending)
        except MachinesError as error:
            self.end(error.code, str(error), with_errors=True)

    def _next_run(self) -> StepRun | None:
        """Take the first waiting step, if any; if it never starts, wait for it."""
        step = next((step for step in self.steps if step.state == "PENDING"), None)
        if step is None:
            return None
        self._become("RUNNING")
        trouble = self._tell.for_step()
        if not trouble.starts:
            self._sleep(None, lambda: trouble.over or step.state != "PENDING")
            trouble = StepTrouble()
        self._sleep(self._delays.pending, lambda: step.state != "PENDING")
        with self._changed:
            if step.state != "PENDING" or self.is_ending:
                return None
            step.state, step.started = trouble.shows, time.time()
            return StepRun(step, trouble, self.request.get("Configurations", []))

    def _after(self, step: Step) -> None:
        """Apply the end of a step to the cluster and to the steps behind it."""
        with self._changed:
            self._busy_until = time.monotonic()
            if step.state != "FAILED" or step.action_on_failure == "CONTINUE" or self.is_ending:
                return
            self._cancel_waiting("Cancelled since a step before it failed")
            # As on EMR, protection keeps a cluster that was created to stay.
            if step.action_on_failure != "CANCEL_AND_WAIT" and not (self.protected and self.keeps_alive):
                self.end("STEP_FAILURE", "Shut down as step failed", with_errors=True)

    def _wait_for_work(self) -> None:
        with self._changed:
            # Either may have come since the loop above looked, and nothing would wake the wait below.
            if self.is_ending or any(step.state == "PENDING" for step in self.steps):
                return
            if not self.keeps_alive:
                failed = any(step.state == "FAILED" for step in self.steps)
                self.end("ALL_STEPS_COMPLETED", "Steps completed with errors" if failed else "Steps completed")
                return
            self._become("WAITING")
            idle = self._idle_seconds_left()
            if idle is not None and idle <= 0:
                self.end("ALL_STEPS_COMPLETED", "Terminated since it was idle, by its auto-termination policy")
            else:
                # Until anything changes; then the loop above looks again.
                self._changed.wait(idle)

    def _idle_seconds_left(self) -> float | None:
        """None if it may be idle for ever, as a protected cluster may."""
        timeout = (self.auto_termination or {}).get("IdleTimeout")
        if timeout is None or self.protected:
            return None
        return self._busy_until + float(timeout) * self._delays.idle_second - time.monotonic()

    def _terminate(self) -> None:
        with self._changed:
            ending = self._ending
            self._cancel_waiting("Cluster terminated")
            self._changed.wait_for(lambda: self._stopped, self._delays.terminating)
            self.state = "TERMINATED_WITH_ERRORS" if ending and ending.with_errors else "TERMINATED"
            self.ended = time.time()
            self._changed.notify_all()

    def _cancel_waiting(self, message: str) -> None:
        for step in self.steps:
            if step.state == "PENDING":
                step.end("CANCELLED", message)

    def _become(self, state: str) -> None:
        with self._changed:
            # Notify only of a change: otherwise two waiting clusters would wake each other without end.
            if not self.is_ending and self.state != state:
                self.state = state
                self._changed.notify_all()

    def _sleep(self, seconds: float | None, enough: Callable[[], bool] = lambda: False) -> None:
        """Wait that long, or until the cluster ends, or until ``enough`` holds."""
        with self._changed:
            self._changed.wait_for(lambda: self.is_ending or enough(), seconds)

    def _log_uri(self, step: Step) -> str:
        own = step.config.get("StepMonitoringConfiguration", {}).get("S3MonitoringConfiguration", {}).get("LogUri")
        return self._log_folder(f"steps/{step.id}", own)

    def _log_folder(self, name: str, own: str | None = None) -> str:
        """A folder of its logs; empty if it keeps none."""
        base = own or self.request.get("LogUri")
        return f"{base.rstrip('/')}/{self.id}/{name}" if base else ""
