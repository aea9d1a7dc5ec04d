"""The command line ``capstone``: parse, call, print. What the commands do lives in the modules they call."""

import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

import click

from capstone_dagster.alerts import Alert, channels, deliver
from capstone_dagster.dev_command import dev
from capstone_dagster.errors import ExpectedError
from capstone_dagster.glue_commands import glue_sync
from capstone_dagster.jobs import JOB_NAMES, JobName, job_id
from capstone_dagster.plain_text import say
from capstone_dagster.postgres_programs import programs
from capstone_dagster.prerequisites import MissingPrerequisite, require_java
from capstone_dagster.run_storage import libpq_environment, ready
from capstone_dagster.s3_jars import fetch, jars, require_for
from capstone_dagster.sample import Sample
from capstone_dagster.settings import Settings, given_variables, unknown_variables
from capstone_dagster.signals import noticing_interruptions, run_child
from capstone_dagster.tracker_commands import history, migrate, status, track
from capstone_dagster.trading_days import NoTradingDayError, parse_day, trading_days
from spark_code.lake import Lake, LakeError, NotPublishedError
from spark_code.locations import StorageError
from spark_code.raw_files import MissingDeliveryError, UnreadableNameError
from spark_code.schemas import TABLES, Table

_EXPECTED_ERRORS = (
    ExpectedError,
    MissingPrerequisite,
    LakeError,
    MissingDeliveryError,
    StorageError,
    UnreadableNameError,
)


class _TableName(click.ParamType[Table]):
    name = "table"

    def convert(self, value: str | Table, param: click.Parameter | None, ctx: click.Context | None) -> Table:
        if isinstance(value, Table):
            return value
        if value not in TABLES:
            self.fail(f"{value!r} is not a table; the tables are {', '.join(TABLES)}", param, ctx)
        return TABLES[value]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Daily trades and quotes of NYSE and NASDAQ: from the exchanges' files to the analytical report.

    Settings are CAPSTONE_* variables, listed in .env.example.
    """
    for unknown in unknown_variables(given_variables()):
        say(f"capstone: warning: {unknown}", err=True)


@cli.command()
@click.argument("days", metavar="DATE|FROM..TO")
@click.option("--job", type=click.Choice(JOB_NAMES), default="daily_pipeline", show_default=True, help="What to run.")
@click.option(
    "--allow-missing-closes",
    is_flag=True,
    help="Build the report although the previous trading day's closes are not published (its moves are null then).",
)
@click.option(
    "--missing", "only_missing", is_flag=True, help="Only days that are not up to date with their files and closes."
)
def run(days: str, job: JobName, allow_missing_closes: bool, only_missing: bool) -> None:
    """Run a trading day, or all trading days of a range, through Dagster."""
    settings = Settings.from_environment()
    if settings.deployment == "local":
        require_java()
    wanted = trading_days(settings.first_trading_day).parse(days)
    require_for(settings)
    with ready(settings):
        import dagster as dg

        from capstone_dagster.definitions import code_location
        from capstone_dagster.running import Outcome, in_terminal, is_missing, reaped, run_day, summary, undelivered

        outcomes: list[Outcome] = []
        config = in_terminal(allow_missing_closes=allow_missing_closes)
        form = code_location().get_reconstructable_job(job)
        with dg.DagsterInstance.get() as instance, noticing_interruptions() as was_interrupted:
            for told in reaped(settings, instance):
                say(f"EMR: {told}")
            up_to_date = 0
            for day in wanted:
                # Asked when it is its turn: the day before may have got other closes.
                if only_missing and not is_missing(settings, instance, job, day):
                    up_to_date += 1
                    continue
                say(job_id(job, day))
                outcome = undelivered(settings, job, day) or run_day(instance, form, day, run_config=config)
                outcomes.append(outcome)
                say(f"  {outcome}")
                if was_interrupted():
                    break
        if only_missing:
            say(f"up to date: {up_to_date} of {len(wanted)} days")
        if outcomes:
            say(f"\n{summary(outcomes, Lake(settings.lake_uri))}\n")
        if left := len(wanted) - len(outcomes) - up_to_date:
            say(f"interrupted in {outcomes[-1].job_id}; days not run: {left}")
        say(f"raw files  {settings.raw_uri}\nlake       {settings.lake_uri}\nlogs       {settings.log_dir}")
    if not all(outcome.succeeded for outcome in outcomes):
        sys.exit(1)


@cli.command()
@click.argument("table", type=_TableName())
@click.argument("day", metavar="DATE")
@click.option("--json", "as_json", is_flag=True, help="Print the manifest of the published version instead.")
def paths(table: Table, day: str, as_json: bool) -> None:
    """Print the published parquet files of a day, one a line, for DuckDB, pandas or Spark."""
    import json

    lake = Lake(Settings.from_environment().lake_uri)
    manifest = lake.require(table, parse_day(day))
    lake.require_files(table, manifest)
    full = [lake.storage.uri(path) for path in manifest.paths]
    # To the byte: another program reads them.
    click.echo(json.dumps(asdict(manifest) | {"paths": full}, indent=2) if as_json else "\n".join(full))


@cli.command()
@click.argument("table", type=_TableName())
@click.argument("day", metavar="DATE")
@click.option("--limit", type=click.IntRange(min=1), default=10, show_default=True, help="How many rows.")
def show(table: Table, day: str, limit: int) -> None:
    """Print the first published rows of a day."""
    from capstone_dagster.showing import as_text, first_rows

    lake, trade_dt = Lake(Settings.from_environment().lake_uri), parse_day(day)
    rows = first_rows(lake, table, trade_dt, limit)
    say(as_text(table.columns, rows))
    say(f"{len(rows):,} of {lake.require(table, trade_dt).rows:,} rows")


@cli.command()
@click.argument("out")
@click.option("--days", type=click.IntRange(1, 1000), default=3, show_default=True, help="Consecutive trading days.")
@click.option("--symbols", type=click.IntRange(1, 10_000), default=20, show_default=True)
@click.option("--events", type=click.IntRange(1, 100_000_000), default=100_000, show_default=True, help="Lines a day.")
@click.option("--first-day", metavar="DATE", help="Default: the first trading day.")
@click.option("--seed", type=int, default=7, show_default=True, help="The same seed writes the same bytes.")
def sample(*, out: str, days: int, symbols: int, events: int, first_day: str | None, seed: int) -> None:  # noqa: PLR0913 - one per option
    """Write raw files of invented trading days below OUT, a folder or s3://bucket/prefix."""
    configured = Settings.from_environment().first_trading_day
    first = parse_day(first_day) if first_day else trading_days(configured).first
    for day, files, size in Sample(symbols=symbols, events=events, seed=seed).write(out, first, days):
        say(f"{day}  {events:,} lines in {files} files, {size / 1e6:.1f} MB")


