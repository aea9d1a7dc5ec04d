"""`make dev` from its start to its end."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date
from pathlib import Path

import psutil
import pytest

from capstone_dagster_tests.servers.dagster_services import Services, unused_port
from capstone_dagster_tests.servers.platform import CAPSTONE, Platform
from capstone_dagster_tests.servers.processes import eventually

DAEMON = "capstone_dagster.cli.dev_daemon"


@contextmanager
def _dev(folder: Path) -> Iterator[tuple[Services, "subprocess.Popen[bytes]", list[psutil.Process]]]:
    """The command when its UI answers, and the processes that it has started."""
    ui = Services(unused_port(), folder / "log")
    with (
        closing(ui.log.open("w")) as output,
        subprocess.Popen(
            [CAPSTONE, "dev", "--port", str(ui.port)],
            env=os.environ | Platform(folder / "home", date(2020, 8, 5), automation=True).environment,
            stdout=output,
            stderr=output,
        ) as process,
    ):
        eventually(lambda: ui.answers(process))
        parts = psutil.Process(process.pid).children(recursive=True)
        try:
            yield ui, process, parts
        finally:
            process.kill()


@pytest.mark.faults("F15")
def test_when_a_part_dies_the_others_are_ended_and_a_sentence_says_which_it_was(tmp_path: Path) -> None:
    with _dev(tmp_path) as (ui, process, parts):
        (daemon,) = [part for part in parts if DAEMON in part.cmdline()]

        daemon.kill()

        assert process.wait(timeout=120) == 1
    last = ui.log.read_text().strip().splitlines()[-1]
    assert last == (
        "capstone: the daemon was killed by SIGKILL, so the other parts were stopped too; "
        "its last lines above may say why"
    )
    gone, alive = psutil.wait_procs(parts, timeout=60)
    assert not alive, gone


@pytest.mark.faults("F15", sample=True)
def test_it_runs_once_in_a_home_and_when_it_is_killed_the_ui_and_the_daemon_end_too(tmp_path: Path) -> None:
    with _dev(tmp_path) as (ui, process, parts):
        same_home = Platform(tmp_path / "home", date(2020, 8, 5)).capstone("dev", "--port", f"{unused_port()}")
        assert same_home.returncode == 1
        assert f"the UI and the daemon of {tmp_path / 'home'} are already running" in same_home.stderr
        same_port = Platform(tmp_path / "other", date(2020, 8, 5)).capstone("dev", "--port", f"{ui.port}")
        assert same_port.returncode == 1
        assert f"cannot listen on port {ui.port} of 127.0.0.1: Address already in use" in same_port.stderr
        ends_at_once = [part for part in parts if {DAEMON, "capstone_dagster.ui.server"} & {*part.cmdline()}]
        assert len(ends_at_once) == 2
        said = eventually(ui.log.read_text, lambda said: " - new_files: " in said)
        assert "Checking for new runs" not in said
        assert "\x1b" not in said
        process.kill()

    # The code location hears nothing from it any more, and ends by itself a little later.
    _, alive = psutil.wait_procs(ends_at_once, timeout=60)
    assert not alive
    # The database was left to the next command, which stops it when it has ended.
    assert Platform(tmp_path / "home", date(2020, 8, 5)).capstone("migrate").returncode == 0
