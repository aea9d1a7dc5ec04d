"""The commands of the job tracker: ``capstone status``, ``history`` and ``migrate``."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import click
import dagster as dg

from capstone_dagster.cli.text_table import for_person, print_table
from capstone_dagster.job_status import view
from capstone_dagster.run_storage.instance import ready
from capstone_dagster.settings import Settings
from capstone_dagster.tracker import NeverRunError, Tracker, parse_job_id
from capstone_dagster.trading_days import trading_days
from capstone_dagster.wording import printable, say

# As in Dagster's UI; all of it is in `capstone status JOB_ID`, and for scripts.
_RUN_ID_SHOWN = 8


@contextmanager
def _instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    with ready(settings), dg.DagsterInstance.get() as instance:
        yield instance


@contextmanager
def _saying_how_to_start(job_id: str | None, settings: Settings) -> Iterator[None]:
    try:
        yield
    except NeverRunError as never:
        job, day = parse_job_id(str(job_id))
        trading_days(settings.first_trading_day).require(day)
        raise NeverRunError(f"{never}; start it with: capstone run {day} --job {job}") from None


@click.command()
@click.argument("job_id", required=False)
@click.option("--days", type=click.IntRange(1, 1000), default=10, show_default=True, help="How many days to show.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def status(job_id: str | None, days: int, as_json: bool) -> None:
    """Print the status of JOB_ID (e.g. preprocessing_2020-08-06), or of every job of the last days with runs."""
    settings = Settings.from_environment()
    with _instance(settings) as instance, _saying_how_to_start(job_id, settings):
        tracker = Tracker(instance)
        found = [tracker.get_job_status(job_id).facts] if job_id else [job.facts for job in tracker.latest(days)]
    if as_json:
        say(_as_json(found[0] if job_id else found))
    elif job_id:
        facts = [(name, value) for name, value in found[0].items() if value is not None]
        facts += [("took", _took(found[0]))] if found[0]["seconds"] is not None else []
        say("\n".join(f"{name.replace('_', ' '):<13} {_shown(value)}" for name, value in facts))
    elif found:
        _list(found)
    else:
        say("no job has been run yet; start one with: capstone run DATE")


def _list(jobs: "list[dict[str, Any]]") -> None:
    """Print a line for each job, and below it why it failed, a note, and the worker while it runs.

    Scripts find columns by their place: new ones come last. A terminal is too narrow for all of them.
    """
    columns = ["job_id", "status", "updated_time", "attempts", "seconds", "run_id", "started", "took"]
    if for_person():
        columns = ["job_id", "status", "updated_time", "attempts", "started", "took", "run_id"]
    rows, below = [], []
    for job in jobs:
        cells = job | {"took": _took(job), "run_id": job["run_id"][:_RUN_ID_SHOWN] if for_person() else job["run_id"]}
        rows.append([cells[name] if isinstance(cells[name], int) else _shown(cells[name]) for name in columns])
        texts = (job["error"], job["note"], job["worker"] if job["ended"] is None else None)
        below.append(printable("".join(f"\n    {text}" for text in texts if text)))
    print_table([name.replace("_", " ") for name in columns], rows, below)


def _took(job: "dict[str, Any]") -> str | None:
    return None if job["seconds"] is None else f"{timedelta(seconds=round(job['seconds']))}"


@click.command()
@click.argument("job_id")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
def history(job_id: str, as_json: bool) -> None:
    """Print all attempts at JOB_ID, the oldest first, and why attempts failed."""
    settings = Settings.from_environment()
    with _instance(settings) as instance, _saying_how_to_start(job_id, settings):
        tracker = Tracker(instance)
        note = tracker.get_job_status(job_id).note  # an error if the job has never been run
        attempts = [
            {
                "attempt": number,
                "status": attempt.status,
                "started": attempt.started,
                "updated_time": attempt.updated_time,
                "run_id": attempt.run_id,
                "run_of": attempt.run_job,
                "worker": attempt.worker,
                "seconds": attempt.seconds,
                "reason": tracker.reason(attempt) if attempt.failed else None,
            }
            for number, attempt in enumerate(tracker.history(job_id), start=1)
        ]
    if as_json:
        say(_as_json(attempts))
        return
    for attempt in attempts:
        say(
            f"{attempt['attempt']:>3}  {attempt['status']:<9} started {_shown(attempt['started'])}, status since "
            f"{_shown(attempt['updated_time'])}, run {attempt['run_id']} of {attempt['run_of']}"
            + (f", {attempt['worker']}" if attempt["worker"] else "")
        )
        if attempt["reason"]:
            say(f"     {attempt['reason']}")
    if note:
        say(f"     no attempt: {note}")


@click.command()
@click.option("--grant", metavar="ROLE", help="Let this role of the database read job_status.")
def migrate(grant: str | None) -> None:
    """Bring the run storage up to this release: Dagster's tables and the SQL view job_status."""
    with _instance(Settings.from_environment()) as instance:
        view.migrate(instance, grant_to=grant)
    say(f"the run storage is up to date{f'; {grant} may read job_status' if grant else ''}")


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:%Y-%m-%d %H:%M:%S} UTC" if isinstance(value, datetime) else str(value)


def _as_json(value: Any) -> str:
    return json.dumps(value, indent=2, default=lambda moment: moment.isoformat())
