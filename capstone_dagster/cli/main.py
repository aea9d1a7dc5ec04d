"""The command line ``capstone``: its commands and its exit codes."""

import difflib
import sys
from importlib import import_module

import click

from capstone_dagster.cli.prerequisites import MissingPrerequisite
from capstone_dagster.cli.setting_doubts import doubts
from capstone_dagster.settings import Settings, given_variables
from capstone_dagster.trading_days import NoTradingDayError, trading_days
from capstone_dagster.wording import say
from spark_code.errors import ExpectedError

# Where each command is, and what the list of commands says of it, in the order of use. Dagster and Spark take seconds
# to load, so a command is loaded when it is used.
_GROUPS = {
    "Make days": {
        "sample": ("tool_commands:sample", "Write raw files of invented trading days."),
        "run": ("run_command:run", "Run a trading day, or a range of them, through Dagster."),
        "dev": ("dev_command:dev", "Start the Dagster UI and the daemon, until Ctrl-C."),
        "track": ("track_command:track", "Run a command as an attempt at a job, outside Dagster."),
    },
    "See what was done": {
        "status": ("status_commands:status", "Print where a job stands, or the jobs of the last days."),
        "history": ("status_commands:history", "Print all attempts at a job, and why they failed."),
        "days": ("days_command:days", "Say whether each trading day can be used."),
        "verify": ("verify_command:verify", "Prove that published days are what was published."),
    },
    "Read published days": {
        "open": ("page_command:open_", "Open the page of a trading day, or of all days."),
        "show": ("lake_commands:show", "Print published rows of a day, a range or all days."),
        "sql": ("query_commands:sql", "Query the published tables with DuckDB's SQL."),
        "export": ("query_commands:export", "Write the result of a query to a file or to S3."),
        "paths": ("lake_commands:paths", "Print the published parquet files of these days."),
        "warehouse": ("warehouse_commands:warehouse", "Print how to reach the warehouse, or run psql... there."),
    },
    "Set up and maintain": {
        "rollback": ("rollback_command:rollback", "Restore the previous version of a published day."),
        "migrate": ("status_commands:migrate", "Bring the run storage up to this release."),
        "doctor": ("doctor_command:doctor", "Say what is wrong with the installation, and how to fix it."),
        "ui-user": ("ui_user_command:ui_user", "Manage who may sign in to the UI, and in which role."),
        "gc": ("gc_command:gc", "Remove from the lake what no published day needs."),
        "exec": ("tool_commands:exec_", "Run dagster, dg, psql... with the run storage ready."),
        "test-alert": ("tool_commands:send_test_alert", "Send a message to every channel for alerts."),
        "warehouse-sync": ("warehouse_commands:warehouse_sync", "Load published days into the warehouse."),
        "glue-sync": ("lake_commands:glue_sync", "Register published days in the Glue catalog."),
        "emr-packages": ("tool_commands:emr_packages", "Keep the packages of clusters in the work bucket."),
        "s3-jars": ("tool_commands:s3_jars", "Fetch the jars that Spark here needs for s3://."),
        "spark-conf": ("tool_commands:spark_conf", "Print every setting of Spark on this machine."),
    },
}
_COMMANDS = {name: where for group in _GROUPS.values() for name, (where, _) in group.items()}


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

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            for alike in difflib.get_close_matches(args[0], _COMMANDS, n=1):
                raise click.UsageError(f"{error.message} Did you mean {alike}?", ctx) from None
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        del ctx
        longest = max(map(len, _COMMANDS))
        for title, group in _GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(longest), line) for name, (_, line) in group.items()])


@click.group(cls=_Commands, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(None, "-V", "--version", package_name="capstone", message="capstone %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Daily trades and quotes of NYSE and NASDAQ: from the exchanges' files to the analytical report.

    Settings are CAPSTONE_* variables, listed in .env.example. capstone COMMAND --help explains a command.
    """
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
        return
    if ctx.invoked_subcommand == "doctor":  # which says so among the rest
        return
    for doubt in doubts(given_variables(), ctx.invoked_subcommand):
        say(f"capstone: warning: {doubt}", err=True)


def _remedy(error: Exception) -> str:
    from spark_code.lake import NotPublishedError  # noqa: PLC0415 - loads Spark, which most commands do not need

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
        cli(prog_name="capstone")
    except (ExpectedError, MissingPrerequisite) as error:
        say(f"capstone: {error}{_remedy(error)}", err=True)
        sys.exit(1)
