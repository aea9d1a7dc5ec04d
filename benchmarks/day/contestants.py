"""Who runs the days: programs that are asked for one day after another (warm), or once per process (cold).

All write into folders of their own, and use all cores.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Literal

import click

from benchmarks.day.process_tree import ProcessTree, Usage
from benchmarks.day.same_rows import Files, published, written
from capstone_dagster.settings import CHECKOUT, Settings

Way = Literal["warm", "cold"]
Kind = Literal["even", "skewed"]


@dataclass(frozen=True)
class Day:
    """A day to run."""

    day: date
    previous: date | None
    raw: Path
    events: int
    kind: Kind = "even"


@dataclass(frozen=True)
class Took:
    """What a day took: the seconds of each step and of all, and what the processes used and wrote."""

    events: int
    seconds: float
    steps: Mapping[str, float]
    usage: Usage
    bytes: int


@dataclass(eq=False)
class Program:
    """A program that runs days when it is asked to."""

    name: str
    command: Sequence[str]
    home: Path
    is_exact: bool = False
    """Whether its rows must be those of the contract."""
    folder: Path = CHECKOUT
    _process: subprocess.Popen[str] | None = field(default=None, repr=False)

    def warm(self, day: Day) -> Took:
        """Run a day in the process that has run the days before."""
        if self._process is None:
            self._process = self._start()
        with ProcessTree(self._process.pid) as tree:
            began = time.perf_counter()
            steps = self._ask(self._process, day)
            seconds = time.perf_counter() - began
        return Took(day.events, seconds, steps, tree.usage, self.bytes(day))

    def cold(self, day: Day) -> Took:
        """Run a day in a process of its own, from its start to its end."""
        began = time.perf_counter()
        process = self._start()
        with ProcessTree(process.pid) as tree:
            steps = self._ask(process, day)
            _end(process)
            seconds = time.perf_counter() - began
        return Took(day.events, seconds, steps, tree.usage, self.bytes(day))

    def out(self, day: Day) -> Path:
        """Where the tables lie."""
        return self.home / day.kind

    def files(self, day: Day) -> Files:
        """What it has made of a day."""
        return written(str(self.out(day)), day.day)

    def bytes(self, day: Day) -> int:
        """How much it has made of a day."""
        return sum(Path(path).stat().st_size for paths in self.files(day).values() for path in paths)

    def end(self) -> None:
        """End the process that has run days, if there is one."""
        if self._process:
            _end(self._process)
            self._process = None

    def _start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(  # noqa: S603 - our own programs
            self.command, cwd=self.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment()
        )

    def _ask(self, process: subprocess.Popen[str], day: Day) -> Mapping[str, float]:
        out, previous = self.out(day), day.previous and day.previous.isoformat()
        out.mkdir(parents=True, exist_ok=True)
        request = {"day": day.day.isoformat(), "previous": previous, "raw": str(day.raw), "out": str(out)}
        if process.stdin is None or process.stdout is None:
            raise click.ClickException("no pipes")
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        if not answer:
            raise click.ClickException(f"{self.name}: ended with {process.wait()} at {day.day}")
        steps: Mapping[str, float] = json.loads(answer)
        return steps


class Pipeline(Program):
    """The real pipeline, as it is in a checkout with its own .venv."""

    def __init__(self, name: str, home: Path, checkout: Path = CHECKOUT) -> None:
        program = Path(__file__).with_name("pipeline.py")
        command = [f"{checkout}/.venv/bin/python", "-P", f"{program}"]
        super().__init__(name, command, home, is_exact=True, folder=checkout)
        self.postgres_url = ""

    def files(self, day: Day) -> Files:
        """What is published of a day."""
        return published(str(self.out(day)), day.day)

    def run(self, day: Day) -> Took:
        """`capstone run` of a day, from the start of the process to its end."""
        seconds, usage = self.command_line(day, "run", f"{day.day}")
        return Took(day.events, seconds, {}, usage, self.bytes(day))

    def command_line(self, day: Day, *arguments: str) -> tuple[float, Usage]:
        """A command of `capstone` on the folders of a day, from its start to its end."""
        given = {
            **dict.fromkeys(Settings.variables(), ""),
            "CAPSTONE_HOME": f"{self.home}",
            "CAPSTONE_RAW_URI": f"{day.raw}",
            "CAPSTONE_LAKE_URI": f"{self.out(day)}",
            "CAPSTONE_POSTGRES_URL": self.postgres_url,
        }
        command = [f"{self.folder}/.venv/bin/capstone", *arguments]
        with (self.home / "capstone.log").open("wb") as log:
            began = time.perf_counter()
            process = subprocess.Popen(  # noqa: S603 - our own command
                command, cwd=self.folder, stdout=log, stderr=log, env={**environment(), **given}
            )
            with ProcessTree(process.pid) as tree:
                code = process.wait()
                seconds = time.perf_counter() - began
        if code:
            said = Path(log.name).read_text(errors="replace")
            raise click.ClickException(f"{' '.join(command)} ended with {code}:\n{said}")
        return seconds, tree.usage


def module(name: str, home: Path, *command: str, is_exact: bool = False) -> Program:
    """A contestant that is a module of this package."""
    return Program(name, [sys.executable, "-m", f"benchmarks.day.{command[0]}", *command[1:]], home, is_exact=is_exact)


def _end(process: subprocess.Popen[str]) -> None:
    if process.stdin:
        process.stdin.close()
    if process.wait():
        raise click.ClickException(f"{process.args!r} ended with {process.returncode}")


def environment() -> dict[str, str]:
    """Without what Python is told here: another checkout has its own packages."""
    return {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
