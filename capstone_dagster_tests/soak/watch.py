"""What the services use while they live: memory, open files, connections to the database. They must not grow."""

import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from statistics import median

import psutil
import psycopg2

from capstone_dagster_tests.soak.installation import Installation, processes_of, role_of

SERVICES = ("webserver", "daemon", "code server", "code")
_MIB = 2**20
# Those that live shorter have not got beyond their start.
_SHORTEST_SECONDS = 180.0
# What the last third of a life may use more than the second: the first third is the start.
_MORE = {"MiB": (1.15, 30.0), "files": (1.0, 10.0), "connections": (1.0, 5.0)}


@dataclass(frozen=True)
class Series:
    """What a process has used of something, over its life."""

    what: str
    unit: str
    times: list[float] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def thirds(self) -> tuple[float, float] | None:
        """The medians of the second and of the last third of its life, if that was long enough."""
        if not self.times or self.times[-1] - self.times[0] < _SHORTEST_SECONDS:
            return None
        third = len(self.values) // 3
        return median(self.values[third : 2 * third]), median(self.values[2 * third :])

    def growth(self) -> str | None:
        """What has grown, in a sentence."""
        thirds = self.thirds()
        factor, more = _MORE[self.unit]
        if thirds is None or thirds[1] <= thirds[0] * factor + more:
            return None
        return f"{self.what}: {self.unit} have grown from {thirds[0]:.0f} to {thirds[1]:.0f}"


class Watch:
    """Looks at the services of an installation from time to time."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._series: dict[tuple[str, str], Series] = {}
        self.peaks = defaultdict[tuple[str, str], float](float)
        """The most of each service."""

    @property
    def series(self) -> Iterator[Series]:
        """Those that can be judged."""
        return (series for series in self._series.values() if series.thirds())

    def look(self) -> None:
        for process in processes_of(self._installation.home):
            try:
                if (role := role_of(process)) in SERVICES:
                    self._note(role, process.pid, "MiB", process.memory_info().rss / _MIB)
                    self._note(role, process.pid, "files", process.num_fds())
            except psutil.Error:  # it has ended just now
                continue
        try:
            [(number,)] = self._installation.query(
                "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
            )
        except psycopg2.OperationalError:  # it was killed
            return
        self._note("database", self._installation.starts, "connections", number)

    def _note(self, role: str, life: int, unit: str, value: float) -> None:
        what = f"{role} {life}"
        series = self._series.setdefault((what, unit), Series(what, unit))
        series.times.append(time.monotonic())
        series.values.append(value)
        self.peaks[role, unit] = max(self.peaks[role, unit], value)
