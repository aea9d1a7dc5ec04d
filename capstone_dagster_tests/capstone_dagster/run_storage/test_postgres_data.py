"""The data of the embedded server: a first start that is interrupted, and files that a loss of power has torn."""

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import pytest

from capstone_dagster.run_storage.embedded_postgres import serving
from capstone_dagster.run_storage.postgres_programs import EmbeddedPostgresError
from capstone_dagster_tests.capstone_dagster.run_storage.test_embedded_postgres import is_alive
from capstone_dagster_tests.servers.processes import sleeping

# The first command in a home, as far as it has to do with the server.
FIRST_COMMAND = """
import sys, pathlib, capstone_dagster.run_storage.embedded_postgres as it
with it.serving(pathlib.Path(sys.argv[1])): pass
"""
LONGEST_START_SECONDS = 3.5


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not ``tmp_path``, where the server's user may not go."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """One home for tests that leave its data whole."""
    with tempfile.TemporaryDirectory() as name:
        with serving(Path(name)) as url, connected(url) as cursor:
            cursor.execute("CREATE TABLE kept (word text)")
            cursor.execute("INSERT INTO kept VALUES ('kept')")
        yield Path(name)


@contextmanager
def connected(url: str) -> Iterator[psycopg2.extensions.cursor]:
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        yield connection.cursor()


def kept(home: Path) -> list[tuple[object, ...]]:
    """What the database has kept, read by the next command."""
    with serving(home) as url, connected(url) as cursor:
        cursor.execute("SELECT word FROM kept")
        words: list[tuple[object, ...]] = cursor.fetchall()
        return words


def refusal(home: Path) -> str:
    with pytest.raises(EmbeddedPostgresError) as refused, serving(home):
        pass
    assert "\n" not in str(refused.value)
    return str(refused.value)


def answer(home: Path) -> object:
    with serving(home) as url, connected(url) as cursor:
        cursor.execute("SELECT 42")
        return cursor.fetchall()


def test_a_first_start_that_is_interrupted_anywhere_leaves_a_home_that_works(
    folder: Path, rounds: Callable[[int], int]
) -> None:
    moments = random.Random()  # noqa: S311 - any moment will do
    for number in range(rounds(2)):
        home = folder / f"home {number}"
        first = subprocess.Popen(
            [sys.executable, "-c", FIRST_COMMAND, home], start_new_session=True, stderr=subprocess.DEVNULL
        )
        after = moments.uniform(0.2, LONGEST_START_SECONDS)
        time.sleep(after)
        how = (number % 3, after)
        if number % 3 == 0:  # Ctrl-C in a terminal reaches the whole group
            os.killpg(first.pid, signal.SIGINT)
        elif number % 3 == 1:
            os.killpg(first.pid, signal.SIGKILL)
        else:
            first.kill()
        first.wait()

        assert answer(home) == [(42,)], how
        assert not (home / "postgres" / "postmaster.pid").exists(), how
        assert not list(home.glob(".postgres.unfinished*")), how


def _only_its_version(data: Path) -> None:
    data.mkdir()
    (data / "PG_VERSION").write_text("18\n")


@pytest.mark.parametrize("left", [Path.mkdir, _only_its_version], ids=["empty", "only its version"])
def test_data_that_an_earlier_release_never_finished_is_made_anew(folder: Path, left: Callable[[Path], None]) -> None:
    left(folder / "postgres")

    assert answer(folder) == [(42,)]


def test_data_whose_first_database_was_begun_only_is_made_anew(folder: Path) -> None:
    with serving(folder) as url, connected(url.replace("/postgres?", "/template1?")) as cursor:
        cursor.execute("DROP DATABASE postgres")
    (folder / "postgres" / "base" / "5").mkdir()

    assert answer(folder) == [(42,)]


def test_a_database_of_one_s_own_is_never_thrown_away_because_the_first_one_is_missing(folder: Path) -> None:
    with serving(folder) as url, connected(url) as cursor:
        cursor.execute("CREATE DATABASE own")
        with connected(url.replace("/postgres?", "/own?")) as in_own:
            in_own.execute("DROP DATABASE postgres WITH (FORCE)")

    assert 'database "postgres" does not exist' in refusal(folder)
    assert (
        "own" in {entry.name for entry in (folder / "postgres" / "base").iterdir()}
        or len(list((folder / "postgres" / "base").iterdir())) == 3
    )


