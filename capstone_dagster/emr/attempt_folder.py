"""What host and cluster tell each other about one attempt at a step, and under which names.

    <staging>/runs/<run id>/<step>/<attempt>/launch.json           what the host expects and sets
    <staging>/runs/<run id>/<step>/<attempt>/begun                 put once: an attempt is never run twice
    <staging>/runs/<run id>/<step>/<attempt>/events/000001.json    what happened since the one before
    <staging>/runs/<run id>/<step>/<attempt>/end.json              how many there are, and how it ended

Uses the standard library only, and nothing that Python 3.9 lacks, because the cluster reads it before it
knows what is installed there.
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
    """The name of a batch of events; they are counted from 1."""
    return f"events/{number:06}.json"


@dataclass(frozen=True)
class Versions:
    """What must be the same on both sides: events and steps are exchanged in Dagster's own form."""

    python: str
    dagster: str

    @classmethod
    def here(cls) -> Self:
        """Those of this process."""
        try:
            dagster = importlib.metadata.version("dagster")
        except importlib.metadata.PackageNotFoundError:
            dagster = "missing"
        return cls(".".join(platform.python_version_tuple()[:2]), dagster)

    def __str__(self) -> str:
        return f"Python {self.python} with Dagster {self.dagster}"


@dataclass(frozen=True)
class Launch:
    """What the host expects of the cluster, and the settings that hold there; none is a secret."""

    versions: Versions
    environment: dict[str, str]

    def to_json(self) -> bytes:
        """As it is stored."""
        return json.dumps(asdict(self), indent=2).encode()

    @classmethod
    def from_json(cls, content: bytes) -> Self:
        """As it was stored."""
        read = json.loads(content)
        return cls(Versions(**read["versions"]), read["environment"])

    def refusal(self) -> str | None:
        """Why this process cannot run the step; None if it can."""
        here = Versions.here()
        if here == self.versions:
            return None
        return (
            f"the cluster has {here}, this host {self.versions}: they must be the same; let the cluster install the "
            "requirements.lock of this checkout (deploy/emr/bootstrap.sh), or run the host with the cluster's Python"
        )


@dataclass(frozen=True)
class End:
    """The last word of the cluster."""

    batches: int
    refusal: str | None = None

    def to_json(self) -> bytes:
        """As it is stored."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, content: bytes) -> Self:
        """As it was stored."""
        return cls(**json.loads(content))
