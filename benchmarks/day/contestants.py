"""Who runs the days: programs that are asked for one day after another (warm), or once per process (cold)."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import click

from benchmarks.day.process_tree import ProcessTree, Usage
from benchmarks.day.same_rows import Files, published, written
from capstone_dagster.settings import CHECKOUT


@dataclass(frozen=True)
class Day:
    """A day to run."""

    day: date
    previous: date | None
    raw: Path


@dataclass(frozen=True)
class Took:
    """What a day took: the seconds of each step and of all, and what the processes used."""

    seconds: float
    steps: Mapping[str, float]
    usage: Usage


@dataclass
class Contestant:
    """A program that runs days, in processes of its own."""

    name: str
    command: Sequence[str]
    out: Path
    has_lake: bool = False
    is_exact: bool = False
    """Whether its rows must be those of the contract."""
    folder: Path = CHECKOUT
    _process: subprocess.Popen[str] | None = field(default=None, repr=False)

    def warm(self, day: Day) -> Took:
        """Run a day in the process that has run the days before."""
        if self._process is None:
            self._process = self._started()
        with ProcessTree(self._process.pid) as tree:
            began = time.perf_counter()
            steps = self._answer(self._process, day)
            seconds = time.perf_counter() - began
        return Took(seconds, steps, tree.usage)

    def cold(self, day: Day) -> Took:
        """Run a day in a process of its own, from its start to its end."""
        began = time.perf_counter()
        process = self._started()
        with ProcessTree(process.pid) as tree:
            steps = self._answer(process, day)
            _end(process)
            seconds = time.perf_counter() - began
        return Took(seconds, steps, tree.usage)

    def files(self, day: date) -> Files:
        """What it has made of a day."""
        return (published if self.has_lake else written)(str(self.out), day)

    def bytes(self, day: date) -> int:
        """How much it has made of a day."""
        return sum(Path(path).stat().st_size for paths in self.files(day).values() for path in paths)

    def end(self) -> None:
        """End the process that has run days, if there is one."""
        if self._process:
            _end(self._process)
            self._process = None

    def _started(self) -> subprocess.Popen[str]:
        return subprocess.Popen(  # noqa: S603 - our own programs
            self.command, cwd=self.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=_environment()
        )

    def _answer(self, process: subprocess.Popen[str], day: Day) -> Mapping[str, float]:
        self.out.mkdir(parents=True, exist_ok=True)
        previous = day.previous and day.previous.isoformat()
        request = {"day": day.day.isoformat(), "previous": previous, "raw": str(day.raw), "out": str(self.out)}
        if process.stdin is None or process.stdout is None:
            raise click.ClickException("no pipes")
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        if not answer:
            raise click.ClickException(f"{self.name}: ended with {process.wait()} at {day.day}")
        steps: Mapping[str, float] = json.loads(answer)
        return steps


def pipeline(name: str, out: Path, checkout: Path = CHECKOUT) -> Contestant:
    """The real pipeline, as it is in a checkout with its own .venv."""
    program = Path(__file__).with_name("pipeline.py")
    return Contestant(
        name,
        [f"{checkout}/.venv/bin/python", "-P", f"{program}"],
        out / "lake",
        has_lake=True,
        is_exact=True,
        folder=checkout,
    )


def plain_duckdb(out: Path) -> Contestant:
    """The floor."""
    return Contestant("DuckDB, plain", [sys.executable, "-m", "benchmarks.day.plain_duckdb"], out)


def _end(process: subprocess.Popen[str]) -> None:
    if process.stdin:
        process.stdin.close()
    if process.wait():
        raise click.ClickException(f"{process.args!r} ended with {process.returncode}")


def _environment() -> dict[str, str]:
    """Without what Python is told here: another checkout has its own packages."""
    return {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
