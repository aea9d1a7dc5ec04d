"""The data flow: which step reads and makes which tables, and of which day.

Whoever needs it reads it here. The assets spell it out for readers of Dagster, and a test compares the two. A step
without tables to read reads the deliveries of all exchanges (``raw_files.SOURCES``).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

from spark_code import eod_to_report, ingested_to_eod, quality, raw_to_ingested
from spark_code.schemas import BARS, CLOSES, DAILY_SUMMARY, EVENTS, QUALITY, QUOTE_ANALYTICS, QUOTES, TRADES, Table

# The job that consists of all steps.
WHOLE = "daily_pipeline"


@dataclass(frozen=True)
class Read:
    """A table that a step reads."""

    table: Table
    of_previous_day: bool = False
    """Whether it reads the previous trading day; the first trading day has none."""
    gates: bool = False
    """Whether the table only says if the step may go on: no row of it is read, and none is computed from it."""

    def day(self, of: date, previous: date | None) -> date | None:
        """Which day of the table is read for a day; None if it has no previous one."""
        return previous if self.of_previous_day else of


@dataclass(frozen=True)
class Step:
    """One computation, and one step of a run in Dagster."""

    name: str
    job: str
    """The half of the whole that it belongs to."""
    edge: Callable[..., Any]
    """The function that computes its drafts from what it reads, in this order, and then what else it is given."""
    reads: tuple[Read, ...]
    makes: tuple[Table, ...]

    judges: bool = False
    """Whether it is also given what a day's quality is judged by (``quality.Circumstances``)."""
    adjusts: bool = False
    """Whether it also compares with closes that corporate actions adjust."""

    @property
    def reads_deliveries(self) -> bool:
        """Whether it reads the files of the exchanges."""
        return not self.reads


# In the order of the data.
STEPS = (
    Step("ingested__events", "preprocessing", raw_to_ingested.build, reads=(), makes=(EVENTS,)),
    Step("eod", "preprocessing", ingested_to_eod.build, reads=(Read(EVENTS),), makes=(TRADES, QUOTES, CLOSES)),
    Step(
        "quality",
        "analytical",
        quality.build,
        reads=(Read(EVENTS), Read(TRADES), Read(QUOTES), Read(CLOSES, of_previous_day=True)),
        makes=(QUALITY,),
        judges=True,
        adjusts=True,
    ),
    Step(
        "report",
        "analytical",
        eod_to_report.build,
        reads=(Read(QUALITY, gates=True), Read(TRADES), Read(QUOTES), Read(CLOSES, of_previous_day=True)),
        makes=(QUOTE_ANALYTICS, DAILY_SUMMARY, BARS),
        adjusts=True,
    ),
)


def steps_of(job: str) -> tuple[Step, ...]:
    """The steps of a job, in order."""
    return tuple(step for step in STEPS if job in (step.job, WHOLE))


def tables_of(job: str) -> tuple[Table, ...]:
    """The tables that a job makes."""
    return tuple(table for step in steps_of(job) for table in step.makes)


def inputs_of(job: str) -> tuple[Read, ...]:
    """The tables that a job reads from the lake and does not make itself."""
    made = tables_of(job)
    reads = (read for step in steps_of(job) for read in step.reads)
    return tuple(dict.fromkeys(read for read in reads if read.of_previous_day or read.table not in made))


def maker_of(table: Table) -> Step:
    """The step that makes a table."""
    return next(step for step in STEPS if table in step.makes)