@pytest.mark.parametrize("content", ["", "12", "\0\0\0\0", "no number\n"])
def test_a_torn_pid_file_of_a_server_that_is_gone_is_no_obstacle(home: Path, content: str) -> None:
    (home / "postgres" / "postmaster.pid").write_text(content)

    assert kept(home) == [("kept",)]


@pytest.mark.parametrize("is_there", [True, False])
def test_an_empty_or_lost_version_is_written_anew_where_the_data_tells_it(home: Path, *, is_there: bool) -> None:
    version = home / "postgres" / "PG_VERSION"
    version.unlink()
    if is_there:
        version.touch()

    assert kept(home) == [("kept",)]
    assert version.read_text() == "18\n"


def test_a_version_that_cannot_be_told_is_one_sentence(home: Path) -> None:
    lost = [home / "postgres" / "PG_VERSION", home / "postgres" / "base" / "1" / "PG_VERSION"]
    for version in lost:
        version.write_text("")

    assert "PG_VERSION is empty or missing" in refusal(home)

    for version in lost:
        version.write_text("18\n")
    assert kept(home) == [("kept",)]


def test_data_of_another_postgres_version_is_one_sentence(folder: Path) -> None:
    _only_its_version(folder / "postgres")
    (folder / "postgres" / "PG_VERSION").write_text("11\n")

    assert "holds data of Postgres '11', and this release has 18" in refusal(folder)


def test_a_file_in_the_place_of_the_data_is_one_sentence(folder: Path) -> None:
    (folder / "postgres").write_text("mine")

    assert refusal(folder).endswith("and the embedded Postgres needs a folder there; move it away")
    assert (folder / "postgres").read_text() == "mine"


def test_files_of_somebody_else_in_the_place_of_the_data_are_kept(folder: Path) -> None:
    (folder / "postgres").mkdir()
    (folder / "postgres" / "thesis.txt").write_text("mine")

    assert "'thesis.txt'" in refusal(folder)
    assert (folder / "postgres" / "thesis.txt").read_text() == "mine"


def test_what_initdb_says_is_in_the_log_that_the_error_names(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "no_SUCH.locale")

    said = refusal(folder)

    log = folder / "logs" / "initdb.log"
    assert said.endswith(f"the output of initdb is in {log}")
    assert "locale" in log.read_text()
    assert not (folder / "postgres").exists()


def test_a_pid_file_that_names_another_process_is_no_obstacle_and_that_process_is_left_alone(
    home: Path, folder: Path
) -> None:
    with sleeping() as decoy, serving(folder):  # another process, and the server of another home
        other = int((folder / "postgres" / "postmaster.pid").read_text().split("\n")[0])
        for pid in (decoy.pid, other, os.getpid(), 1):
            stale = f"{pid}\n{home}/postgres\n1700000000\n5432\n{home}/postgres\n\n  1234 5678\nready\n"
            (home / "postgres" / "postmaster.pid").write_text(stale)
            (home / "postgres" / ".s.PGSQL.5432.lock").write_text(stale)

            assert kept(home) == [("kept",)]
            assert not (home / "postgres" / "postmaster.pid").exists()

        assert decoy.poll() is None
        assert answer(folder) == [(42,)]
        assert int((folder / "postgres" / "postmaster.pid").read_text().split("\n")[0]) == other


def test_what_a_killed_server_leaves_running_is_ended_before_the_next_one_starts(home: Path) -> None:
    with serving(home) as url, closing(psycopg2.connect(url)) as busy:
        with busy.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            [(orphan,)] = cursor.fetchall()
        os.kill(orphan, signal.SIGSTOP)  # busy: it does not see that its server is gone
        os.kill(int((home / "postgres" / "postmaster.pid").read_text().split("\n")[0]), signal.SIGKILL)

        assert kept(home) == [("kept",)]
        assert not is_alive(orphan)
