"""Which process works on a run, and whether it still lives.

Dagster's launcher for one machine forgets a run whose process was killed together with its parent,
and never knew those that ``capstone run`` and ``capstone track`` start. So every process that works on
a run signs it with a tag, and whoever needs the run's slot can look.
"""

import os
import re
import signal
import socket
from dataclasses import dataclass
from typing import Self

import dagster as dg
import psutil

WORKER_TAG = "capstone/worker"

# Clocks are set now and then, and the start of a process is counted from the boot: two processes with
# the same number do not start within this time.
_SAME_START_SECONDS = 2.0


@dataclass(frozen=True)
class Worker:
    """A process on a host; its start tells it from a later one with the same number."""

    host: str
    pid: int
    started: float

    @classmethod
    def this_process(cls) -> Self:
        """The process that asks."""
        return cls(socket.gethostname(), os.getpid(), psutil.Process().create_time())

    @classmethod
    def of(cls, run: dg.DagsterRun) -> Self | None:
        """Who signed the run, or None if nobody has; retries come with a copy of another run's signature."""
        signature = re.fullmatch(r"(\S+) (\d+) ([\d.]+) (\S+)", run.tags.get(WORKER_TAG, ""))
        if signature is None or signature[4] != run.run_id:
            return None
        return cls(signature[1], int(signature[2]), float(signature[3]))

    def signature(self, run_id: str) -> dict[str, str]:
        """The tag of a run this process works on."""
        return {WORKER_TAG: f"{self.host} {self.pid} {self.started} {run_id}"}

    @property
    def is_dead(self) -> bool:
        """Whether it is certain that the process is gone; of another host nothing is certain."""
        return self._is_of_this_host and self._process() is None

    def terminate(self) -> bool:
        """Ask the process to end, if it lives on this host."""
        if not self._is_of_this_host or self._process() is None:
            return False
        os.kill(self.pid, signal.SIGTERM)
        return True

    @property
    def _is_of_this_host(self) -> bool:
        return self.host == socket.gethostname()

    def _process(self) -> psutil.Process | None:
        try:
            process = psutil.Process(self.pid)
            is_same = abs(process.create_time() - self.started) <= _SAME_START_SECONDS
            return process if is_same and process.status() != psutil.STATUS_ZOMBIE else None
        except psutil.NoSuchProcess:
            return None
