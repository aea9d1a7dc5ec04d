"""What the fake EMR can be told to do wrong, in steps, clusters and calls.

A test uses ``FakeEmr.tell``, another process the same names over HTTP (``emr_server``). Each method adds one trouble
for the next steps, clusters or calls. This module does not know how a step runs.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["throttle", "internal error", "no body", "lost answer"]


@dataclass
class StepTrouble:
    """How one step differs from what its command would do."""

    starts: bool = True
    """False: it stays PENDING."""
    runs: bool = True
    """False: its command does not run."""
    shows: str = "RUNNING"
    """Its state while it runs."""
    kill_after: float | None = None
    """Seconds after which its command is killed."""
    ends: str | None = None
    """Its last state, instead of the one for its exit code; if that is not a final state, the step stays in it."""
    reason: str = ""
    message: str = ""
    over: bool = False
    """True after `Misbehaviour.relent`: a stuck step goes on."""


@dataclass
class ClusterTrouble:
    """How one cluster differs from a healthy one."""

    starts: bool = True
    """False: it stays STARTING."""
    validation_error: str = ""
    bootstrap_failure: str = ""
    over: bool = False


@dataclass
class CallTrouble:
    """How calls of some operations, or of all, are answered."""

    kind: Kind
    operations: tuple[str, ...]
    calls: int | None
    until: float | None
    status: int = 500

    def is_over(self) -> bool:
        """Whether its number of calls or its time is used up."""
        return self.calls == 0 or (self.until is not None and time.monotonic() >= self.until)


class Misbehaviour:
    """The troubles that wait for a step, a cluster or a call."""

    def __init__(
        self,
        changed: threading.Condition,
        lose: Callable[[str | None, str], None],
        lose_worker: Callable[[str | None], None],
    ) -> None:
        self._changed = changed
        self._lose = lose
        self._lose_worker = lose_worker
        self._steps: list[StepTrouble] = []
        self._clusters: list[ClusterTrouble] = []
        self._calls: list[CallTrouble] = []
        self._taken: list[StepTrouble | ClusterTrouble] = []
        self.hanging_cancels: str | None = None

    # Steps

    def fail_next_steps(
        self,
        count: int = 1,
        *,
        reason: str = "Unknown Error.",
        message: str = "",
        runs: bool = False,
        after: float | None = None,
    ) -> None:
        """FAILED, by default without running; with `runs` after it, with `after` killed that many seconds later."""
        for _ in range(count):
            self._add_step(
                StepTrouble(
                    runs=runs or after is not None, kill_after=after, ends="FAILED", reason=reason, message=message
                )
            )

    def end_next_step(self, state: str, *, runs: bool = False, message: str = "") -> None:
        """Let it end in CANCELLED or INTERRUPTED, or stay in RUNNING, CANCEL_PENDING or an unknown state."""
        self._add_step(StepTrouble(runs=runs, ends=state, message=message))

    def hang_next_step(self) -> None:
        """RUNNING for ever, without a command."""
        self._add_step(StepTrouble(runs=False, ends="RUNNING"))

    def never_start_next_step(self) -> None:
        """PENDING for ever, and all steps behind it."""
        self._add_step(StepTrouble(starts=False))

    def show_next_step(self, state: str) -> None:
        """Show this state while the step runs, then go on as usual."""
        self._add_step(StepTrouble(shows=state))

    def hang_cancels(self, shows: str = "CANCEL_PENDING") -> None:
        """Accept cancellations of running steps and let their commands go on, until `relent`."""
        with self._changed:
            self.hanging_cancels = shows

    # Clusters

    def never_start_next_cluster(self) -> None:
        """STARTING for ever."""
        self._add_cluster(ClusterTrouble(starts=False))

    def refuse_next_cluster(self, message: str = "The instance type is not supported in the subnet") -> None:
        """TERMINATED_WITH_ERRORS while it starts, with VALIDATION_ERROR."""
        self._add_cluster(ClusterTrouble(validation_error=message))

    def fail_next_bootstrap(self, message: str = "On the master instance, bootstrap action 1 returned 1") -> None:
        """TERMINATED_WITH_ERRORS instead of its first step."""
        self._add_cluster(ClusterTrouble(bootstrap_failure=message))

    def lose_cluster(self, cluster_id: str | None = None, message: str = "Spot instances were reclaimed") -> None:
        """TERMINATED_WITH_ERRORS at once, with all commands killed: this cluster, or all active ones."""
        self._lose(cluster_id, message)

    def lose_worker(self, cluster_id: str | None = None) -> None:
        """Kill one Spark worker with its executors: of this cluster, or of each; steps go on with the others."""
        self._lose_worker(cluster_id)

    # Calls

    def throttle(self, *operations: str, calls: int | None = None, seconds: float | None = None) -> None:
        """ThrottlingException for these operations or all: that many calls, that long, or until `relent`."""
        self._add_calls("throttle", operations, calls, seconds, 400)

    def break_calls(self, *operations: str, calls: int | None = 1, status: int = 500, body: bool = True) -> None:
        """An internal error with EMR's message, or with `body=False` only a status, as a gateway sends it."""
        self._add_calls("internal error" if body else "no body", operations, calls, None, status)

    def lose_answers(self, *operations: str, calls: int | None = 1) -> None:
        """Carry the call out, and drop the connection instead of answering."""
        self._add_calls("lost answer", operations, calls, None, 0)

    def relent(self) -> None:
        """Behave from now on: drop all troubles, and let stuck steps and clusters go on."""
        with self._changed:
            self._steps.clear()
            self._clusters.clear()
            self._calls.clear()
            self.hanging_cancels = None
            for trouble in self._taken:
                trouble.over = True
            self._taken.clear()
            self._changed.notify_all()

    # What the server and its clusters ask

    def for_step(self) -> StepTrouble:
        """The trouble of the step that is about to start."""
        with self._changed:
            trouble = self._steps.pop(0) if self._steps else StepTrouble()
            self._taken.append(trouble)
            return trouble

    def for_cluster(self) -> ClusterTrouble:
        """The trouble of the cluster that is about to be created."""
        with self._changed:
            trouble = self._clusters.pop(0) if self._clusters else ClusterTrouble()
            self._taken.append(trouble)
            return trouble

    def for_call(self, operation: str) -> CallTrouble | None:
        """The trouble of this call; counts the call."""
        with self._changed:
            self._calls = [trouble for trouble in self._calls if not trouble.is_over()]
            for trouble in self._calls:
                if not trouble.operations or operation in trouble.operations:
                    if trouble.calls is not None:
                        trouble.calls -= 1
                    return trouble
            return None

    def _add_step(self, trouble: StepTrouble) -> None:
        with self._changed:
            self._steps.append(trouble)

    def _add_cluster(self, trouble: ClusterTrouble) -> None:
        with self._changed:
            self._clusters.append(trouble)

    def _add_calls(
        self, kind: Kind, operations: tuple[str, ...], calls: int | None, seconds: float | None, status: int
    ) -> None:
        until = None if seconds is None else time.monotonic() + seconds
        with self._changed:
            self._calls.append(CallTrouble(kind, operations, calls, until, status))
