"""The jobs people start, each over one trading day."""

from collections.abc import Mapping
from typing import Any, Literal, get_args

import dagster as dg

from capstone_dagster.run_tags import MAX_RETRIES_TAG

JobName = Literal["daily_pipeline", "preprocessing", "analytical"]
JOB_NAMES: tuple[JobName, ...] = get_args(JobName)

# The steps of the two jobs, in the order in which `daily_pipeline` runs them: what its halves consist of.
HALVES: Mapping[JobName, tuple[str, ...]] = {
    "preprocessing": (
        "ingested__events",
        "ingested__events_reject_ratio",
        "ingested__events_schema_drift",
        "eod",
    ),
    "analytical": ("report", "report__quote_analytics_previous_close_known"),
}

# Those that make tables, which a run must have all of to do a job; a check may be left out.
TABLE_STEPS = frozenset({"ingested__events", "eod", "report"})

# The tables of the jobs. Whoever asks which job a run does needs no definitions for it, which take seconds to load.
_LOADED = ("ingested/events", "eod/trades", "eod/quotes", "eod/closes")
_REPORTED = ("report/quote_analytics", "report/daily_summary")


def _keys(*paths: str) -> frozenset[dg.AssetKey]:
    return frozenset(dg.AssetKey(path.split("/")) for path in paths)


ASSETS: Mapping[JobName, frozenset[dg.AssetKey]] = {
    "daily_pipeline": _keys(*_LOADED, *_REPORTED),
    "preprocessing": _keys(*_LOADED),
    "analytical": _keys(*_REPORTED),
}

# Asks whether the day that is due has landed, whatever day a run is of: part of no job.
LANDED = dg.AssetCheckKey(dg.AssetKey(["report", "daily_summary"]), "landed")

_PREPROCESSING = dg.AssetSelection.groups("ingested", "eod")
_ANALYTICAL = dg.AssetSelection.groups("report") - dg.AssetSelection.checks(LANDED)


def job_id(job: str, day: object) -> str:
    """How people name one job of one trading day."""
    return f"{job}_{day}"


def backfills(days_per_run: int | None) -> dg.BackfillPolicy:
    """How many days of a backfill one run goes through; None: all of them."""
    return dg.BackfillPolicy.multi_run(days_per_run) if days_per_run else dg.BackfillPolicy.single_run()


def all_jobs(max_retries: int) -> list[Any]:
    """The three jobs; what ``define_asset_job`` returns has no public name, hence Any."""
    selections: dict[JobName, tuple[dg.AssetSelection, str]] = {
        "daily_pipeline": (_PREPROCESSING | _ANALYTICAL, "Raw files to report, one run"),
        "preprocessing": (_PREPROCESSING, "Raw files to the end-of-day load"),
        "analytical": (_ANALYTICAL, "The end-of-day load to the report; preprocessing must have run"),
    }
    return [
        # A run whose process was lost is tried again by Dagster's daemon so often.
        dg.define_asset_job(name, selection, description=description, tags={MAX_RETRIES_TAG: f"{max_retries}"})
        for name, (selection, description) in selections.items()
    ]
