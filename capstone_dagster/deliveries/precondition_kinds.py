"""The kinds of preconditions: the value that each takes in the setting, and how each checks a delivery.

``parse`` raises ValueError with a sentence about the right value. ``unmet`` says in words what does not hold, and
raises StorageError if a store does not answer. ``preconditions`` combines them.
"""

import os
import re
import signal
import subprocess
from dataclasses import dataclass
from typing import ClassVar, Self

from spark_code.raw_files import Delivery
from spark_code.storage import Storage

# Hidden from commands; PGPASSWORD is part of the URL, for psql under `capstone exec`.
_SECRETS = ("CAPSTONE_ALERT_URLS", "CAPSTONE_POSTGRES_URL", "CAPSTONE_WAREHOUSE_URL", "PGPASSWORD")


@dataclass(frozen=True)
class KeyExists:
    """An object or file exists."""

    kind: ClassVar = "key_exists"
    place: str

    @classmethod
    def parse(cls, given: object) -> Self:
        """Read the location of one object."""
        place = _place(given)
        if re.fullmatch(r".*/|s3://[^/]*", place):
            raise ValueError(f"{place} names no file; folders are for prefix_exists")
        return cls(place)

    def unmet(self, delivery: Delivery) -> str | None:
        """What is wrong, or None."""
        place = _filled(self.place, delivery)
        folder, _, name = place.rpartition("/")
        return None if Storage(f"{folder}/").exists(name) else f"{place} is not there yet"


@dataclass(frozen=True)
class PrefixExists:
    """A folder contains something, at any depth."""

    kind: ClassVar = "prefix_exists"
    place: str

    @classmethod
    def parse(cls, given: object) -> Self:
        """Read the location of a folder."""
        return cls(_place(given))

    def unmet(self, delivery: Delivery) -> str | None:
        """What is wrong, or None."""
        place = _filled(self.place, delivery)
        return None if Storage(place).has_objects() else f"nothing is below {place} yet"


@dataclass(frozen=True)
class MinimumBytes:
    """The files that the exchange has delivered for the day have at least this size in total."""

    kind: ClassVar = "minimum_bytes"
    size: int

    @classmethod
    def parse(cls, given: object) -> Self:
        """Read a number of bytes."""
        if isinstance(given, bool) or not isinstance(given, int) or given < 1:
            raise ValueError("must be a number of bytes, at least 1")
        return cls(given)

    def unmet(self, delivery: Delivery) -> str | None:
        """What is wrong, or None."""
        if delivery.bytes >= self.size:
            return None
        return f"{delivery.bytes:,} bytes were delivered, at least {self.size:,} are due"


@dataclass(frozen=True)
class Command:
    """A program, started without a shell, ends with exit code 0."""

    kind: ClassVar = "command"
    arguments: tuple[str, ...]

    @classmethod
    def parse(cls, given: object) -> Self:
        """Read the program and its arguments."""
        if not isinstance(given, list) or not given:
            raise ValueError('must be a program and its arguments like ["/opt/checks/calendar", "{day}"]')
        arguments = tuple(_text(argument) for argument in given)
        if not arguments[0] or ("/" in arguments[0] and not arguments[0].startswith("/")):
            raise ValueError(f"{arguments[0]!r} must be an absolute path, or a name to look up in PATH")
        return cls(arguments)

    def unmet(self, delivery: Delivery, seconds: float) -> str | None:
        """What is wrong, or None. The output of the program is not shown: it may contain secrets."""
        arguments = [_filled(argument, delivery) for argument in self.arguments]
        environment = {name: value for name, value in os.environ.items() if name not in _SECRETS}
        try:
            process = subprocess.Popen(  # noqa: S603 - running the user's command is its purpose
                arguments,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # Without a terminal it cannot ask for a password, and its group can be killed as a whole.
                start_new_session=True,
            )
        except OSError as error:
            return f"{arguments[0]} cannot be started: {error.strerror}"
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            return f"{arguments[0]} did not end within {seconds:g} seconds"
        finally:
            if process.returncode is None:  # also if this process is interrupted
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        # As in a shell: 128 plus the number of the signal that ended it.
        return f"{arguments[0]} ended with exit code {code if code > 0 else 128 - code}" if code else None


Precondition = KeyExists | PrefixExists | MinimumBytes | Command
KINDS: dict[str, type[Precondition]] = {kind.kind: kind for kind in (KeyExists, PrefixExists, MinimumBytes, Command)}


def _text(given: object) -> str:
    if not isinstance(given, str) or "\0" in given:
        raise ValueError("must be text")
    given.encode()  # an unpaired surrogate raises ValueError here
    for name in re.findall(r"\{(\w*)\}", given):
        if name not in ("day", "exchange"):
            raise ValueError(f"{{{name}}} is not a placeholder; the placeholders are {{day}} and {{exchange}}")
    return given


def _place(given: object) -> str:
    place = _text(given)
    if not re.match(r"s3://[^/]|/|file:///", place):
        raise ValueError(f"{place!r} must be s3://bucket/key or an absolute path")
    return place


def _filled(text: str, delivery: Delivery) -> str:
    return text.replace("{day}", delivery.day.isoformat()).replace("{exchange}", delivery.source.exchange)
