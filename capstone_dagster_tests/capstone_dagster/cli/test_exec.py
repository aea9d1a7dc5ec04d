"""``capstone exec``: the command it runs, its exit code, and the storage that is up meanwhile."""

import os
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from capstone_dagster_tests.builders.command_line import CAPSTONE, Run

CONNECT = "import os, psycopg2; psycopg2.connect(os.environ['CAPSTONE_POSTGRES_URL'])"

# No variable but the home, whatever the machine has set.
pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture(scope="module")
def server_home() -> Iterator[Path]:
    """The home of all tests with an embedded server: making its data takes two seconds.

    Not below ``tmp_path``, where another pytest locks out the other user that root's server runs as.
    """
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture
def with_server(server_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of the embedded server of these tests."""
    monkeypatch.setenv("CAPSTONE_HOME", str(server_home))
    return server_home


def server_is_up(home: Path) -> bool:
    return (home / "postgres" / "postmaster.pid").exists()


@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -9 $$", 137), ("kill -15 $$", 143)]
)
def test_the_exit_code_of_the_command_is_passed_on(capstone: Run, with_server: Path, script: str, code: int) -> None:
    assert capstone("exec", "--", "sh", "-c", script) == (code, "", "")
    assert not server_is_up(with_server)


def test_the_command_finds_the_run_storage_and_dagster_s_home(capstone: Run, with_server: Path) -> None:
    script = f'{shlex.quote(sys.executable)} -c "{CONNECT}" && echo "$DAGSTER_HOME" && ls "$DAGSTER_HOME"'

    code, out, err = capstone("exec", "--", "sh", "-c", script)

    assert (code, err) == (0, "")
    assert out.splitlines()[:2] == [f"{with_server}/dagster", "dagster.yaml"]


@pytest.mark.parametrize("separator", [["--"], []], ids=["behind --", "as they are"])
def test_the_options_of_the_command_are_its_own(capstone: Run, with_server: Path, separator: list[str]) -> None:
    code, out, err = capstone("exec", *separator, "echo", "--job", "x y", "-h", "--help")

    assert (code, out, err) == (0, "--job x y -h --help\n", "")
    assert with_server.exists()


@pytest.mark.parametrize(
    ("command", "reason"), [("no-such-command", "No such file or directory"), ("/etc", "Permission denied")]
)
def test_a_command_that_cannot_be_run_is_one_line(capstone: Run, with_server: Path, command: str, reason: str) -> None:
    code, out, err = capstone("exec", "--", command)

    assert (code, out, err) == (1, "", f"capstone: cannot run {command}: {reason}\n")
    assert not server_is_up(with_server)


@pytest.mark.parametrize(
    ("number", "to_all"),
    [pytest.param(signal.SIGTERM, False, id="terminated"), pytest.param(signal.SIGINT, True, id="Ctrl-C")],
)
def test_the_storage_stays_up_until_a_command_that_is_asked_to_end_has_ended(
    with_server: Path, number: signal.Signals, to_all: bool
) -> None:
    still_up = f'{shlex.quote(sys.executable)} -c "{CONNECT}"'
    ending = f"ending() {{ echo ending; sleep 0.5; {still_up} && exit 7; exit 8; }}"
    script = f"{ending}; trap ending {number.name.removeprefix('SIG')}; echo up; while :; do sleep 0.1; done"
    process = subprocess.Popen(
        [CAPSTONE, "exec", "--", "sh", "-c", script], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout
    try:
        assert process.stdout.readline() == "up\n"
        if to_all:
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)
        out, _ = process.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise

    assert (out, process.returncode) == ("ending\n", 7)
    assert not server_is_up(with_server)
