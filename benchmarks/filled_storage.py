"""A run storage after years of work: thousands of trading days, each with its attempts.

Dagster's API would need hours for it. So each of ``recorded_runs`` is made once, and its rows are copied in
bulk, with run ids, days and times of their own; nothing else in them differs.
"""

import io
import os
import re
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

import click
import dagster as dg
import psycopg2
from psycopg2 import sql

from capstone_dagster.job_status.view import migrate
from capstone_dagster.run_storage.embedded_postgres import serving
from capstone_dagster.run_storage.instance import ready
from capstone_dagster.settings import Settings
from capstone_dagster.trading_days import trading_days

FIRST_DAY = date(2015, 1, 2)
_DAYS = 3_000
_RUNS = 10_000
_TABLES = ("runs", "run_tags", "event_logs")  # the first has what the others refer to
_AT_ONCE = 100  # runs per COPY: some 10 MB

# The attempts at a day, in turn; the runs that are missing then wait in the queue, for the middle of the days.
_HISTORIES: Sequence[Sequence[str]] = (
    *[("daily", "preprocessing", "analytical")] * 4,
    *[("daily_failed_in_eod", "daily", "analytical")] * 2,
    ("preprocessing_failed", "preprocessing_failed", "preprocessing", "analytical_failed"),
    ("daily_failed_in_report", "analytical_failed", "analytical"),
    ("preprocessing_outside", "daily_canceled", "daily"),
    ("daily_failed_in_eod", "daily_failed_in_report", "daily", "analytical", "analytical"),
)
_OF_FAILED_DAY, _OF_LONGEST_DAY = 6, 9

# What a row says of its time, as a timestamp of Postgres or as seconds; other numbers are told apart by their value.
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d{1,6})?|\b\d{10}\.\d+\b)")


@dataclass(frozen=True)
class FilledStorage:
    """A server that is up, with the storage and the instance over it."""

    url: str
    instance: dg.DagsterInstance
    days: Sequence[date]

    @property
    def failed_job(self) -> str:
        """The id of a job whose last attempt failed."""
        return f"analytical_{self.days[_DAYS // 2 + _OF_FAILED_DAY]}"

    @property
    def retried_job(self) -> str:
        """The id of a job with many attempts."""
        return f"analytical_{self.days[_DAYS // 2 + _OF_LONGEST_DAY]}"

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """What a statement selects, over a connection of its own."""
        with closing(psycopg2.connect(self.url)) as connection, connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            found: list[tuple[Any, ...]] = cursor.fetchall()
            return found


@contextmanager
def filled_storage() -> Iterator[FilledStorage]:
    """Fill a storage in a temporary home; the environment names its server for the duration."""
    with tempfile.TemporaryDirectory(prefix="capstone-bench-") as home, serving(Path(home)) as url:
        given = {
            **dict.fromkeys(Settings.variables(), ""),  # whatever the machine or its .env has set
            "CAPSTONE_HOME": home,
            "CAPSTONE_POSTGRES_URL": url,
            "CAPSTONE_FIRST_TRADING_DAY": FIRST_DAY.isoformat(),
        }
        with patch.dict(os.environ, given), ready(Settings.from_mapping(given)), dg.DagsterInstance.get() as instance:
            storage = FilledStorage(url, instance, _days())
            _fill(storage)
            yield storage


def _days() -> list[date]:
    days = [FIRST_DAY]
    while len(days) < _DAYS and (following := trading_days(FIRST_DAY).next(days[-1])):
        days.append(following)
    return days


