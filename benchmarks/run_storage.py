"""What asking the job tracker costs when the run storage is full, and loading the definitions with many days.

The commands are whole processes beside ``capstone status --help``, which imports the same; the server is up
before, so that its start does not count.
"""

import sys
from contextlib import closing
from pathlib import Path

import click
import psycopg2

from benchmarks.filled_storage import FIRST_DAY, FilledStorage, filled_storage
from benchmarks.timing import Baseline, Findings, Measurement, Target, Work, compare, process, python
from capstone_dagster.assets.jobs import JOB_NAMES
from capstone_dagster.tracker import Tracker

_CAPSTONE = str(Path(sys.executable).with_name("capstone"))
_DAYS_SHOWN = 10  # what `capstone status` shows unless told

# A person waits for an answer, and the daemon and every run load the definitions anew.
_OWN_WORK = Target(1.0, "own")
_DEFINITIONS = Target(3.0)
_ANSWER = Target(1.0)

_LOAD = f"""
from capstone_dagster.definitions import defs
for job in {JOB_NAMES}:
    defs.resolve_job_def(job)
"""


def measure() -> Findings:
    """Everything about one filled run storage."""
    with filled_storage() as storage:
        _require_one_truth(storage)
        return Findings(
            given=_given(storage),
            groups=[_commands(storage), _definitions(), _tracker(storage), _view(storage)],
        )


def _given(storage: FilledStorage) -> str:
    [(runs, events, size)] = storage.rows(
        "SELECT (SELECT count(*) FROM runs), (SELECT count(*) FROM event_logs), pg_database_size(current_database())"
    )
    return f"{len(storage.days):,} trading days, {runs:,} runs, {events:,} event rows, {size / 1e9:.1f} GB"


def _require_one_truth(storage: FilledStorage) -> None:
    """The copied rows are worth nothing if Dagster and the view read different things from them."""
    latest = {(job.job_id, job.status, job.run_id, job.attempts) for job in Tracker(storage.instance).latest(10)}
    ids = [job_id for job_id, *_ in latest]
    seen = storage.rows("SELECT job_id, status, run_id, attempts FROM job_status WHERE job_id = ANY(%s)", ids)
    if len(latest) < len(storage.days[-10:]) or latest != set(seen):
        raise click.ClickException(f"the tracker and the view disagree about {sorted(latest ^ set(seen))}")


def _commands(storage: FilledStorage) -> list[Measurement]:
    return compare(
        Baseline("capstone status --help", process(_CAPSTONE, "status", "--help"), is_part=True),
        {
            "capstone status": (process(_CAPSTONE, "status"), _OWN_WORK),
            "capstone status JOB_ID": (process(_CAPSTONE, "status", storage.failed_job), _OWN_WORK),
            "capstone history JOB_ID": (process(_CAPSTONE, "history", storage.retried_job), _OWN_WORK),
        },
        rounds=5,
    )


def _definitions() -> list[Measurement]:
    return compare(
        Baseline("python -c 'import dagster'", python("import dagster"), is_part=True),
        {f"definitions and jobs since {FIRST_DAY}": (python(_LOAD), _DEFINITIONS)},
        rounds=5,
    )


def _tracker(storage: FilledStorage) -> list[Measurement]:
    tracker = Tracker(storage.instance)
    return compare(
        Baseline("25 runs, a page of the UI", lambda: storage.instance.get_run_records(limit=25), is_part=False),
        {
            "Tracker.get_job_status": (lambda: tracker.get_job_status(storage.failed_job), _ANSWER),
            "Tracker.history": (lambda: tracker.history(storage.retried_job), _ANSWER),
            f"Tracker.latest({_DAYS_SHOWN})": (lambda: tracker.latest(_DAYS_SHOWN), _ANSWER),
        },
        rounds=9,
    )


def _view(storage: FilledStorage) -> list[Measurement]:
    with closing(psycopg2.connect(storage.url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True

        def select(statement: str, *values: object) -> Work:
            def fetch() -> object:
                cursor.execute(statement, values)
                return cursor.fetchall()

            return fetch

        million = select("SELECT sum(i) FROM generate_series(1, 1000000) AS i")
        return compare(
            Baseline("SELECT sum of a million numbers", million, is_part=False),
            {
                "SELECT * FROM job_status": (select("SELECT * FROM job_status"), _ANSWER),
                "... WHERE job_id = ...": (
                    select("SELECT * FROM job_status WHERE job_id = %s", storage.failed_job),
                    _ANSWER,
                ),
            },
            rounds=9,
        )
