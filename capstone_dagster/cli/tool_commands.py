"""Commands that run no pipeline: ``capstone sample``, ``test-alert``, ``s3-jars``, ``emr-packages``, ``exec``..."""

import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from capstone_dagster.automation.alerts.messages import Alert, channels, deliver
from capstone_dagster.cli.child_process import run_child
from capstone_dagster.cli.prerequisites import require_java
from capstone_dagster.deliveries.sample import Sample
from capstone_dagster.emr import packages
from capstone_dagster.run_storage.instance import libpq_environment, ready
from capstone_dagster.run_storage.postgres_programs import programs
from capstone_dagster.settings import Settings
from capstone_dagster.steps.s3_jars import fetch, jars
from capstone_dagster.trading_days import parse_day, trading_days
from capstone_dagster.wording import say
from spark_code.session import local_conf, s3_conf
from spark_code.storage import Storage
from spark_code.wording import counted


@click.command()
@click.argument("out")
@click.option("--days", type=click.IntRange(1, 1000), default=3, show_default=True, help="How many trading days.")
@click.option("--symbols", type=click.IntRange(1, 10_000), default=12, show_default=True, help="How many symbols.")
@click.option(
    "--events", type=click.IntRange(1, 100_000_000), default=100_000, show_default=True, help="Lines per day."
)
@click.option("--first-day", metavar="DATE", help="Default: the first trading day.")
@click.option("--seed", type=int, default=7, show_default=True, help="The same seed writes the same bytes.")
def sample(*, out: str, days: int, symbols: int, events: int, first_day: str | None, seed: int) -> None:  # noqa: PLR0913 - one per option
    """Write raw files of invented trading days below OUT, a folder or s3://bucket/prefix."""
    configured = Settings.from_environment().first_trading_day
    first = parse_day(first_day) if first_day else trading_days(configured).first
    for day, files, size in Sample(symbols=symbols, events=events, seed=seed).write(out, first, days):
        say(f"{day}  {counted(events, 'line')} in {counted(files, 'file')}, {size / 1e6:.1f} MB")


@click.command(name="test-alert")
def send_test_alert() -> None:
    """Send a message to every channel of CAPSTONE_ALERT_URLS, and say which channels do not take it."""
    settings = Settings.from_environment()
    test = Alert("Test of the alerts", "Nothing has happened: somebody has typed capstone test-alert.")
    sent = deliver(settings, test, channels(settings))
    say(sent)
    sys.exit(0 if sent.taken_by and not sent.refused_by else 1)


@click.command(name="s3-jars")
@click.option(
    "--ivy-settings",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="An ivysettings.xml of Apache Ivy that names your own repository.",
)
def s3_jars(ivy_settings: Path | None) -> None:
    """Fetch the jars that Spark on this machine needs for s3:// locations. Run it once."""
    require_java()
    fetch(say, ivy_settings)


@click.command(name="emr-packages")
@click.option(
    "--machine",
    type=click.Choice(packages.MACHINES),
    default=packages.MACHINES[0],
    show_default=True,
    help="What `uname -m` says on the cluster: aarch64 on Graviton.",
)
def emr_packages(machine: str) -> None:
    """Keep the packages that new clusters install in the work bucket, so that they need no package index."""
    emr = Settings.from_environment().emr
    if emr is None:
        raise packages.PackagesError("no cluster installs packages unless CAPSTONE_DEPLOYMENT is emr")
    packages.keep(Storage(emr.staging_uri), machine, packages.LOCK, say)


@click.command(name="spark-conf")
def spark_conf() -> None:
    """Print every setting of Spark on this machine, one name=value per line.

    If the raw files or the lake are on S3, they include the settings of Spark's S3 client.
    """
    settings = Settings.from_environment()
    conf = local_conf(settings.driver_memory, settings.log_dir)
    if settings.on_s3:
        conf |= s3_conf(jars())
    # Not with say: programs read these lines, which must stay as they are.
    click.echo("\n".join(f"{name}={value}" for name, value in conf.items()))


@click.command(name="exec", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def exec_(command: tuple[str, ...]) -> NoReturn:
    """Run a COMMAND (dagster, dg, psql...) with the run storage up and Dagster's home set."""
    with ready(Settings.from_environment()):
        code = run_with_database(command)
    sys.exit(code)


def run_with_database(command: tuple[str, ...], url: str | None = None) -> int:
    """Run a command that finds dg, dagster and psql; psql connects to the database, or to the run storage."""
    # As if the virtual environment were activated, so that dg and dagster are found and use it. The psql of the
    # embedded Postgres comes last in PATH.
    own, path = str(Path(sys.prefix, "bin")), os.environ.get("PATH", os.defpath)
    os.environ["VIRTUAL_ENV"] = sys.prefix
    os.environ["PATH"] = os.pathsep.join([own, path, str(programs())])
    os.environ.update(libpq_environment(url))
    return run_child(command)
