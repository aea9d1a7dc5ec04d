"""What a day's pointer says: the version that counts, and which attempts must not replace it any more.

Attempts are told apart here, too. How pointers are replaced is in ``lake``.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime
from typing import Any, Self

_Stored = bytes  # Manifest has a field named bytes
# More attempts at one day than can still be going on somewhere.
_GIVEN_UP_KEPT = 50
# How many versions of a day stay, unless set: the published one, and the one before.
KEPT = 2
# As many as CAPSTONE_KEEP_VERSIONS can name.
_EARLIER_KEPT = 100


@dataclass(frozen=True)
class Attempt:
    """One try at computing a day. ``token`` grows with every attempt, and fences out older ones."""

    run_id: str
    number: int
    token: int

    @classmethod
    def begin(cls, run_id: str, number: int = 1, after: int = 0) -> Self:
        """Take a token. Must come before the first input is read.

        Microseconds since the epoch: later attempts have greater tokens without a shared counter, because attempts
        at a day are seconds apart. A clock that was ahead may have published a greater one: it comes after that.
        """
        return cls(run_id, number, max(int(datetime.now(UTC).timestamp() * 1_000_000), after + 1))

    @property
    def name(self) -> str:
        """Which one it is, known before it begins."""
        return f"{self.run_id}/{self.number}"

    def version(self, day: date) -> str:
        """The name of the folder this attempt writes; begins with the day, never used twice."""
        return f"{day}-{self.token}-{self.run_id[:8]}-{self.number}"


@dataclass(frozen=True)
class Manifest:
    """What ``_published/<D>.json`` says about the version that counts. Paths are below the lake."""

    trade_dt: str
    version: str
    paths: list[str]
    rows: int
    bytes: int
    run_id: str
    attempt: int
    token: int
    published_at: str
    inputs: dict[str, str]
    measures: dict[str, int] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    previous_version: str | None = None
    earlier_versions: list[str] = field(default_factory=list)
    """That and those before it, the latest first, as many as may still be there."""
    rolled_back: dict[str, Any] | None = None
    """Who has made this version count again in place of a later one, and why; see ``rollback``."""
    given_up: list[str] = field(default_factory=list)
    """Attempts that must not publish any more, however long they go on; see ``Lake.give_up``."""
    digest: str | None = None
    """Of the rows; None if an older release has published them. See ``audit``."""
    input_digests: dict[str, str] = field(default_factory=dict)
    """Of the rows of those inputs that are tables, as far as it is known."""
    columns: list[str] = field(default_factory=list)
    """Those of the rows; none if an older release has published them. See ``Table.gained``."""

    def was_made_from(self, table: str, published: Self) -> bool:
        """Whether it was computed from the rows that the table's manifest names, in that version or another one."""
        if self.inputs.get(table) == published.version:
            return True
        return published.digest is not None and self.input_digests.get(table) == published.digest

    def in_place_of(self, before: Self | None, given_up: Sequence[str]) -> Self:
        """What is stored where the pointer has named another version, or none."""
        # A put whose answer was lost is tried again: the version before stays the one before.
        known = [before.version, *before.earlier] if before else []
        earlier = [version for version in known if version != self.version][:_EARLIER_KEPT]
        previous = earlier[0] if earlier else None
        return replace(self, previous_version=previous, earlier_versions=earlier, given_up=list(given_up))

    @property
    def earlier(self) -> list[str]:
        """The versions that counted before, the latest first; an older release has named only one."""
        return self.earlier_versions or ([self.previous_version] if self.previous_version else [])

    def to_json(self) -> _Stored:
        """The manifest as it is stored."""
        return json.dumps(asdict(self), indent=2).encode()

    @classmethod
    def from_json(cls, content: _Stored) -> Self:
        """Read a stored manifest; fields of a newer release are ignored."""
        known = cls.__dataclass_fields__
        return cls(**{name: value for name, value in _fields(content).items() if name in known})

    @classmethod
    def of_pointer(cls, content: _Stored | None) -> Self | None:
        """What a pointer names; no version where there is none, or where attempts were only given up."""
        return cls.from_json(content) if content and "version" in _fields(content) else None


def given_up_in(pointer: bytes | None) -> list[str]:
    """The attempts that a pointer says must not publish any more."""
    names: list[str] = _fields(pointer).get("given_up", []) if pointer else []
    return names


def _fields(content: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(fields, dict):
        raise ValueError(f"it is a {type(fields).__name__} and no object")  # noqa: TRY004 - it is text that is wrong
    return fields


def giving_up(attempt: str, pointer: bytes | None, day: date) -> bytes:
    """The pointer with one attempt more that must not publish; what it names stays."""
    known = _fields(pointer) if pointer else {"trade_dt": day.isoformat()}
    names = [name for name in given_up_in(pointer) if name != attempt]
    return json.dumps(known | {"given_up": [*names, attempt][-_GIVEN_UP_KEPT:]}, indent=2).encode()
