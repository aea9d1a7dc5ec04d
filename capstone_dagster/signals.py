"""Ctrl-C and SIGTERM: passed on to a child, or noticed whoever else handles them."""

import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType


class ChildError(Exception):
    """A command that could not be started."""


@contextmanager
def _terminations() -> Iterator[list[int]]:
    """Collect SIGTERM instead of dying of it; Ctrl-C reaches the child by itself, as one of the same group."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        del frame
        received.append(number)

    # A function and not SIG_IGN, which the child would inherit.
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_child(command: Sequence[str]) -> int:
    """Run the command to its end and return its exit code; a SIGTERM is passed on."""
    with _terminations() as received:
        try:
            # Locks that are marked inheritable go along: they last until the child itself has ended.
            child = subprocess.Popen(command, close_fds=False)  # noqa: S603 - running the user's command is its purpose
        except OSError as error:
            raise ChildError(f"cannot run {command[0]}: {error.strerror}") from None
        while True:
            if signal.SIGTERM in received:
                received.clear()
                child.terminate()
            try:
                return child.wait(timeout=0.2)
            except subprocess.TimeoutExpired:
                continue


@contextmanager
def noticing_interruptions() -> Iterator[Callable[[], bool]]:
    """Tell whether a Ctrl-C or SIGTERM came since the last time one asked.

    Dagster and Spark both install handlers of their own while a run works, and either may see the
    signal; Python writes its number here whoever does.
    """
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)

    def was_interrupted() -> bool:
        try:
            return bool({signal.SIGINT, signal.SIGTERM}.intersection(reader.recv(4096)))
        except BlockingIOError:
            return False

    try:
        yield was_interrupted
    finally:
        signal.set_wakeup_fd(before)
        reader.close()
        writer.close()
