"""``capstone run``: runs days one after another, and prints a table at the end."""

import sys
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import click
import dagster as dg

from capstone_dagster.assets.jobs import JOB_NAMES, JobName, job_id, time_limit
from capstone_dagster.assets.metadata import rejects_by_reason
from capstone_dagster.automation.needed_runs import Judge
from capstone_dagster.cli.prerequisites import require_java
from capstone_dagster.run_storage.instance import ready
from capstone_dagster.runs.day_run import REFUSED, Outcome, run_day, was_asked_to_stop
from capstone_dagster.runs.interruptions import noticing_interruptions
from capstone_dagster.settings import Settings
from capstone_dagster.steps.s3_jars import require_for
from capstone_dagster.trading_days import trading_days
from capstone_dagster.wording import say
from spark_code.corporate_actions import CorporateActions
from spark_code.lake import Lake, LakeError
from spark_code.locations import StorageError
from spark_code.raw_files import Delivery, MissingDeliveryError, RawFolder, UnreadableNameError
from spark_code.schemas import CLOSES, EVENTS, QUOTE_ANALYTICS


@click.command()
@click.argument("days", metavar="DATE|FROM..TO")
@click.option("--job", type=click.Choice(JOB_NAMES), default="daily_pipeline", show_default=True, help="What to run.")
@click.option(
    "--allow-missing-closes",
    is_flag=True,
    help="Build the report even if the previous trading day's closes are not published (its moves are null then).",
)
@click.option(
    "--missing",
    "only_missing",
    is_flag=True,
    help="Run only days that are not up to date with their files, closes and corporate actions.",
)
def run(days: str, job: JobName, allow_missing_closes: bool, only_missing: bool) -> None:
    """Run a trading day, or all trading days of a range, through Dagster."""
    settings = Settings.from_environment()
    if settings.deployment == "local":
        require_java()
    wanted = trading_days(settings.first_trading_day).parse(days)
    require_for(settings)
    with ready(settings):
        from capstone_dagster.definitions import code_location  # noqa: PLC0415 - takes 0.8 s, to build them all

        outcomes: list[Outcome] = []
        config = in_terminal(allow_missing_closes=allow_missing_closes)
        form = code_location().get_reconstructable_job(job)
        with dg.DagsterInstance.get() as instance, noticing_interruptions() as was_interrupted:
            for sentence in reaped(settings, instance):
                say(f"EMR: {sentence}")
            up_to_date = 0
            for day in wanted:
                # Judged only when it is the day's turn: the run of the day before may have changed its closes.
                if only_missing and not is_missing(settings, instance, job, day):
                    up_to_date += 1
                    continue
                say(job_id(job, day))
                outcome = undelivered(settings, job, day) or run_day(
                    instance, form, day, run_config=config, tags=time_limit(settings)
                )
                outcomes.append(outcome)
                say(f"  {outcome}")
                if was_interrupted() and not was_asked_to_stop(instance, outcome):
                    break
        if only_missing:
            say(f"up to date: {up_to_date} of {len(wanted)} days")
        if outcomes:
            say(f"\n{summary(outcomes, Lake(settings.lake_uri))}\n")
        if left := len(wanted) - len(outcomes) - up_to_date:
            say(f"interrupted in {outcomes[-1].job_id}; days not run: {left}")
        say(f"raw files  {settings.raw_uri}\nlake       {settings.lake_uri}\nlogs       {settings.log_dir}")
    if left or not all(outcome.succeeded for outcome in outcomes):
        sys.exit(1)


def in_terminal(*, allow_missing_closes: bool) -> Mapping[str, Any]:
    """The run config of a run whose progress goes to the terminal."""
    report_options = {"report_options": {"config": {"allow_missing_closes": True}}}
    return {"loggers": {"progress": {}}, **({"resources": report_options} if allow_missing_closes else {})}


def reaped(settings: Settings, instance: dg.DagsterInstance) -> list[str]:
    """End what dead runs have left on EMR, if steps run there; returns sentences about what was done."""
    if settings.emr is None:
        return []
    from capstone_dagster.emr.api import EmrApiError  # noqa: PLC0415 - takes 0.3 s, for those who have EMR
    from capstone_dagster.emr.reaper import reap_now  # noqa: PLC0415 - the same

    try:
        return reap_now(settings, instance)
    except EmrApiError as error:  # only the clean-up fails: the run itself may work
        say(f"capstone: warning: what dead runs have left on EMR was not ended: {error}", err=True)
        return []


def is_missing(settings: Settings, instance: dg.DagsterInstance, name: JobName, day: date) -> bool:
    """Whether the job has work for the day: it has not run yet, or its files, closes or actions have changed since."""
    judge, previous = (
        Judge(instance, Lake(settings.lake_uri), (), CorporateActions(settings.raw_uri)),
        trading_days(settings.first_trading_day).previous(day),
    )
    try:
        deliveries = None if name == "analytical" else _delivered(settings, day)
        is_reported = name == "preprocessing" or judge.report(day, previous) == "current"
        if is_reported and (name == "analytical" or _is_loaded(judge, day, deliveries)):
            return False
        return not judge.held(day, deliveries)
    except (LakeError, StorageError, UnreadableNameError):  # its run reports the error
        return True


def _is_loaded(judge: Judge, day: date, deliveries: Sequence[Delivery] | None) -> bool:
    return judge.lake.manifest(CLOSES, day) is not None if deliveries is None else judge.is_loaded(day, deliveries)


def _delivered(settings: Settings, day: date) -> Sequence[Delivery] | None:
    try:
        return RawFolder(settings.raw_uri).deliveries(day)
    except MissingDeliveryError:  # the files of an old day may be gone
        return None


def undelivered(settings: Settings, name: JobName, day: date) -> Outcome | None:
    """Refuse a job whose raw files are missing; None if they are there, or if the job reads none."""
    if name == "analytical":
        return None
    raw = RawFolder(settings.raw_uri)
    reason: Exception | None
    try:
        reason = raw.missing(day, raw.found(day))
    except UnreadableNameError as unreadable:
        reason = unreadable
    except StorageError:  # this may pass, and the step that reads the files tries again
        return None
    return Outcome(job_id(name, day), day, REFUSED, "", str(reason)) if reason else None


def summary(outcomes: Sequence[Outcome], lake: Lake) -> str:
    """A table of the jobs: their statuses, and how many lines of each day were accepted and rejected."""
    header = f"{'job id':<28} {'status':<9} lines in = accepted + rejected"
    return "\n".join([header, *(line for outcome in outcomes for line in _summed_up(outcome, lake))])


def _summed_up(outcome: Outcome, lake: Lake) -> list[str]:
    job = f"{outcome.job_id:<28} {outcome.status:<9}"
    events = lake.manifest(EVENTS, outcome.day) if outcome.succeeded else None
    if events is None:
        return [job.rstrip()]
    rejected, report = events.measures["rejected"], lake.manifest(QUOTE_ANALYTICS, outcome.day)
    # A report of an earlier run says nothing about this one.
    report_rows = f"; report rows {report.rows:,}" if report and report.run_id == outcome.run_id else ""
    lines = f"{events.rows:,} = {events.rows - rejected:,} + {rejected:,}"
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in rejects_by_reason(events).items())
    return [f"{job} {lines}{report_rows}", f"    rejected: {reasons or 'none'}"]
