"""Dagster's daemon for ``capstone dev``: its log has a line when something happens, and none for every look.

python -m capstone_dagster.cli.dev_daemon --workspace workspace.yaml
"""

import logging
import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

import click
import dagster as dg
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._daemon.controller import create_daemons_from_instance, daemon_controller_from_instance
from dagster._daemon.daemon import DagsterDaemon
from dagster._utils.interrupts import capture_interrupts, setup_interrupt_handlers
from dagster._utils.log import default_date_format_string

from capstone_dagster.wording import printable

# What they say every time they look, before they say what they have done, or once in the life of a home.
_NO_NEWS = re.compile(
    r"\d+ runs are currently in progress|Checking for new runs |Checking run |Collected \d+ runs |Creating new run |"
    r"Evaluating schedule |Instance is configured with |Launching run |No cursor for event type |"
    r"No run requests returned |Priority sorting "
)
# As of what sensors log from the code location, without the names of Python's loggers.
_FORMAT = logging.Formatter("%(asctime)s - %(levelname)s - %(message)s", default_date_format_string())
_SKIPPED = re.compile(r"(?:Sensor|Schedule) (?P<name>\S+) skipped: (?P<reason>.*)", re.DOTALL)
_STACK = "\n\nStack Trace:\n"


class OnlyNews(logging.Filter):
    """Lets a sensor's reason for doing nothing through once, until it has another one.

    That a code server has ended, as at every Ctrl-C, is told without the stack of those who called it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[str, str] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is news; shortens it if it is a reason."""
        message = printable(record.getMessage())
        if record.levelno < logging.ERROR and _NO_NEWS.match(message):
            return False
        if found := _SKIPPED.fullmatch(message):
            name, reason = found["name"], found["reason"]
            if self._last.get(name) == reason:
                return False
            self._last[name] = reason
            message = f"{name}: {reason}"
        error = record.exc_info and record.exc_info[1]
        if isinstance(error, DagsterUserCodeUnreachableError):
            message, record.exc_info = f"{message}: {error}", None
        if record.levelno < logging.ERROR:
            message = message.partition(_STACK)[0]
        record.msg, record.args = message, ()
        return True


@click.command()
@click.option("--workspace", required=True, help="The file that names the code location.")
def main(workspace: str) -> None:
    """Run the daemon until it is interrupted."""
    setup_interrupt_handlers()  # SIGTERM ends it as Ctrl-C does
    with suppress(KeyboardInterrupt), capture_interrupts(), dg.DagsterInstance.get() as instance:
        target = WorkspaceFileTarget([workspace])
        with daemon_controller_from_instance(instance, target, gen_daemons=_daemons, log_level="INFO") as controller:
            for handler in logging.getLogger("dagster").handlers:
                handler.setFormatter(_FORMAT)
            controller.check_daemon_loop()


def _daemons(instance: dg.DagsterInstance) -> Iterable[DagsterDaemon[Any]]:
    news = OnlyNews()
    logging.getLogger("dagster.daemon").addFilter(news)
    for daemon in create_daemons_from_instance(instance):
        daemon._logger.addFilter(news)  # noqa: SLF001 - there is no public way
        yield daemon


if __name__ == "__main__":
    main()
