"""Which process works on a run, and whether it is alive.

Dagster's launcher for one machine forgets a run if its process was killed together with its parent, and never knows
the runs of ``capstone run`` and ``capstone track``. So every process that works on a run signs it with a tag, and
others who need the run's slot can check the process. Before it, the process signs that asks a code server to start one.
"""

import os
import re
import signal
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import dagster as dg
import psutil

from capstone_dagster.run_tags import WORKER_TAG


@dataclass(frozen=True)
class Worker:
    """A process on a host; its start time distinguishes it from a later one with the same number."""

    host: str
    pid: int
    started: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host.partition(':')[0]}"

    @classmethod
    def process(cls, pid: int | None = None) -> Self:
        """A process that is alive on this host; without a number, this process."""
        found = psutil.Process(pid)
        return cls(_this_host(), found.pid, _start_of(found))

    @classmethod
    def of(cls, run: dg.DagsterRun, tag: str = WORKER_TAG) -> Self | None:
        """The process that signed the run, if any; the copy of another run's signature on a retry does not count."""
        signature = re.fullmatch(r"(\S+) (\d+) (\d+(?:\.\d+)?) (\S+)", run.tags.get(tag, ""))
        if signature is None or signature[4] != run.run_id:
            return None
        return cls(signature[1], int(signature[2]), signature[3])

    def signature(self, run_id: str, tag: str = WORKER_TAG) -> dict[str, str]:
        """The tag with which this process signs a run."""
        return {tag: f"{self.host} {self.pid} {self.started} {run_id}"}

    @property
    def is_of_this_host(self) -> bool:
        """Whether the process can be seen from here."""
        return self.host == _this_host()

    @property
    def is_dead(self) -> bool:
        """Whether the process is certainly gone; on another host nothing is certain."""
        return self.is_of_this_host and self._is_gone()

    def terminate(self) -> bool:
        """Ask the process to end, if it lives on this host."""
        if not self.is_of_this_host or self._is_gone():
            return False
        try:
            os.kill(self.pid, signal.SIGTERM)
        except (ProcessLookupError, PermissionError):  # gone meanwhile, or another user's
            return False
        return True

    def _is_gone(self) -> bool:
        try:
            os.kill(self.pid, 0)
            process = psutil.Process(self.pid)
            return _start_of(process) != self.started or process.status() == psutil.STATUS_ZOMBIE
        except (ProcessLookupError, OverflowError):
            return True
        except (PermissionError, psutil.Error):  # another user's, perhaps hidden from us
            return False


def _this_host() -> str:
    """The host's name, and on Linux the PID namespace: each container numbers its own processes."""
    try:
        return f"{socket.gethostname()}:{Path('/proc/self/ns/pid').stat().st_ino}"
    except FileNotFoundError:
        return socket.gethostname()


def _start_of(process: psutil.Process) -> str:
    """When the process started: on Linux in ticks since boot, which do not change when the clock is set."""
    try:
        return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19]
    except FileNotFoundError:
        return str(process.create_time())