def _fill(storage: FilledStorage) -> None:
    from benchmarks.recorded_runs import COURSES, record  # noqa: PLC0415 - now that the environment is what it shall be

    click.echo(f"  filling a run storage with {_RUNS:,} runs", err=True)
    migrate(storage.instance)
    with closing(psycopg2.connect(storage.url)) as connection, connection.cursor() as cursor:
        originals = {}
        for name, course in COURSES.items():
            began = datetime.now(UTC)
            originals[name] = _Original.read(cursor, record(storage.instance, course, FIRST_DAY), began)
        for table in reversed(_TABLES):
            cursor.execute(sql.SQL("DELETE FROM {}").format(sql.Identifier(table)))
        attempts = _attempts(storage.days)
        for start in range(0, len(attempts), _AT_ONCE):
            _copy(cursor, originals, attempts[start : start + _AT_ONCE])
        connection.commit()
        connection.autocommit = True
        cursor.execute("VACUUM ANALYZE")  # what autovacuum does in the course of time


def _attempts(days: Sequence[date]) -> list[tuple[str, date, datetime]]:
    """Every run: how it went, its day, and when it began."""
    attempts = [
        (course, day, datetime(day.year, day.month, day.day, 22, 0, tzinfo=UTC) + timedelta(minutes=30 * number))
        for index, day in enumerate(days)
        for number, course in enumerate(_HISTORIES[index % len(_HISTORIES)])
    ]
    _, newest, latest = attempts[-1]
    now = latest + timedelta(hours=1)
    waiting = _RUNS - len(attempts) - 1
    attempts += [("daily_waits", day, now) for day in days[len(days) // 3 :][:waiting]]
    return [*attempts, ("daily_works", newest, now)]


def _copy(cursor: Any, originals: Mapping[str, "_Original"], attempts: Sequence[tuple[str, date, datetime]]) -> None:
    run_ids = [str(uuid.uuid4()) for _ in attempts]
    for table in _TABLES:
        copies = (
            originals[course].copy(table, run_id, day, began)
            for run_id, (course, day, began) in zip(run_ids, attempts, strict=True)
        )
        into = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), _columns(cursor, table))
        cursor.copy_expert(into, io.StringIO("".join(copies)))


def _columns(cursor: Any, table: str) -> sql.Composable:
    """All but the id, which the table gives itself."""
    cursor.execute(sql.SQL("SELECT * FROM {} LIMIT 0").format(sql.Identifier(table)))
    return sql.SQL(", ").join(sql.Identifier(column.name) for column in cursor.description if column.name != "id")


@dataclass(frozen=True)
class _Original:
    """The rows of a recorded run, as COPY writes them, taken apart at the times they name."""

    run_id: str
    began: datetime
    rows: Mapping[str, Sequence[str | float | datetime]]

    @classmethod
    def read(cls, cursor: Any, run_id: str, began: datetime) -> Self:
        """The rows of a run that was recorded just now."""
        rows = {}
        for table in _TABLES:
            selected = sql.SQL("COPY (SELECT {} FROM {} WHERE run_id = {} ORDER BY id) TO STDOUT").format(
                _columns(cursor, table), sql.Identifier(table), sql.Literal(run_id)
            )
            written = io.StringIO()
            cursor.copy_expert(selected, written)
            rows[table] = [_moment(piece, began) for piece in _MOMENT.split(written.getvalue())]
        return cls(run_id, began, rows)

    def copy(self, table: str, run_id: str, day: date, began: datetime) -> str:
        """The rows of another run that went alike."""
        later = began - self.began
        text = "".join(piece if isinstance(piece, str) else _later(piece, later) for piece in self.rows[table])
        return text.replace(self.run_id, run_id).replace(FIRST_DAY.isoformat(), day.isoformat())


def _moment(piece: str, began: datetime) -> str | float | datetime:
    """The moment that is written there, if it is one since the run began; or the piece as it is."""
    if not _MOMENT.fullmatch(piece):
        return piece
    moment = float(piece) if "-" not in piece else datetime.fromisoformat(piece)
    seconds = moment if isinstance(moment, float) else moment.replace(tzinfo=UTC).timestamp()
    return moment if 0 <= seconds - began.timestamp() <= 60 else piece


def _later(moment: float | datetime, later: timedelta) -> str:
    return repr(moment + later.total_seconds()) if isinstance(moment, float) else str(moment + later)
