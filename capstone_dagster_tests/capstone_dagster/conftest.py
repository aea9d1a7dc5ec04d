"""The command line in this process, with a home of its own; a run storage in memory, or on Postgres."""

import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from capstone_dagster.cli.main import main
from capstone_dagster.settings import Settings
from capstone_dagster.tracker import Tracker
from capstone_dagster_tests.builders.command_line import Run
from capstone_dagster_tests.builders.run_histories import Histories
from capstone_dagster_tests.servers.job_status_database import Database, job_status_database
from capstone_dagster_tests.servers.webhook_server import second_webhook, webhook  # noqa: F401 -- pytest finds fixtures so


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """No variable but the home, whatever the machine has set; and signals as they were."""
    for variable in (*Settings.variables(), "DAGSTER_HOME"):
        monkeypatch.setenv(variable, "")
    monkeypatch.setenv("CAPSTONE_HOME", str(tmp_path / "home"))
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield tmp_path / "home"
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def capstone(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """The command, run in this process: exit code, output and errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["capstone", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capfd.readouterr()
        code = ended.value.code
        assert isinstance(code, int)
        return code, out, err

    return run


@pytest.fixture(scope="module")
def in_memory() -> Iterator[dg.DagsterInstance]:
    """For tests that ask for no status: quicker than Postgres."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture(scope="session")
def server() -> Iterator[Database]:
    """A run storage on Postgres, one for all tests of a process: to start a server takes seconds."""
    with job_status_database() as database:
        yield database


@pytest.fixture
def database(server: Database) -> Database:
    """That storage, empty again."""
    server.wipe()
    return server


@pytest.fixture
def instance(in_memory: dg.DagsterInstance) -> dg.DagsterInstance:
    """Empty again for every test. Files whose tests ask for statuses have one on Postgres in its place."""
    in_memory.wipe()
    return in_memory


@pytest.fixture
def histories(instance: dg.DagsterInstance) -> Histories:
    """What writes runs into it."""
    return Histories(instance)


@pytest.fixture
def tracker(instance: dg.DagsterInstance) -> Tracker:
    """The tracker over the same runs."""
    return Tracker(instance)
