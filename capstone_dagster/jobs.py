"""The jobs people start, each over one trading day."""

from typing import Any, Literal, get_args

import dagster as dg

JobName = Literal["daily_pipeline", "preprocessing", "analytical"]
JOB_NAMES: tuple[JobName, ...] = get_args(JobName)

_PREPROCESSING = dg.AssetSelection.groups("ingested", "eod")
_ANALYTICAL = dg.AssetSelection.groups("report")


def job_id(job: str, day: object) -> str:
    """How people name one job of one trading day."""
    return f"{job}_{day}"


def all_jobs() -> list[Any]:
    """The three jobs; what ``define_asset_job`` returns has no public name, hence Any."""
    selections: dict[JobName, tuple[dg.AssetSelection, str]] = {
        "daily_pipeline": (_PREPROCESSING | _ANALYTICAL, "Raw files to report, one run"),
        "preprocessing": (_PREPROCESSING, "Raw files to the end-of-day load"),
        "analytical": (_ANALYTICAL, "The end-of-day load to the report; preprocessing must have run"),
    }
    return [
        dg.define_asset_job(name, selection, description=description)
        for name, (selection, description) in selections.items()
    ]
