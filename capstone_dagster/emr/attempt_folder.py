"""The files that host and cluster exchange about one attempt at a step.

    <staging>/runs/<run id>/<step>/<attempt>/launch.json           the versions and settings that the host expects
    <staging>/runs/<run id>/<step>/<attempt>/begun                 written once, so that no attempt runs twice
    <staging>/runs/<run id>/<step>/<attempt>/events/000001.json    a batch of events
    <staging>/runs/<run id>/<step>/<attempt>/end.json              how many batches there are, or why it did not run

Uses only the standard library, and nothing that Python 3.9 lacks: the cluster imports it before it has checked which
versions are installed there.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self

LAUNCH, BEGUN, END = "launch.json", "begun", "end.json"


def events_name(number: int) -> str:
    """The name of a batch of events; numbers begin at 1."""
    return f"events/{number:06}.json"


@dataclass(frozen=True)
class Versions:
    """The versions, which must be the same on both sides: they exchange events and steps in Dagster's own format."""

    python: str
    dagster: str

    @classmethod
    def here(cls) -> Self:
        """The versions of this process."""
        try:
            dagster = importlib.metadata.version("dagster")
        except importlib.metadata.PackageNotFoundError:
            dagster = "missing"
        return cls(".".join(platform.python_version_tuple()[:2]), dagster)

    def __str__(self) -> str:
        return f"Python {self.python} with Dagster {self.dagster}"


@dataclass(frozen=True)
class Launch:
    """The versions that the host expects on the cluster, and the settings for it; none is a secret."""

    versions: Versions
    environment: dict[str, str]

    def to_json(self) -> bytes:
        """Serialize it."""
        return json.dumps(asdict(self), indent=2).encode()

    @classmethod
    def from_json(cls, content: bytes) -> Self:
        """Read what ``to_json`` has written."""
        read = json.loads(content)
        return cls(Versions(**read["versions"]), read["environment"])

    def refusal(self) -> str | None:
        """Why this process cannot run the step; None if it can."""
        here = Versions.here()
        if here == self.versions:
            return None
        return (
            f"the cluster has {here}, this host {self.versions}: they must be the same; let the cluster install the "
            "deploy/runtime.lock of this checkout (deploy/emr/bootstrap.sh), or run the host with the cluster's Python"
        )


@dataclass(frozen=True)
class End:
    """The last file that the cluster writes."""

    batches: int
    refusal: str | None = None

    def to_json(self) -> bytes:
        """Serialize it."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, content: bytes) -> Self:
        """Read what ``to_json`` has written."""
        return cls(**json.loads(content))
