"""The platform that is soaked: `capstone dev` with its sensors on, started again whenever it has ended.

Its processes are found in /proc by the home that they work in.
"""

import os
import signal
import subprocess
import time
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import psycopg2

from capstone_dagster.run_storage.postgres_server import PostgresServer
from capstone_dagster_tests.servers.dagster_services import ROOT, Services, unused_port
from capstone_dagster_tests.servers.platform import CAPSTONE, Platform
from capstone_dagster_tests.servers.processes import eventually, heard

# What names a process in its command line.
ROLES = {
    "webserver": "capstone_dagster.ui.server",
    "daemon": "capstone_dagster.cli.dev_daemon",
    "capstone dev": f"{CAPSTONE} dev",
    "run": "multiprocessing.spawn",
    "resource tracker": "multiprocessing.resource_tracker",
    "code server": "code-server",
    "code": "api grpc",
    "JVM": "org.apache.spark",
    "database": "postgres",
}
_PATIENCE = 300.0
# More than any plan asks for: it does not stay up.
_MOST_STARTS = 500


def role_of(process: psutil.Process) -> str:
    """What a process of the platform is there for; its name, if nobody knows."""
    command = " ".join(process.cmdline())
    return next((role for role, words in ROLES.items() if words in command), process.name())


def processes_of(home: Path) -> list[psutil.Process]:
    """All processes that work in a home: by their environment, and the database by its folder."""
    found = []
    for process in psutil.process_iter():
        try:
            is_ours = process.environ().get("CAPSTONE_HOME") == f"{home}" or Path(process.cwd()).is_relative_to(home)
            if is_ours and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:  # gone, or another user's
            continue
    return found


@dataclass
class Installation:
    """One home, and `capstone dev` in it."""

    platform: Platform
    variables: dict[str, str]
    """Further ones for its processes."""
    port: int = field(default_factory=unused_port)
    starts: int = 0
    _process: "subprocess.Popen[bytes] | None" = None

    @property
    def home(self) -> Path:
        return self.platform.folder

    @property
    def log(self) -> Path:
        return self.home.parent / "dev.log"

    @property
    def ui(self) -> Services:
        return Services(self.port, self.log)

    def keep_up(self) -> None:
        """Start `capstone dev` unless it is up, and wait until its UI answers; if it ends before, start it again."""
        while self._process is None or self._process.poll() is not None:
            assert self.starts < _MOST_STARTS, self.log.read_text(errors="replace")[-3000:]
            self._process = self._started()
            eventually(self._has_started, seconds=_PATIENCE, pause=1)

    def _started(self) -> "subprocess.Popen[bytes]":
        self.starts += 1
        with self.log.open("ab") as output, heard(signal.SIGINT):
            return subprocess.Popen(
                [CAPSTONE, "dev", "--port", str(self.port)],
                env=os.environ | self.platform.environment | self.variables,
                cwd=ROOT,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
            )

    def _has_started(self) -> bool:
        assert self._process
        return self._process.poll() is not None or self.ui.answers(self._process)

    def interrupt(self) -> None:
        """Ctrl-C, as the terminal sends it to the foreground, and wait until it has ended."""
        if self._process and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGINT)
            self._process.wait(_PATIENCE)

    def wait_for_end(self) -> None:
        """After one of its parts was killed."""
        if self._process:
            self._process.wait(_PATIENCE)

    def processes(self, role: str) -> list[psutil.Process]:
        """Those of a role; gone ones have none."""
        return [process for process in processes_of(self.home) if _is(process, role)]

    def commands(self, role: str) -> list[str]:
        """What those of a role were started with, in order."""
        found = []
        for process in self.processes(role):
            with suppress(psutil.Error):
                found.append(" ".join(process.cmdline()))
        return sorted(found)

    def roles(self) -> Counter[str]:
        """How many processes there are of each role, but for those of the database, which come and go."""
        found = Counter[str]()
        for process in processes_of(self.home):
            try:
                found[role_of(process)] += 1
            except psutil.Error:
                continue
        del found["database"]
        return found

    def wait_for(self, role: str, seconds: float) -> psutil.Process | None:
        """The first process of a role that is there within a time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := self.processes(role):
                return found[0]
            time.sleep(0.2)
        return None

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        """What the run storage answers; it is up as long as somebody works with it."""
        with closing(psycopg2.connect(PostgresServer(self.home.resolve()).url, connect_timeout=10)) as connection:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute(sql, values or None)
            return list(cursor.fetchall())

    def end(self) -> None:
        """Whatever is left of it; for a soak that is given up."""
        for process in processes_of(self.home):
            try:
                process.kill()
            except psutil.Error:
                continue


def _is(process: psutil.Process, role: str) -> bool:
    try:
        return role_of(process) == role
    except psutil.Error:
        return False


def progress(installation: Installation) -> str:
    """How many runs there are in each status."""
    try:
        found = installation.query("SELECT status, count(*) FROM runs GROUP BY 1 ORDER BY 1")
    except psycopg2.OperationalError:
        return "the database is starting again"
    return "runs: " + ", ".join(f"{number} {status}" for status, number in found)


def at_rest(installation: Installation, since: float, days: int) -> bool:
    """Both sensors have looked after the last delivery and the last run, and want nothing."""
    try:
        if installation.query("SELECT FROM runs WHERE status NOT IN ('SUCCESS', 'FAILURE', 'CANCELED') LIMIT 1"):
            return False
        [(ended,)] = installation.query("SELECT coalesce(max(end_time), 0) FROM runs")
        newest = [installation.ui.newest_tick(sensor) for sensor in ("new_files", "changed_closes")]
    except (psycopg2.OperationalError, OSError):  # the database or the webserver is starting again
        return False
    if not all(tick and tick["timestamp"] > max(since, ended) and tick["status"] == "SKIPPED" for tick in newest):
        return False
    return bool(newest[0]["skipReason"] == f"watching {days} days")
