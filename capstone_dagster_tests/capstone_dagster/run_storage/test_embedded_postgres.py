"""The embedded server: real processes that share it, end, are killed, and find their data again."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
import pytest

from capstone_dagster.run_storage import postgres_programs
from capstone_dagster.run_storage.embedded_postgres import serving
from capstone_dagster.run_storage.postgres_programs import EmbeddedPostgresError
from capstone_dagster_tests.servers.processes import eventually

# A user of the server in a process of its own: says its URL, stays until its input ends.
USER = """
import sys
from pathlib import Path
from capstone_dagster.run_storage.embedded_postgres import serving

home = Path(sys.argv[1])
with serving(home) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not ``tmp_path``: every pytest that starts closes the folder of all of them to others than root.

    A server of root's runs as another user, and would be locked out by a second pytest.
    """
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """One home for the tests that only start and stop: making the data takes two seconds."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@contextmanager
def serve(home: Path) -> Iterator[str]:
    with serving(home) as url:
        yield url


def query(url: str, sql: str) -> list[tuple[object, ...]]:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def answers(url: str) -> list[tuple[object, ...]]:
    try:
        return query(url, "SELECT 1")
    except psycopg2.OperationalError:
        return []


def server_pid(home: Path) -> int | None:
    """The process id that the server writes beside its data, or None once it has stopped."""
    pid_file = home / "postgres" / "postmaster.pid"
    return int(pid_file.read_text().splitlines()[0]) if pid_file.exists() else None


