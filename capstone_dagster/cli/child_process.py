"""Commands as child processes: they receive this process's signals, and do not outlive it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Literal

from spark_code.errors import ExpectedError


class ChildError(ExpectedError):
    """A command that could not be started."""


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    exit_code: int
    """As in a shell: 128 plus the number of the signal if one ended it."""
    signals: tuple[str, ...]
    """The signals that were passed on to it."""


def _is_ignored(number: signal.Signals) -> bool:
    return signal.getsignal(number) == signal.SIG_IGN


@contextmanager
def _collecting(numbers: Iterable[signal.Signals]) -> Iterator[list[signal.Signals]]:
    """Collect signals instead of ending; a hang-up that is ignored, as under nohup, stays ignored."""
    received: list[signal.Signals] = []

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        received.append(signal.Signals(number))

    # A function and not SIG_IGN, which the child would inherit: a background job of a shell, which starts with SIGINT
    # ignored, must still end on a signal.
    handled = [number for number in numbers if number != signal.SIGHUP or not _is_ignored(number)]
    before = {number: signal.signal(number, note) for number in handled}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def deferring_signals() -> AbstractContextManager[list[signal.Signals]]:
    """Collect the signals that would end this process, while it does work that must not stay half done."""
    return _collecting((signal.SIGINT, signal.SIGTERM, signal.SIGHUP))


@contextmanager
def exiting_on_termination() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise SystemExit, so that this process can clean up."""

    def leave(number: int, frame: FrameType | None) -> None:
        del frame
        sys.exit(128 + number)

    handled = [number for number in (signal.SIGTERM, signal.SIGHUP) if not _is_ignored(number)]
    before = {number: signal.signal(number, leave) for number in handled}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_child(command: Sequence[str]) -> int:
    """Run an interactive command and return its exit code; pass SIGTERM and a hang-up on to it.

    Ctrl-C reaches the child by itself, because it is in the same process group.
    """
    with deferring_signals() as received:
        return _ended(start_child(command), received, {signal.SIGTERM, signal.SIGHUP}, os.kill).exit_code


def start_child(command: Sequence[str], **options: Any) -> "subprocess.Popen[bytes]":
    """Start a command; it inherits locks that are marked inheritable, and holds them until it ends."""
    return _start(command, close_fds=False, **options)


def run_apart(command: Sequence[str], environment: Mapping[str, str]) -> Ended:
    """Run a command in its own process group, which receives every signal; it ends when this process dies."""
    with deferring_signals() as received, group_watched("KILL") as watch:
        child = _start(
            command,
            env=dict(environment),
            process_group=0,
            # The kernel would stop a background group that reads from the terminal.
            stdin=subprocess.DEVNULL if sys.stdin and sys.stdin.isatty() else None,
        )
        watch(child.pid)
        return _ended(child, received, set(signal.Signals), os.killpg)


@contextmanager
def group_watched(send: Literal["KILL", "TERM"]) -> Iterator[Callable[[int], None]]:
    """Send a signal to a process group if this process dies before the end of the block.

    A shell waits for two lines. The first is the group. If this process is killed, by any signal, the shell reads the
    end of the pipe instead of the second.
    """
    reader, writer = os.pipe()
    script = f'read -r group && {{ read -r ended || kill -s {send} -- "-$group"; }}'
    watcher = _start(["/bin/sh", "-c", script], stdin=reader, stderr=subprocess.DEVNULL, process_group=0)
    os.close(reader)

    def write(line: object) -> None:
        os.write(writer, f"{line}\n".encode())

    try:
        yield write
        write("ended")
    finally:
        os.close(writer)
        watcher.wait()


def _start(command: Sequence[str], **options: Any) -> "subprocess.Popen[bytes]":
    try:
        return subprocess.Popen(command, **options)  # noqa: S603 - running the user's command is its purpose
    except OSError as error:
        raise ChildError(f"cannot run {command[0]}: {error.strerror}") from None


def _ended(
    child: "subprocess.Popen[bytes]",
    received: list[signal.Signals],
    passed_on: set[signal.Signals],
    send: Callable[[int, int], None],
) -> Ended:
    sent: list[str] = []
    while True:
        while received:
            number = received.pop(0)
            if number in passed_on and child.poll() is None:
                send(child.pid, number)
                sent.append(number.name)
        try:
            code = child.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            continue
        return Ended(code if code >= 0 else 128 - code, tuple(sent))
