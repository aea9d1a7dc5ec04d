"""`make dev` from its start to its end."""

import os
import subprocess
from contextlib import closing
from datetime import date
from pathlib import Path

import psutil

from capstone_dagster_tests.dagster_services import Services, unused_port
from capstone_dagster_tests.platform import CAPSTONE, Platform
from capstone_dagster_tests.processes import eventually


def test_when_a_part_dies_the_others_are_ended_and_a_sentence_says_which_it_was(tmp_path: Path) -> None:
    ui = Services(unused_port(), tmp_path / "log")
    with closing(ui.log.open("w")) as output:
        process = subprocess.Popen(
            [CAPSTONE, "dev", "--port", str(ui.port)],
            env=os.environ | Platform(tmp_path / "home", date(2020, 8, 5)).environment,
            stdout=output,
            stderr=output,
        )
    eventually(lambda: ui.answers(process))
    parts = psutil.Process(process.pid).children()
    (daemon,) = [part for part in parts if "dagster._daemon" in part.cmdline()]

    daemon.kill()

    assert process.wait(timeout=120) == 1
    last = ui.log.read_text().strip().splitlines()[-1]
    assert last == (
        "capstone: the daemon was killed by SIGKILL, and so the rest was ended too; its last lines above may say why"
    )
    gone, alive = psutil.wait_procs(parts, timeout=60)
    assert not alive, gone