@cli.command(name="test-alert")
def send_test_alert() -> None:
    """Send a message to every channel of CAPSTONE_ALERT_URLS, and say which of them do not take it."""
    settings = Settings.from_environment()
    test = Alert("Test of the alerts", "Nothing has happened: somebody has typed capstone test-alert.")
    sent = deliver(settings, test, channels(settings))
    say(sent)
    sys.exit(0 if sent.taken_by and not sent.refused_by else 1)


@cli.command(name="s3-jars")
@click.option(
    "--ivy-settings",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="An ivysettings.xml of Apache Ivy, that names a repository of your own.",
)
@click.option("--conf", is_flag=True, help="Fetch nothing; print the settings of a local Spark that uses the jars.")
def s3_jars(ivy_settings: Path | None, *, conf: bool) -> None:
    """Fetch the jars that Spark on this machine needs for s3:// locations; once."""
    if conf:
        from spark_code.session import s3_conf

        click.echo("\n".join(f"{name}={value}" for name, value in s3_conf(jars()).items()))
        return
    require_java()
    fetch(say, ivy_settings)


@cli.command(name="exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_(command: tuple[str, ...]) -> NoReturn:
    """Run a COMMAND (dagster, dg, psql...) with the run storage up and Dagster's home set."""
    # As if the virtual environment were activated: dg and dagster are found, and agree on it. psql is found
    # last, and connects to the run storage.
    own, path = str(Path(sys.prefix, "bin")), os.environ.get("PATH", os.defpath)
    os.environ["VIRTUAL_ENV"] = sys.prefix
    os.environ["PATH"] = os.pathsep.join([own, path, str(programs())])
    with ready(Settings.from_environment()):
        os.environ.update(libpq_environment())
        code = run_child(command)
    sys.exit(code)


for command in (dev, status, history, track, migrate, glue_sync):
    cli.add_command(command)


def _remedy(error: Exception) -> str:
    if not isinstance(error, NotPublishedError):
        return ""
    try:
        trading_days(Settings.from_environment().first_trading_day).require(error.day)
    except NoTradingDayError as no_day:
        return f"; {no_day}"
    return f"; make it with: capstone run {error.day}"


def main() -> None:
    """Entry point: expected errors are one line and exit code 1, usage errors exit with 2."""
    try:
        cli()
    except _EXPECTED_ERRORS as error:
        say(f"capstone: {error}{_remedy(error)}", err=True)
        sys.exit(1)