def kill_server(home: Path) -> None:
    pid = server_pid(home)
    assert pid
    os.kill(pid, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    try:
        # A killed process stays as a zombie until its parent asks for it; it runs no more.
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


class User:
    """Another process that uses the server below a home."""

    def __init__(self, home: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", USER, home], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout
        self.url = self._process.stdout.readline().strip()

    def end(self) -> None:
        self._process.communicate()
        assert self._process.returncode == 0

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.mark.parametrize("name", ["it's 100% ü", "a $HOME"])
def test_the_home_may_have_an_odd_name(folder: Path, name: str) -> None:
    home = folder / name

    with serve(home) as url:
        assert query(url, "SHOW data_directory") == [(str(home / "postgres"),)]
        assert (home / "postgres" / "server.log").stat().st_size > 0
    assert server_pid(home) is None


def test_a_home_too_long_for_a_socket_has_its_socket_elsewhere(folder: Path) -> None:
    home = folder / ("long " * 20) / "home"

    with serve(home) as url:
        [(socket_folder,)] = query(url, "SHOW unix_socket_directories")
        assert len(f"{socket_folder}/.s.PGSQL.5432.lock") < 107
        assert query(url, "SHOW data_directory") == [(str(home / "postgres"),)]
        (Path(str(socket_folder)) / "notes").write_text("somebody's")
    assert server_pid(home) is None
    assert [left.name for left in Path(str(socket_folder)).iterdir()] == ["notes"]

    with serve(home) as again:
        assert again == url
        (Path(str(socket_folder)) / "notes").unlink()
    assert not Path(str(socket_folder)).exists()


def test_a_socket_folder_that_somebody_else_has_taken_is_left_alone_and_another_one_made(folder: Path) -> None:
    home, theirs = folder / ("long " * 20) / "home", folder / "theirs"
    theirs.mkdir(mode=0o755)
    home.mkdir(parents=True)
    taken = Path(tempfile.gettempdir()) / f"capstone-{os.getpid()}-taken"
    taken.symlink_to(theirs)
    (home / ".postgres.socket").write_text(str(taken))
    before = theirs.stat()

    with serve(home) as url:
        [(socket_folder,)] = query(url, "SHOW unix_socket_directories")

    assert str(socket_folder) != str(taken)
    assert (theirs.stat().st_uid, theirs.stat().st_mode) == (before.st_uid, before.st_mode)
    assert not list(theirs.iterdir())
    assert taken.is_symlink()
    taken.unlink()


def test_what_the_server_writes_is_closed_to_others(home: Path) -> None:
    with serve(home):
        for inner in ("postgres", "logs", ".postgres.lock", ".postgres.users.lock"):
            assert not (home / inner).stat().st_mode & 0o077, inner
        # Root's server runs as another user, who may pass.
        assert home.stat().st_mode & 0o077 == (0o010 if os.geteuid() == 0 else 0)


def test_nobody_on_the_network_reaches_the_server(home: Path) -> None:
    with serve(home) as url:
        assert query(url, "SHOW listen_addresses") == [("",)]


def test_two_processes_share_one_server_and_the_last_one_stops_it(home: Path) -> None:
    first, second = User(home), User(home)
    pid = server_pid(home)
    assert pid
    assert first.url == second.url

    first.end()
    assert server_pid(home) == pid
    assert query(second.url, "SELECT 1") == [(1,)]

    second.end()
    assert server_pid(home) is None
    assert not is_alive(pid)


def test_two_processes_that_start_at_once_make_one_server(folder: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", USER, folder], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]

    urls = [process.communicate()[0] for process in processes]

    assert [process.returncode for process in processes] == [0, 0]
    assert urls[0] == urls[1] != ""
    assert server_pid(folder) is None


def test_a_killed_user_does_not_keep_the_server_up_after_the_next_one_ends(home: Path) -> None:
    killed = User(home)
    pid = server_pid(home)
    killed.kill()
    assert server_pid(home) == pid

    with serve(home) as url:
        assert server_pid(home) == pid
        assert query(url, "SELECT 1") == [(1,)]
    assert server_pid(home) is None


def test_the_data_survives_restarts_and_a_kill_of_the_server(home: Path) -> None:
    with serve(home) as url:
        query(url, "CREATE TABLE survivors (name text)")
        query(url, "INSERT INTO survivors VALUES ('stopped')")
    with serve(home) as url:
        query(url, "INSERT INTO survivors VALUES ('killed')")
        kill_server(home)
        # What the killed user of a killed server leaves: its pid file, and nobody's lock.
        with serve(home) as next_url:
            assert query(next_url, "SELECT name FROM survivors ORDER BY name") == [("killed",), ("stopped",)]
    assert server_pid(home) is None


def test_a_server_that_is_killed_is_started_again_by_those_who_use_it_while_they_wait(home: Path) -> None:
    with serve(home) as url:
        users = [User(home), User(home)]
        query(url, "CREATE TABLE IF NOT EXISTS seen (times int)")
        query(url, "INSERT INTO seen VALUES (1)")
        before = server_pid(home)
        kill_server(home)

        assert eventually(lambda: answers(url)) == [(1,)]
        assert server_pid(home) not in (before, None)
        for user in users:
            user.end()
        assert query(url, "SELECT times FROM seen") == [(1,)]
    assert server_pid(home) is None


def test_a_server_whose_pid_file_is_torn_is_used_and_stopped(home: Path) -> None:
    with serve(home) as url:
        pid = server_pid(home)
        assert pid
        (home / "postgres" / "postmaster.pid").write_text("")
        with serve(home):
            assert query(url, "SELECT 1") == [(1,)]
    assert not is_alive(pid)


def test_a_server_that_died_meanwhile_does_not_fail_its_user(home: Path) -> None:
    with serve(home):
        kill_server(home)

    with serve(home) as url:
        assert query(url, "SELECT 1") == [(1,)]


def test_an_error_of_the_user_stops_the_server_and_comes_through(home: Path) -> None:
    with pytest.raises(ZeroDivisionError), serve(home):
        raise ZeroDivisionError
    assert server_pid(home) is None


@pytest.mark.skipif(not Path("/usr/sbin/useradd").exists(), reason="this system has no useradd there")
def test_the_command_that_makes_the_user_of_root_s_server_need_not_be_on_the_path(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(postgres_programs, "_USER_OF_ROOT", "root")  # whom it refuses to make again

    assert "No such file" not in postgres_programs._make_user()


def test_a_server_that_does_not_start_is_one_error_that_names_its_log(home: Path) -> None:
    with serve(home):
        pass
    configuration = home / "postgres" / "postgresql.auto.conf"
    before = configuration.read_text()
    configuration.write_text("no_such_setting = 1\n")

    with pytest.raises(EmbeddedPostgresError, match="did not start") as failed, serve(home):
        pass

    configuration.write_text(before)
    log = home / "postgres" / "server.log"
    assert str(failed.value).endswith(f"its log is {log}")
    assert "\n" not in str(failed.value)
    assert "no_such_setting" in log.read_text()
