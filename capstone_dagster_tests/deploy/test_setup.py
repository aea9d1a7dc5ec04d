"""What `make setup` says while it makes the environment, and what Dagster's own commands then leave alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from capstone_dagster.settings import CHECKOUT
from capstone_dagster_tests.builders.terminals import written_on_a_terminal

PROGRESS = CHECKOUT / "deploy" / "install_progress.sh"
LOCK = """\
click==8.5.1 \\
    --hash=sha256:00
colorama==0.4.6 ; sys_platform == 'win32' \\
    --hash=sha256:01
PyYAML==6.0.3
"""
# What pip prints.
PIP = """\
Ignoring colorama: markers 'sys_platform == "win32"' don't match your environment
Collecting click==8.5.1 (from -r requirements.lock (line 1))
  Downloading click-8.5.1-py3-none-any.whl (108 kB)
Collecting PyYAML==6.0.3 (from -r requirements.lock (line 4))
  Downloading https://example.com/pyyaml-6.0.3.whl (800 kB)
Installing collected packages: PyYAML, click

Successfully installed PyYAML-6.0.3 click-8.5.1
"""


def progress(tmp_path: Path) -> list[Path]:
    (tmp_path / "lock").write_text(LOCK)
    return [PROGRESS, tmp_path / "lock"]


def in_terminal(tmp_path: Path, pip: str) -> list[str]:
    """What is written over each other in the line."""
    shown = written_on_a_terminal(progress(tmp_path), input=pip.encode()).decode()
    assert shown.endswith("\n")  # what comes next begins a line
    return [line.removeprefix("\x1b[K").strip() for line in shown.split("\r") if line.strip()]


def test_in_a_terminal_one_line_says_which_package_of_how_many_is_fetched(tmp_path: Path) -> None:
    assert in_terminal(tmp_path, PIP) == [
        "1 of 2 packages  click==8.5.1",
        "1 of 2 packages  click-8.5.1-py3-none-any.whl",
        "2 of 2 packages  PyYAML==6.0.3",
        "2 of 2 packages  pyyaml-6.0.3.whl",
        "2 of 2 packages  unpacking them",
        "2 packages",
    ]


@pytest.mark.parametrize("lines", [2, 4, 6])
def test_an_installation_that_fails_does_not_look_finished(tmp_path: Path, lines: int) -> None:
    assert not in_terminal(tmp_path, "".join(PIP.splitlines(keepends=True)[:lines]))[-1].endswith("packages")


def test_packages_that_are_there_already_are_named(tmp_path: Path) -> None:
    pip = """\
Requirement already satisfied: click==8.5.1 in ./.venv/lib/python3.11/site-packages (from -r lock (line 1)) (8.5.1)
Requirement already satisfied: PyYAML==6.0.3 in ./.venv/lib/python3.11/site-packages (from -r lock (line 4)) (6.0.3)
"""
    assert in_terminal(tmp_path, pip) == ["1 of 3 packages  click==8.5.1", "2 of 3 packages  PyYAML==6.0.3"]


def test_elsewhere_it_says_little(tmp_path: Path) -> None:
    assert subprocess.check_output(progress(tmp_path), input=PIP, text=True) == "  2 of 2 packages\n"


@pytest.mark.slow
def test_dg_leaves_the_home_alone_with_the_configuration_that_setup_names(tmp_path: Path) -> None:
    subprocess.run(
        [Path(sys.executable).with_name("dg"), "list", "projects"],
        cwd=CHECKOUT,
        env={"HOME": str(tmp_path), "PATH": os.defpath, "DG_CLI_CONFIG": str(CHECKOUT / "deploy" / "dg.toml")},
        capture_output=True,
        check=True,
    )

    assert list(tmp_path.iterdir()) == []
    assert "'$(CURDIR)/deploy/dg.toml'" in (CHECKOUT / "Makefile").read_text()
