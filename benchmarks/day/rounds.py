"""The rounds: every one is another trading day, run by every contestant in turn.

The closes that a day reads are those of the round before. The first day does not count, so that warm is warm; its
processes are started on it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from shutil import rmtree

import click

from benchmarks.day.contestants import Day, Kind, Program, Took, Way
from benchmarks.day.raw_days import RawDays
from benchmarks.day.results import Series
from benchmarks.day.same_rows import differences
from capstone_dagster.trading_days import trading_days

_FIRST_DAY = date(2020, 8, 5)

AllSeries = dict[tuple[str, Way], Series]


@dataclass(frozen=True)
class Entry:
    """A contestant, and the way in which it runs days of a kind."""

    program: Program
    way: Way
    run: Callable[[Day], Took]
    kind: Kind = "even"
    name: str = ""
    """Where it is not the program's."""

    @property
    def shown(self) -> str:
        """For people."""
        return self.name or self.program.name


class Rounds:
    """Runs them, and keeps what was found."""

    def __init__(self, folder: Path, entries: Sequence[Entry], sizes: Sequence[int], files: int) -> None:
        self._folder, self._entries, self._sizes, self._files = folder, entries, sizes, files
        self._kinds = dict.fromkeys(entry.kind for entry in entries)
        self.series: AllSeries = {(entry.shown, entry.way): Series(entry.shown, entry.way) for entry in entries}
        self.rows: list[str] = []

    def run(self) -> None:
        """Run all days; differing rows are an error."""
        warm = {entry.program for entry in self._entries if entry.way == "warm"}
        for number, days in enumerate(self._made()):
            for entry in self._entries:
                if number or entry.way == "warm" or entry.program not in warm:
                    took = entry.run(days[entry.kind])
                    series = self.series[entry.shown, entry.way]
                    steps = ", ".join(f"{step} {seconds:.2f}" for step, seconds in took.steps.items())
                    click.echo(f"  {series.name}: {took.seconds:.2f} s ({steps})", err=True)
                    if number:
                        series.taken.append(took)
            for day in days.values():
                self._compare(day)
                rmtree(day.raw)

    def _made(self) -> Iterator[dict[Kind, Day]]:
        """The days of each round, made when it is their turn."""
        calendar, previous = trading_days(_FIRST_DAY), None
        day: date | None = _FIRST_DAY
        for events in self._sizes:
            if day is None:
                raise click.ClickException("the calendar ends")
            days: dict[Kind, Day] = {}
            for kind in self._kinds:
                raw = self._folder / kind
                size = RawDays(raw, events, kind == "skewed", self._files).write(day)
                click.echo(f"  {day}: {events:,} events, {size / 1_000_000:.1f} MB of raw files", err=True)
                days[kind] = Day(day, previous, raw, events, kind)
            yield days
            previous, day = day, calendar.next(day)

    def _compare(self, day: Day) -> None:
        """The rows of the contestants that promise the same."""
        fitting = (entry.program for entry in self._entries if entry.kind == day.kind and entry.program.is_exact)
        first, *others = [*dict.fromkeys(fitting), None]
        for other in others:
            if first and other:
                found = list(differences(first.files(day), other.files(day)))
                if found:
                    raise click.ClickException("\n".join([f"{day.day}: {first.name} and {other.name} differ", *found]))
                self.rows.append(f"{day.day}, {day.kind}: {first.name} and {other.name} have the same rows")
