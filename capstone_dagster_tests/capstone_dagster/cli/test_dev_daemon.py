"""The daemon's log under ``capstone dev``: what is said of many looks."""

import logging
from collections.abc import Sequence

import pytest
from dagster._core.errors import DagsterUserCodeUnreachableError

from capstone_dagster.cli.dev_daemon import OnlyNews


def said(messages: Sequence[str], level: int = logging.INFO) -> list[str]:
    """What is left of these messages."""
    news = OnlyNews()
    records = [logging.LogRecord("dagster.daemon.SensorDaemon", level, "", 0, text, (), None) for text in messages]
    return [record.getMessage() for record in records if news.filter(record)]


def test_a_sensor_says_once_why_it_does_nothing_until_it_has_another_reason() -> None:
    assert said(
        [
            "Checking for new runs for sensor: new_files",
            "Sensor new_files skipped: watching 2 days",
            "Checking for new runs for sensor: late_days",
            "Sensor late_days skipped: watching 2 days",
            "Checking for new runs for sensor: new_files",
            "Sensor new_files skipped: watching 2 days",
            "Sensor new_files skipped: watching 3 days",
            "Sensor new_files skipped: watching 2 days",
            "Schedule trading_day_schedule skipped: no run of 2020-09-07: the NYSE is closed on Labor Day",
        ]
    ) == [
        "new_files: watching 2 days",
        "late_days: watching 2 days",
        "new_files: watching 3 days",
        "new_files: watching 2 days",
        "trading_day_schedule: no run of 2020-09-07: the NYSE is closed on Labor Day",
    ]


def test_runs_that_are_launched_are_said_and_waiting_is_not() -> None:
    assert said(
        [
            "Launching run for new_files",
            "Completed launch of run 1f for new_files",
            "Priority sorting and checking tag concurrency limits for queued runs.",
            "Launched 1 runs.",
            "1 runs are currently in progress. Maximum is 1, won't launch more.",
            "Collected 1 runs for monitoring",
            "Checking run 1f",
        ]
    ) == ["Completed launch of run 1f for new_files", "Launched 1 runs."]


@pytest.mark.parametrize("message", ["Checking run 1f failed", "Checking for new runs for sensor: new_files"])
def test_no_error_is_left_out(message: str) -> None:
    assert said([message], logging.ERROR) == [message]


def test_what_comes_from_outside_does_not_steer_the_terminal() -> None:
    assert said(["Sensor new_files skipped: \x1b[2J.csv is misplaced"]) == [r"new_files: \x1b[2J.csv is misplaced"]


def test_that_a_code_server_has_ended_is_told_without_a_stack() -> None:
    error = DagsterUserCodeUnreachableError("Could not reach user code server")
    known = (type(error), error, None)
    stack = f"{error}\n\nStack Trace:\n  File ..."
    failed = logging.LogRecord("dagster.daemon", logging.ERROR, "", 0, "Caught an error dequeuing run 1f", (), known)
    moved_on = f"Run 1f failed while being dequeued, but has already advanced to FAILURE - moving on. Error: {stack}"

    assert OnlyNews().filter(failed)
    assert logging.Formatter().format(failed) == "Caught an error dequeuing run 1f: Could not reach user code server"
    assert said([moved_on]) == [moved_on.partition("\n")[0]]
    assert said([moved_on], logging.ERROR) == [moved_on]
