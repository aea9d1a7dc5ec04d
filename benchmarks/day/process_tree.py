"""What a process and all that it starts use: CPU seconds, memory at its peak."""

import threading
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import psutil

_EVERY_SECONDS = 0.1
_GIB = 1024**3


@dataclass(frozen=True)
class Usage:
    """What a tree of processes has used in a span of time."""

    cpu_seconds: float
    peak_gib: float
    """Resident memory of all processes together."""
    peak_java_gib: float
    """Of the JVMs among them."""


@dataclass
class ProcessTree:
    """Looks at the tree of a process ten times a second, as long as it is entered.

    Processes that have left the tree, as a JVM does whose parent ends first, are still followed. What a process uses
    between the last look and its end is lost.
    """

    root: int
    _cpu: dict[psutil.Process, float] = field(default_factory=dict)
    _before: dict[psutil.Process, float] = field(default_factory=dict)
    _peak: int = 0
    _peak_java: int = 0

    def __enter__(self) -> Self:
        self._cpu, self._peak, self._peak_java, self._stopped = {}, 0, 0, threading.Event()
        self._look()
        self._before = dict(self._cpu)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()
        self._look()

    @property
    def usage(self) -> Usage:
        """Since it was entered."""
        used = sum(seconds - self._before.get(process, 0) for process, seconds in self._cpu.items())
        return Usage(used, self._peak / _GIB, self._peak_java / _GIB)

    def _watch(self) -> None:
        while not self._stopped.wait(_EVERY_SECONDS):
            self._look()

    def _look(self) -> None:
        memory = java = 0
        for process in self._processes():
            try:
                with process.oneshot():
                    times, resident, name = process.cpu_times(), process.memory_info().rss, process.name()
            except psutil.NoSuchProcess:
                continue
            self._cpu[process] = times.user + times.system
            memory += resident
            java += resident if name == "java" else 0
        self._peak, self._peak_java = max(self._peak, memory), max(self._peak_java, java)

    def _processes(self) -> set[psutil.Process]:
        try:
            root = psutil.Process(self.root)
            return {*self._cpu, root, *root.children(recursive=True)}
        except psutil.NoSuchProcess:
            return set(self._cpu)
