"""The subject `day`: whole trading days, run by the real pipeline and by others in turns, and the targets of both."""

import os
import subprocess
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from benchmarks.day import targets
from benchmarks.day.contestants import Pipeline, Program, Way, environment, module
from benchmarks.day.results import DayFindings
from benchmarks.day.rounds import Entry, Rounds
from benchmarks.day.targets import BEFORE, CONTRACT, EDGES, OURS, PLAIN, PYSPARK
from benchmarks.timing import Findings, Measurement, Target
from capstone_dagster.run_storage.embedded_postgres import serving
from capstone_dagster.settings import CHECKOUT, Settings

CONTESTANTS = (OURS, EDGES, BEFORE, PLAIN, CONTRACT, PYSPARK)


@dataclass(frozen=True)
class DayOptions:
    """What is measured, and on what."""

    events: int = 100_000
    rounds: int = 3
    beside: Path | None = None
    """Another checkout of the project, with its own .venv."""
    skewed: bool = False
    """Also days in which one symbol has half of all quotes."""
    files: int = 1
    """Of each exchange, besides a later one."""
    demo: bool = False
    """Also the demo of both checkouts."""
    only: Sequence[str] = ()
    ways: Sequence[Way] = ("warm", "cold")
    curve: Sequence[float] = ()
    """Instead of equal rounds: days of so many million events, one after another."""

    @property
    def sizes(self) -> list[int]:
        """The events of each day; the first does not count."""
        sizes = [int(size * 1_000_000) for size in self.curve] or [self.events] * self.rounds
        return [sizes[0], *sizes]


def measure(options: DayOptions = DayOptions()) -> Findings:
    """Run the days, and compare."""
    load = os.getloadavg()[0]
    with TemporaryDirectory(prefix="capstone-bench-") as home, ExitStack() as stack:
        entries = _entries(options, Path(home), stack)
        rounds = Rounds(Path(home, "raw"), entries, options.sizes, options.files)
        rounds.run()
        demos = _demos(options, options.beside, Path(home)) if options.demo and options.beside else []
    days = "days of growing size" if options.curve else f"{options.rounds} trading days of {options.events:,} events"
    engines = f"Spark {version('pyspark')}, DuckDB {version('duckdb')}"
    return DayFindings(
        f"{days}, {os.cpu_count()} cores, {engines}, load {load:.1f} before",
        groups=[] if options.curve else [*targets.groups(rounds.series, options.events), *demos],
        series=list(rounds.series.values()),
        rows=[*rounds.rows, *targets.memory(rounds.series, options.events), *targets.curve(rounds.series)],
        is_curve=bool(options.curve),
    )


def _entries(options: DayOptions, home: Path, stack: ExitStack) -> list[Entry]:
    """Everybody's turns in a round: first the warm ones, then the cold ones."""
    ours = Pipeline(OURS, home / "capstone")
    contract = module(CONTRACT, home / "duckdb_contract", "duckdb_sql", "contract", is_exact=True)
    programs: list[Program] = [
        ours,
        *([Pipeline(BEFORE, home / "before", options.beside.resolve())] if options.beside else []),
        contract,
        module(PLAIN, home / "duckdb_plain", "duckdb_sql", "plain"),
        module(PYSPARK, home / "pyspark", "plain_pyspark"),
    ]
    skewed = [Entry(one, "warm", one.warm, "skewed", f"{one.name} skewed") for one in (ours, contract)]
    entries = [
        *(Entry(one, "warm", one.warm) for one in programs),
        *(skewed if options.skewed else []),
        *(Entry(one, "cold", one.run if isinstance(one, Pipeline) else one.cold) for one in programs),
        Entry(ours, "cold", ours.cold, name=EDGES),
    ]
    wanted = options.only or CONTESTANTS
    chosen = [
        entry
        for entry in entries
        if entry.way in options.ways and (EDGES if entry.name == EDGES else entry.program.name) in wanted
    ]
    for program in dict.fromkeys(entry.program for entry in chosen):
        stack.callback(program.end)
        if isinstance(program, Pipeline) and "cold" in options.ways:
            program.postgres_url = stack.enter_context(serving(program.home))
    return chosen


def _demos(options: DayOptions, other: Path, home: Path) -> list[list[Measurement]]:
    """What `make demo` of three days takes with the environment in place, by the code of both checkouts."""
    taken: dict[Path, list[float]] = {other.resolve(): [], CHECKOUT: []}
    for number in range(options.rounds):
        for position, checkout in enumerate(taken):
            own = home / f"demo{number}{position}"
            given = {**environment(), **dict.fromkeys(Settings.variables(), ""), "CAPSTONE_HOME": f"{own}"}
            given["DAYS"] = "2020-08-05..2020-08-07"
            began = time.perf_counter()
            subprocess.run(  # noqa: S603 - our own script
                [f"{checkout}/deploy/demo.sh"], cwd=checkout, env=given, stdout=subprocess.DEVNULL, check=True
            )
            taken[checkout].append(time.perf_counter() - began)
            click.echo(f"  demo of {checkout}: {taken[checkout][-1]:.2f} s", err=True)
    before, now = taken.values()
    return [
        [
            Measurement("the demo, before", before, before, is_baseline_part=False),
            Measurement("the demo", now, before, is_baseline_part=False, target=Target(0.5, "ratio")),
        ]
    ]
