"""The jobs people start, each over one trading day."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

import dagster as dg

from capstone_dagster.assets import page
from capstone_dagster.assets.checks import CHECK_KEYS
from capstone_dagster.assets.table_assets import asset_key
from capstone_dagster.run_tags import MAX_RETRIES_TAG, MAX_RUNTIME_TAG
from capstone_dagster.settings import Settings
from capstone_dagster.warehouse.tables import tables
from spark_code.flow import STEPS, WHOLE, steps_of, tables_of

JobName = Literal["daily_pipeline", "preprocessing", "analytical"]
JOB_NAMES: tuple[JobName, ...] = get_args(JobName)

# Of a run of one day on this machine: run_monitoring in deploy/dagster.yaml.
_MAX_SECONDS = 21_600

# The step and the layer of the tables in Postgres, if they are switched on.
WAREHOUSE = "warehouse"
# What is made beside the tables of the lake, with the report, by step: `flow` knows those tables alone.
_BESIDE: Mapping[str, frozenset[dg.AssetKey]] = {
    page.STEP: frozenset({page.PAGE, page.INDEX}),
    WAREHOUSE: frozenset(dg.AssetKey([WAREHOUSE, table.name]) for table in tables(quotes=True)),
}
BESIDE_TABLES: frozenset[dg.AssetKey] = frozenset(key for keys in _BESIDE.values() for key in keys)
_WITH_REPORT: frozenset[JobName] = frozenset({"analytical", "daily_pipeline"})

# The steps of the two halves of `daily_pipeline`.
HALVES: Mapping[JobName, tuple[str, ...]] = {
    job: (*(step.name for step in steps_of(job)), *(_BESIDE if job in _WITH_REPORT else ()))
    for job in JOB_NAMES
    if job != WHOLE
}

# The tables of the lake that the jobs make. A run is a job by these alone, whatever it makes beside them.
ASSETS: Mapping[JobName, frozenset[dg.AssetKey]] = {
    job: frozenset(asset_key(table) for table in tables_of(job)) for job in JOB_NAMES
}

# Asks whether the day that is due has landed, whatever day a run is of: part of no job.
LANDED = dg.AssetCheckKey(dg.AssetKey(["report", "daily_summary"]), "landed")


def job_id(job: str, day: object) -> str:
    """How people name one job of one trading day."""
    return f"{job}_{day}"


def backfills(days_per_run: int | None) -> dg.BackfillPolicy:
    """How many days of a backfill one run goes through; None: all of them."""
    return dg.BackfillPolicy.multi_run(days_per_run) if days_per_run else dg.BackfillPolicy.single_run()


def longest_day(settings: Settings) -> int:
    """How many seconds a run of one day may take; on EMR, as long as its cluster may start and all steps may run."""
    if settings.emr is None:
        return _MAX_SECONDS
    return round(60 * (settings.emr.start_minutes + len(STEPS) * settings.emr.step_minutes))


def time_limit(settings: Settings) -> dict[str, str]:
    """The tag by which the daemon ends a run of one day that takes too long; deploy/dagster.yaml has the rest."""
    return {MAX_RUNTIME_TAG: f"{longest_day(settings)}"} if settings.emr else {}


def limits(settings: Settings) -> dict[str, str]:
    """The tags of every run of one day in the queue: its time, and how often it is started again if it is lost."""
    return {MAX_RETRIES_TAG: f"{settings.max_retries}", **time_limit(settings)}


def all_jobs(settings: Settings) -> list[Any]:
    """The three jobs; what ``define_asset_job`` returns has no public name, hence Any."""
    texts: dict[JobName, str] = {
        "daily_pipeline": "Raw files to report and page, one run",
        "preprocessing": "Raw files to the end-of-day load",
        "analytical": "The end-of-day load to the report and its page; preprocessing must have run",
    }
    return [
        dg.define_asset_job(
            name,
            _selection(name) - dg.AssetSelection.checks(LANDED, *CHECK_KEYS.values()),
            description=text,
            tags=limits(settings),
        )
        for name, text in texts.items()
    ]


def _selection(job: JobName) -> dg.AssetSelection:
    made: dg.AssetSelection = dg.AssetSelection.assets(*ASSETS[job])
    if job in _WITH_REPORT:
        made = made | dg.AssetSelection.assets(page.PAGE, page.INDEX) | dg.AssetSelection.key_prefixes(WAREHOUSE)
    return made
