"""What each fault of a soak does, to real processes and a real disk."""

import errno
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import run

import psutil

from capstone_dagster_tests.servers.s3_faults import BREAK, Faults
from capstone_dagster_tests.soak.installation import Installation, processes_of
from capstone_dagster_tests.soak.plan import OF_A_RUN, Fault, Step

# How long a fault waits for the process that it hits; a run has its JVM only after a while.
_PATIENCE = 60.0
_FULL_SECONDS = 20.0
# More than the platform asks again for by itself in one go, so that the step is tried again, too.
_REFUSALS = 20


@dataclass
class Disk:
    """A small disk of its own for the lake, which can be filled up."""

    folder: Path
    full: list[tuple[float, float]] = field(default_factory=list)
    """From when to when it was full, in seconds since the epoch."""

    @classmethod
    @contextmanager
    def mounted(cls, folder: Path) -> Iterator["Disk"]:
        """In memory; only root may mount one."""
        folder.mkdir(parents=True)
        run(["mount", "-t", "tmpfs", "-o", "size=256m", "tmpfs", str(folder)], check=True)  # noqa: S607
        try:
            yield cls(folder)
        finally:
            run(["umount", "--lazy", str(folder)], check=True)  # noqa: S607

    def fill(self, seconds: float) -> None:
        """Leave no room for a while."""
        ballast = self.folder / ".ballast"
        began = time.time()
        try:
            with ballast.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(1024 * 1024))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
        time.sleep(seconds)
        ballast.unlink()
        self.full.append((began, time.time()))

    def was_full(self, began: float, ended: float) -> bool:
        """Whether there was no room at any time of a span."""
        return any(start <= ended and began <= end for start, end in self.full)


class Injector:
    """Does harm, and says what it has hit."""

    def __init__(self, installation: Installation, disk: Disk | None, s3: Faults | None) -> None:
        self._installation = installation
        self._disk = disk
        self._s3 = s3
        self.due: list[Step] = []
        """The faults that the next runs will have."""
        self.hits: dict[Fault, int] = {}
        self.killed = 0
        """How many processes could not clean up after themselves."""
        self._acts: Mapping[Fault, Callable[[Step], bool]] = {
            Fault.KILL_RUN: lambda step: self._kill_soon("run", step.wait),
            Fault.KILL_JVM: lambda step: self._kill_soon("JVM", step.wait),
            Fault.KILL_DAEMON: lambda _: self._kill_part("daemon"),
            Fault.KILL_WEBSERVER: lambda _: self._kill_part("webserver"),
            Fault.KILL_DATABASE: lambda _: self._kill_database(),
            Fault.KILL_ALL: lambda _: self._kill_all(),
            Fault.INTERRUPT: lambda _: self._interrupt(),
            Fault.FULL_DISK: self._fill_disk,
            Fault.S3_BUSY: lambda step: self._break_s3("503 SlowDown", step),
            Fault.S3_BREAKS: lambda step: self._break_s3(BREAK, step),
        }

    def act(self, step: Step) -> str:
        """Do the harm, or note that it is due when the next run is seen; returns what has become of it."""
        if step.what in OF_A_RUN:
            self.due.append(step)
            return "waits for a run"
        return self._did(step)

    def act_on_run(self) -> str | None:
        """Do the harm that was due first, if there is any and a run works."""
        if not self.due or not self._installation.processes("run"):
            return None
        step = self.due.pop(0)
        return f"{step}: {self._did(step)}"

    def _did(self, step: Step) -> str:
        fault = Fault(step.what)
        if not self._acts[fault](step):
            return "nothing to hit"
        self.hits[fault] = self.hits.get(fault, 0) + 1
        return "done"

    def _kill_soon(self, role: str, wait: float) -> bool:
        """Kill a process at a moment of its life; it may have ended before."""
        victim = self._installation.wait_for(role, _PATIENCE)
        time.sleep(wait)
        return victim is not None and self._kill(victim)

    def _kill_part(self, role: str) -> bool:
        victim = self._installation.wait_for(role, _PATIENCE)
        if victim is None or not self._kill(victim):
            return False
        self._installation.wait_for_end()
        return True

    def _kill_database(self) -> bool:
        try:
            number = (self._installation.home / "postgres" / "postmaster.pid").read_text().split("\n")[0]
            return self._kill(psutil.Process(int(number)))
        except (FileNotFoundError, ValueError, psutil.Error):
            return False

    def _kill_all(self) -> bool:
        """As if the machine had lost its power."""
        for process in processes_of(self._installation.home):
            self._kill(process)
        self._installation.wait_for_end()
        return True

    def _interrupt(self) -> bool:
        self._installation.interrupt()
        return True

    def _fill_disk(self, step: Step) -> bool:
        if self._disk is None:
            return False
        time.sleep(step.wait)
        self._disk.fill(_FULL_SECONDS)
        return True

    def _break_s3(self, how: str, step: Step) -> bool:
        if self._s3 is None:
            return False
        time.sleep(step.wait)
        self._s3.add(how, ".*", times=_REFUSALS)
        return True

    def _kill(self, process: psutil.Process) -> bool:
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.Error:
            return False
        self.killed += 1
        return True
