"""How things are timed: in rounds, each beside a baseline of the same round, because machines are noisy.

A measurement says how many times its baseline something takes, and how much beyond it. Both are medians over the
rounds, so that what disturbs one round disturbs no result.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

import click

from capstone_dagster.cli.text_table import as_text

Work = Callable[[], object]


@dataclass(frozen=True)
class Target:
    """What shall stay below so many seconds, or below a multiple of the baseline."""

    below: float
    of: Literal["all", "own", "ratio"] = "all"
    """All of it, its own share (what it takes beyond the baseline), or its ratio to the baseline."""

    def __str__(self) -> str:
        return f"{self.of} < {self.below:g}{'' if self.of == 'ratio' else ' s'}"


@dataclass(frozen=True)
class Baseline:
    """What the others are compared with."""

    what: str
    work: Work
    is_part: bool
    """Whether the others do it too, so that the rest is their own; otherwise it only says how fast the machine is."""


@dataclass(frozen=True)
class Measurement:
    """How long one thing took in each round, beside its baseline."""

    what: str
    seconds: Sequence[float]
    baseline: Sequence[float]
    is_baseline_part: bool
    target: Target | None = None

    @property
    def median(self) -> float:
        """All of it."""
        return median(self.seconds)

    @property
    def own(self) -> float | None:
        """What it takes beyond a baseline that is part of it."""
        if not self.is_baseline_part:
            return None
        return median(taken - base for taken, base in zip(self.seconds, self.baseline, strict=True))

    @property
    def ratio(self) -> float:
        """How many times the baseline it takes."""
        return median(taken / base for taken, base in zip(self.seconds, self.baseline, strict=True))

    @property
    def is_met(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.target is None:
            return None
        counted = {"all": self.median, "own": self.own, "ratio": self.ratio}[self.target.of]
        return counted is not None and counted < self.target.below

    def as_row(self) -> list[str]:
        """As the table shows it."""
        target = str(self.target or "-")
        met = {None: "-", True: "yes", False: "NO"}[self.is_met]
        own = "-" if self.own is None else _shown(self.own)
        spread = f"{_shown(min(self.seconds))} to {_shown(max(self.seconds))}"
        return [self.what, _shown(self.median), spread, f"{self.ratio:.2f}", own, target, met]

    def as_json(self) -> dict[str, object]:
        """For programs; times in seconds."""
        return {
            "what": self.what,
            "median": self.median,
            "ratio": self.ratio,
            "own": self.own,
            "target": {"below": self.target.below, "of": self.target.of} if self.target else None,
            "met": self.is_met,
            "rounds": list(self.seconds),
        }


@dataclass(frozen=True)
class Findings:
    """What a subject found out."""

    given: str
    """What it measured on, in a sentence."""
    groups: Sequence[Sequence[Measurement]]
    """In each the baseline first."""

    def as_text(self) -> str:
        """An aligned table; every group begins with its baseline, whose ratio is 1."""
        header = ["what", "median", "from to", "ratio", "own", "target", "met"]
        return as_text(header, [measurement.as_row() for group in self.groups for measurement in group])

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {"given": self.given, "groups": [[one.as_json() for one in group] for group in self.groups]}


def compare(baseline: Baseline, others: Mapping[str, tuple[Work, Target | None]], *, rounds: int) -> list[Measurement]:
    """Time everything once a round, after one round that does not count; the baseline comes first."""
    click.echo(f"  {baseline.what}, {', '.join(others)}", err=True)
    works = {baseline.what: baseline.work} | {what: work for what, (work, _) in others.items()}
    taken: dict[str, list[float]] = {what: [] for what in works}
    for number in range(rounds + 1):
        for what, work in works.items():
            seconds = _seconds(work)
            if number:
                taken[what].append(seconds)
    targets = {what: target for what, (_, target) in others.items()}
    return [Measurement(what, taken[what], taken[baseline.what], baseline.is_part, targets.get(what)) for what in works]


def process(*command: str) -> Work:
    """The work of a whole process, from its start to its end; an error if it fails."""

    def run() -> None:
        ended = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - our own commands
        if ended.returncode:
            raise click.ClickException(f"{' '.join(command)} ended with {ended.returncode}:\n{ended.stderr}")

    return run


def python(code: str) -> Work:
    """The work of a fresh Python process."""
    return process(sys.executable, "-c", code)


def _seconds(work: Work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _shown(seconds: float) -> str:
    return f"{seconds:.2f} s" if abs(seconds) >= 1 else f"{seconds * 1000:.1f} ms"
