"""Dagster's run storage: on the server that is named, on the embedded one, and when there is none."""

import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path

import dagster as dg
import psycopg2
import pytest
from dagster._core.test_utils import create_run_for_test

from capstone_dagster.run_storage import instance
from capstone_dagster.run_storage.embedded_postgres import serving
from capstone_dagster.run_storage.instance import RunStorageError, ready
from capstone_dagster.settings import CHECKOUT, Settings
from capstone_dagster_tests.servers.platform import Platform

SAID = "CAPSTONE_POSTGRES_URL: the server cannot be used: "


@contextmanager
def own_folder() -> Iterator[Path]:
    """Where a server's other user is not locked out, as it is below ``tmp_path`` by another pytest."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The URL of an existing server."""
    with own_folder() as home, serving(home) as url:
        yield url


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``ready`` leaves in the environment goes away after the test."""
    monkeypatch.setenv("CAPSTONE_POSTGRES_URL", "")
    monkeypatch.setenv("DAGSTER_HOME", "")


def settings(home: Path, postgres_url: str = "") -> Settings:
    return Settings.from_mapping({"CAPSTONE_HOME": str(home), "CAPSTONE_POSTGRES_URL": postgres_url})


def refusal(home: Path, postgres_url: str) -> str:
    with pytest.raises(RunStorageError) as refused, ready(settings(home, postgres_url)):
        pass
    return str(refused.value)


def unused_port() -> int:
    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        port: int = unused.getsockname()[1]
        return port


def ids_of_runs(url: str) -> list[tuple[object, ...]]:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT run_id FROM runs")
        ids: list[tuple[object, ...]] = cursor.fetchall()
        return ids


def make_database(server: str, name: str) -> str:
    """A fresh database on the server; returns its URL."""
    with closing(psycopg2.connect(server)) as connection:
        connection.autocommit = True
        connection.cursor().execute(f'CREATE DATABASE "{name}"')
    return server.replace("/postgres?", f"/{name}?")


@pytest.mark.parametrize("scheme", ["postgresql", "postgres"])
def test_a_real_dagster_instance_keeps_its_runs_on_the_named_server(server: str, tmp_path: Path, scheme: str) -> None:
    url = make_database(server, f"of_{scheme}").replace("postgresql:", f"{scheme}:")

    with ready(settings(tmp_path, url)), dg.DagsterInstance.get() as instance:
        run = create_run_for_test(instance, job_name="preprocessing")

    assert ids_of_runs(url) == [(run.run_id,)]
    assert not (tmp_path / "postgres").exists()


def test_without_a_named_server_the_embedded_one_is_up_for_the_duration() -> None:
    with own_folder() as folder:
        home = folder / "a b 100% ü"
        with ready(settings(home)), dg.DagsterInstance.get() as instance:
            url = os.environ["CAPSTONE_POSTGRES_URL"]
            run = create_run_for_test(instance, job_name="preprocessing")
            assert ids_of_runs(url) == [(run.run_id,)]
        assert not (home / "postgres" / "postmaster.pid").exists()

    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(url)


def test_dagster_s_home_is_below_the_home_with_the_deployed_configuration(server: str, tmp_path: Path) -> None:
    stale = tmp_path / "dagster" / "dagster.yaml"
    stale.parent.mkdir()
    stale.write_text("of an older release")

    with ready(settings(tmp_path, server)):
        assert os.environ["DAGSTER_HOME"] == str(tmp_path / "dagster")
        assert os.environ["CAPSTONE_POSTGRES_URL"] == server

    assert stale.read_bytes() == (CHECKOUT / "deploy" / "dagster.yaml").read_bytes()


def test_a_server_that_is_down_is_one_line_without_the_password(tmp_path: Path) -> None:
    port = unused_port()

    message = refusal(tmp_path, f"postgresql://user:secret@127.0.0.1:{port}/database")

    assert message.startswith(f'{SAID}connection to server at "127.0.0.1", port {port} failed: Connection refused')
    assert "secret" not in message
    assert "\n" not in message
    assert os.environ["DAGSTER_HOME"] == ""


def test_a_server_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance, "_CONNECT_SECONDS", 2)
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        started = time.monotonic()
        message = refusal(tmp_path, f"postgresql://user:secret@127.0.0.1:{silent.getsockname()[1]}/database")

    assert time.monotonic() - started < 10
    assert message.startswith(SAID)
    assert "timeout expired" in message
    assert "secret" not in message


def test_a_database_that_does_not_exist_is_named(server: str, tmp_path: Path) -> None:
    message = refusal(tmp_path, server.replace("/postgres?", "/no_such_database?"))

    assert message.startswith(SAID)
    assert message.endswith('database "no_such_database" does not exist')


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("postgresql://user:secret@127.0.0.1:99999/database", id="port out of range"),
        pytest.param("postgresql://user:secret@127.0.0.1:port/database", id="port that is no number"),
        pytest.param("postgresql://user:100%secret@127.0.0.1:1/database", id="unescaped percent in the password"),
        pytest.param("postgresql://user:sec/secret@127.0.0.1:1/database", id="unescaped slash in the password"),
        pytest.param("postgresql://user:secret@127.0.0.1:1/database?no_such_option=1", id="unknown option"),
    ],
)
def test_a_url_the_driver_cannot_use_is_one_line_without_the_password(tmp_path: Path, url: str) -> None:
    # Whether the settings or the connection refuse it does not matter to whom reads the line.
    with pytest.raises(Exception, match=r"^CAPSTONE_POSTGRES_URL: the ") as refused, ready(settings(tmp_path, url)):
        pass

    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)
    # What a traceback would show besides.
    assert refused.value.__suppress_context__


# A first command that is killed when so many tables are made.
KILLED = """
import os, signal, sys
from sqlalchemy import Engine, event

made, most = 0, int(sys.argv.pop(1))

@event.listens_for(Engine, "after_cursor_execute")
def count(connection, cursor, statement, *_):
    global made
    made += "CREATE TABLE" in statement
    if made == most:
        os.kill(os.getpid(), signal.SIGKILL)

from capstone_dagster.cli import main
main.main()
"""


@pytest.mark.faults("F1")
@pytest.mark.parametrize("tables", [1, pytest.param(12, marks=pytest.mark.faults(sample=True)), 22])
def test_a_home_whose_tables_were_never_finished_works_at_the_next_command(tables: int) -> None:
    with own_folder() as home:
        platform = Platform(home, date(2020, 8, 5))
        killed = platform.capstone(f"{tables}", "status", program=(sys.executable, "-c", KILLED))
        assert killed.returncode == -signal.SIGKILL, killed.stderr

        told = platform.capstone("migrate")
        assert told.stdout == "the run storage is up to date\n", told.stderr
        told = platform.capstone("status")
        assert told.stdout.startswith("no job has been run yet"), told.stderr


def test_tables_with_runs_of_an_earlier_release_stay() -> None:
    with own_folder() as home, ready(settings(home)), dg.DagsterInstance.get() as instance:
        run = create_run_for_test(instance, "preprocessing")
        (home / "postgres" / ".tables_made").unlink()
        with ready(settings(home)):
            assert instance.get_run_by_id(run.run_id)
