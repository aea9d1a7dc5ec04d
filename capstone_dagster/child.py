"""A command run as a child that gets the signals meant for it, while this process keeps what it needs up."""

import signal
import subprocess
from collections.abc import Iterator, Sequence
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
            child = subprocess.Popen(command)  # noqa: S603 - running the user's command is its purpose
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
