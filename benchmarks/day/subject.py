"""The subject `day`: whole trading days, run by the real pipeline and by others in turns.

Every round is another trading day, and the closes that it reads are those of the round before. A first day is run
before and does not count, so that warm is warm.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from shutil import rmtree
from tempfile import TemporaryDirectory

import click

from benchmarks.day import contestants
from benchmarks.day.contestants import Contestant, Day
from benchmarks.day.raw_days import RawDays
from benchmarks.day.results import DayFindings, Series, beside
from benchmarks.day.same_rows import differences
from benchmarks.timing import Findings, Measurement, Target
from capstone_dagster.trading_days import trading_days

_FIRST_DAY = date(2020, 8, 5)
_OURS, _BEFORE, _PLAIN = "capstone", "before", "DuckDB, plain"


@dataclass(frozen=True)
class DayOptions:
    """What is measured on."""

    events: int = 100_000
    rounds: int = 3
    beside: Path | None = None
    """Another checkout of the project, with its own .venv."""
    skewed: bool = False
    only: Sequence[str] = ()


def measure(options: DayOptions = DayOptions()) -> Findings:
    """Run the days."""
    with TemporaryDirectory(prefix="capstone-bench-") as home, ExitStack() as stack:
        runners = _contestants(options, Path(home))
        for runner in runners:
            stack.callback(runner.end)
        rounds = _Rounds(options, Path(home), runners)
        rounds.run()
    return DayFindings(
        f"{options.rounds} trading days of {options.events:,} events",
        rounds.targets(),
        series=list(rounds.warm.values()),
        rows=rounds.rows,
    )


def _contestants(options: DayOptions, home: Path) -> list[Contestant]:
    ours = [contestants.pipeline(_OURS, home / "ours")]
    if options.beside:
        ours.append(contestants.pipeline(_BEFORE, home / "before", options.beside.resolve()))
    return [*ours, contestants.plain_duckdb(home / "plain_duckdb")]


class _Rounds:
    def __init__(self, options: DayOptions, home: Path, runners: Sequence[Contestant]) -> None:
        self._options, self._home, self._runners = options, home, runners
        self.warm = {runner.name: Series(runner.name, "warm", options.events) for runner in runners}
        self.rows: list[str] = []

    def run(self) -> None:
        for number, day in enumerate(self._days()):
            for runner in self._runners:
                took = runner.warm(day)
                steps = ", ".join(f"{step} {seconds:.2f}" for step, seconds in took.steps.items())
                click.echo(f"  {day.day} {runner.name}: {took.seconds:.2f} s ({steps})", err=True)
                if number:
                    self.warm[runner.name].taken.append(took)
                    self.warm[runner.name].bytes.append(runner.bytes(day.day))
            self._compare(day.day)
            rmtree(day.raw)

    def _days(self) -> Iterator[Day]:
        calendar, previous = trading_days(_FIRST_DAY), None
        day: date | None = _FIRST_DAY
        for number in range(self._options.rounds + 1):
            if day is None:
                raise click.ClickException("the calendar ends")
            raw = self._home / f"raw{number}"
            size = RawDays(raw, self._options.events, self._options.skewed).write(day)
            click.echo(f"  {day}: {size / 1_000_000:.1f} MB of raw files", err=True)
            yield Day(day, previous, raw)
            previous, day = day, calendar.next(day)

    def _compare(self, day: date) -> None:
        """The rows of the contestants that promise the same."""
        ours, *others = [runner for runner in self._runners if runner.is_exact]
        for other in others:
            found = list(differences(ours.files(day), other.files(day)))
            self.rows += found or [f"{day}: {ours.name} and {other.name} have the same rows in every table"]
            if found:
                raise click.ClickException("\n".join(found))

    def targets(self) -> list[list[Measurement]]:
        """The groups."""
        ours, plain = self.warm[_OURS], self.warm[_PLAIN]
        groups = [beside(plain, {ours.name: (ours, Target(3.0, "ratio"))})]
        if _BEFORE in self.warm:
            before = self.warm[_BEFORE]
            groups += [
                beside(before, {ours.name: (ours, None)}),
                beside(before, {ours.name: (ours, Target(1 / 3, "ratio"))}, "ingested__events"),
                beside(before, {ours.name: (ours, Target(0.5, "ratio"))}, "eod", "report"),
            ]
        return groups
