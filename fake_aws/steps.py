"""One step: its request, its state, and EMR's description of it."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# States in which a step counts as active.
ACTIVE = ("PENDING", "RUNNING", "CANCEL_PENDING")
FINAL = ("COMPLETED", "FAILED", "CANCELLED", "INTERRUPTED")


@dataclass
class Step:
    """A step of one cluster."""

    id: str
    config: Mapping[str, Any]
    """The StepConfig of the request."""
    log_uri: str = ""
    """The folder of its logs, if it has one."""
    state: str = "PENDING"
    message: str = ""
    failure: dict[str, str] = field(default_factory=dict)
    created: float = field(default_factory=time.time)
    started: float | None = None
    ended: float | None = None
    cancellation: str | None = None
    """The StepCancellationOption of a request while it ran."""
    pid: int | None = None
    """The process of its command, and the group of everything that starts; kept after its end."""

    @property
    def name(self) -> str:
        """The name in the request."""
        return str(self.config["Name"])

    @property
    def arguments(self) -> list[str]:
        """The arguments in the request."""
        return list(self.config["HadoopJarStep"].get("Args", []))

    @property
    def action_on_failure(self) -> str:
        """What the cluster does if it fails."""
        return str(self.config.get("ActionOnFailure", "TERMINATE_CLUSTER"))

    def end(self, state: str, message: str = "") -> None:
        """Put it into its final state."""
        self.state, self.message, self.ended = state, message, time.time()

    def description(self) -> dict[str, Any]:
        """The Step of DescribeStep; the StepSummary of ListSteps is the same here."""
        jar = self.config["HadoopJarStep"]
        timeline = {"CreationDateTime": self.created, "StartDateTime": self.started, "EndDateTime": self.ended}
        status: dict[str, Any] = {
            "State": self.state,
            "StateChangeReason": {"Message": self.message} if self.message else {},
            "Timeline": {name: moment for name, moment in timeline.items() if moment},
        }
        if self.failure:
            status["FailureDetails"] = self.failure
        return {
            "Id": self.id,
            "Name": self.name,
            "ActionOnFailure": self.action_on_failure,
            "Config": {
                "Jar": jar["Jar"],
                "Args": self.arguments,
                "Properties": {each["Key"]: each.get("Value", "") for each in jar.get("Properties", [])},
            },
            "Status": status,
        }
