"""Processes that live as long as a test needs, and waiting for what they do."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from capstone_dagster.runs.worker import Worker

_T = TypeVar("_T")


def eventually(
    ask: Callable[[], _T], wanted: Callable[[_T], object] = bool, *, seconds: float = 180, pause: float = 0.05
) -> _T:
    """Ask until the answer is the wanted one; the bound is only there to end a test that fails.

    A longer pause is for questions that keep those busy who are waited for.
    """
    deadline = time.monotonic() + seconds
    while True:
        answer = ask()
        if wanted(answer):
            return answer
        assert time.monotonic() < deadline, f"still {answer!r} after {seconds} s"
        time.sleep(pause)


@contextmanager
def sleeping() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that lives until it is asked to end."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"]) as process:
        try:
            yield process
        finally:
            process.kill()


def dead_worker() -> Worker:
    """A process of this host that is gone."""
    with sleeping() as process:
        return Worker.process(process.pid)


@contextmanager
def heard(number: signal.Signals) -> Iterator[None]:
    """Processes that are started meanwhile hear the signal, also if these tests run under nohup."""
    before = signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(number, before)
