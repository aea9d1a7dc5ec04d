"""The jobs people start, each over one trading day."""

from collections.abc import Mapping
from datetime import date
from typing import Any, Literal, get_args

import dagster as dg
from dagster._core.storage.tags import MAX_RETRIES_TAG

JobName = Literal["daily_pipeline", "preprocessing", "analytical"]
JOB_NAMES: tuple[JobName, ...] = get_args(JobName)

# The tag that names the trading day of a run.
PARTITION_TAG = "dagster/partition"

# The tags that name the first and the last day of a run over several.
RANGE_TAGS = ("dagster/asset_partition_range_start", "dagster/asset_partition_range_end")

# On a run over several days, and on the runs of its days: the first run of those that resume each other.
DAYS_TAG = "capstone/range"

# On a run that records work done outside Dagster, with the run's own id: retries copy the tags of others. The UI
# hides what begins so.
OUTSIDE_TAG = ".dagster/capstone_outside"

# On a run that was refused before its first step, because it is of no trading day, with the run's own id: it is no
# attempt at a job.
REFUSED_TAG = ".dagster/capstone_refused"

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


def covers(run: dg.DagsterRun, day: date) -> bool:
    """Whether the run works on the day, alone or in a range of days."""
    first, last = (run.tags.get(tag, run.tags.get(PARTITION_TAG, "")) for tag in RANGE_TAGS)
    return first <= day.isoformat() <= last


def was_refused(run: dg.DagsterRun) -> bool:
    """Whether the run was refused before its first step; a run that re-executes it has a copy of its tags."""
    return run.tags.get(REFUSED_TAG) == run.run_id


def is_over_days(run: dg.DagsterRun) -> bool:
    """Whether the run goes through a range of days instead of working on one."""
    return PARTITION_TAG not in run.tags and all(tag in run.tags for tag in RANGE_TAGS)


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
