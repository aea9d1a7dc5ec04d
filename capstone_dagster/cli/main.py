"""The command line ``capstone``: its commands and its exit codes."""

import sys
from importlib import import_module

import click

from capstone_dagster.cli.prerequisites import MissingPrerequisite
from capstone_dagster.errors import ExpectedError
from capstone_dagster.settings import Settings, given_variables, unknown_variables
from capstone_dagster.trading_days import NoTradingDayError, trading_days
from capstone_dagster.wording import say
from spark_code.lake import LakeError, NotPublishedError
from spark_code.locations import StorageError
from spark_code.raw_files import MissingDeliveryError, UnreadableNameError

_EXPECTED_ERRORS = (
    ExpectedError,
    MissingPrerequisite,
    LakeError,
    MissingDeliveryError,
    StorageError,
    UnreadableNameError,
)


# Each is loaded on demand: all of them take 1.5 s to load, and `capstone show` alone 0.8 s.
_COMMANDS = {
    "run": "run_command:run",
    "status": "status_commands:status",
    "history": "status_commands:history",
    "track": "track_command:track",
    "show": "lake_commands:show",
    "paths": "lake_commands:paths",
    "dev": "dev_command:dev",
    "exec": "tool_commands:exec_",
    "sample": "tool_commands:sample",
    "migrate": "status_commands:migrate",
    "test-alert": "tool_commands:send_test_alert",
    "s3-jars": "tool_commands:s3_jars",
    "spark-conf": "tool_commands:spark_conf",
    "glue-sync": "lake_commands:glue_sync",
}


class _Commands(click.Group):
    """Loads a command when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in _COMMANDS:
            return None
        module, name = _COMMANDS[cmd_name].split(":")
        command: click.Command = getattr(import_module(f"capstone_dagster.cli.{module}"), name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Daily trades and quotes of NYSE and NASDAQ: from the exchanges' files to the analytical report.

    Settings are CAPSTONE_* variables, listed in .env.example.
    """
    for unknown in unknown_variables(given_variables()):
        say(f"capstone: warning: {unknown}", err=True)


def _remedy(error: Exception) -> str:
    if not isinstance(error, NotPublishedError):
        return ""
    try:
        trading_days(Settings.from_environment().first_trading_day).require(error.day)
    except NoTradingDayError as no_day:
        return f"; {no_day}"
    return f"; make it with: capstone run {error.day}"


def main() -> None:
    """Entry point: an expected error prints one line and exits with 1, a usage error exits with 2."""
    try:
        cli()
    except _EXPECTED_ERRORS as error:
        say(f"capstone: {error}{_remedy(error)}", err=True)
        sys.exit(1)
