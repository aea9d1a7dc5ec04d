"""The jobs people start, each over one trading day."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

import dagster as dg

from capstone_dagster.assets import page
from capstone_dagster.assets.checks import check_steps
from capstone_dagster.assets.table_assets import asset_key
from capstone_dagster.run_tags import MAX_RETRIES_TAG
from spark_code.flow import WHOLE, steps_of, tables_of

JobName = Literal["daily_pipeline", "preprocessing", "analytical"]
JOB_NAMES: tuple[JobName, ...] = get_args(JobName)

# What is made beside tables, by step, and the half that it belongs to: `flow` knows tables alone.
_BESIDE_TABLES: Mapping[JobName, Mapping[str, tuple[dg.AssetKey, ...]]] = {
    "preprocessing": {},
    "analytical": {page.STEP: (page.PAGE, page.INDEX)},
}

# The steps of the two halves of `daily_pipeline`, each with the checks of what it makes.
HALVES: Mapping[JobName, tuple[str, ...]] = {
    half: (*(name for step in steps_of(half) for name in (step.name, *check_steps(step))), *beside)
    for half, beside in _BESIDE_TABLES.items()
}

# The assets of the jobs.
ASSETS: Mapping[JobName, frozenset[dg.AssetKey]] = {
    job: frozenset(
        [
            *(asset_key(table) for table in tables_of(job)),
            *(
                key
                for half in _BESIDE_TABLES
                if job in (half, WHOLE)
                for keys in _BESIDE_TABLES[half].values()
                for key in keys
            ),
        ]
    )
    for job in JOB_NAMES
}

# Asks whether the day that is due has landed, whatever day a run is of: part of no job.
LANDED = dg.AssetCheckKey(dg.AssetKey(["report", "daily_summary"]), "landed")


def job_id(job: str, day: object) -> str:
    """How people name one job of one trading day."""
    return f"{job}_{day}"


def backfills(days_per_run: int | None) -> dg.BackfillPolicy:
    """How many days of a backfill one run goes through; None: all of them."""
    return dg.BackfillPolicy.multi_run(days_per_run) if days_per_run else dg.BackfillPolicy.single_run()


def all_jobs(max_retries: int) -> list[Any]:
    """The three jobs; what ``define_asset_job`` returns has no public name, hence Any."""
    texts: dict[JobName, str] = {
        "daily_pipeline": "Raw files to report and page, one run",
        "preprocessing": "Raw files to the end-of-day load",
        "analytical": "The end-of-day load to the report and its page; preprocessing must have run",
    }
    return [
        # How often Dagster's daemon starts a run again whose process was lost.
        dg.define_asset_job(
            name,
            dg.AssetSelection.assets(*ASSETS[name]) - dg.AssetSelection.checks(LANDED),
            description=text,
            tags={MAX_RETRIES_TAG: f"{max_retries}"},
        )
        for name, text in texts.items()
    ]
