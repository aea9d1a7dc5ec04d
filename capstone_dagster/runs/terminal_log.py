"""The lines in the terminal during a run: one per event that matters.

The full event log is in the run storage and the UI. ``capstone run`` uses this logger.
"""

import logging
import sys
import time

import dagster as dg

from capstone_dagster.assets import page
from capstone_dagster.assets.jobs import WAREHOUSE
from capstone_dagster.runs.failure_reasons import failure_reason, retry_reason
from capstone_dagster.wording import printable
from spark_code.flow import STEPS
from spark_code.wording import counted

# The other steps are checks, which are fast and print nothing.
_STEPS = {*(step.name.replace("__", "/") for step in STEPS), page.STEP, WAREHOUSE}

# Messages of the launcher: clusters take minutes to start, in which people would see nothing.
_NEWS = "EMR: "


class _Lines(logging.Formatter):
    """Seconds since the start, and the event in one line."""

    def __init__(self) -> None:
        super().__init__()
        self._started = time.monotonic()

    def format(self, record: logging.LogRecord) -> str:
        return printable(f"  {time.monotonic() - self._started:6.1f} s  {_line(record)}")


def _event(record: logging.LogRecord) -> dg.DagsterEvent | None:
    event: dg.DagsterEvent | None = getattr(record, "dagster_meta", {}).get("dagster_event")
    return event


def _line(record: logging.LogRecord) -> str | None:
    """The line for an event; None for most events, which do not matter to people."""
    event = _event(record)
    if event is None:
        return _message(record)
    step = (event.step_key or "").replace("__", "/")
    match event.event_type:
        case dg.DagsterEventType.STEP_START | dg.DagsterEventType.STEP_RESTARTED if step in _STEPS:
            return f"{step} ..."
        case dg.DagsterEventType.ASSET_MATERIALIZATION:
            return _published(event)
        case dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            return _check(event)
        case dg.DagsterEventType.STEP_UP_FOR_RETRY | dg.DagsterEventType.STEP_FAILURE:
            return _failed(step, event)
    return None


def _message(record: logging.LogRecord) -> str | None:
    message: str = getattr(record, "dagster_meta", {}).get("orig_message", record.getMessage())
    if message.startswith(_NEWS):
        return message
    # Dagster warns that the steps after a failed one do not run, which is clear without it.
    is_warning = record.levelno >= logging.WARNING and not message.startswith("Dependencies for step")
    return f"warning: {message}" if is_warning else None


def _failed(step: str, event: dg.DagsterEvent) -> str:
    if event.is_step_failure:
        return f"FAILED in {step}: {failure_reason(event)}"
    return f"{step} is tried again in {event.step_retry_data.seconds_to_wait or 0:.0f} s: {retry_reason(event)}"


def _published(event: dg.DagsterEvent) -> str:
    materialization = event.step_materialization_data.materialization
    rows, seconds = (materialization.metadata.get(name) for name in ("dagster/partition_row_count", "seconds"))
    counts = f": {counted(int(f'{rows.value}'), 'row')}" if rows else ""
    return (
        f"published {materialization.asset_key.to_user_string()}{counts}{f' in {seconds.value} s' if seconds else ''}"
    )


def _check(event: dg.DagsterEvent) -> str | None:
    check = event.asset_check_evaluation_data
    if check.passed:
        return None
    return f"warning: check {check.check_name} of {check.asset_key.to_user_string()} did not pass: {check.description}"


@dg.logger({}, "One line per event that matters to a person at a terminal")
def progress_logger(context: dg.InitLoggerContext) -> logging.Logger:
    """The logger ``runs.terminal_log``."""
    del context
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Lines())
    handler.addFilter(lambda record: _line(record) is not None)
    logger = logging.Logger("capstone.progress", logging.DEBUG)
    logger.addHandler(handler)
    return logger


def _console(context: dg.InitLoggerContext) -> logging.Logger:
    """The default logger of runs."""
    logger: logging.Logger = dg.colored_console_logger.logger_fn(context)
    for handler in logger.handlers:
        handler.addFilter(_write_out)
    return logger


def _write_out(record: logging.LogRecord) -> bool:
    record.msg, record.args = printable(record.getMessage()), ()
    return True


console_logger = dg.LoggerDefinition(
    _console, dg.colored_console_logger.config_schema, "Dagster's own log of a run, for terminals"
)
