"""Runs that start at once, not through the queue: of ``capstone run``, ``capstone track``, and days of a range."""

import uuid
from collections.abc import Mapping
from datetime import date
from functools import cache
from typing import Any

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableJob
from dagster._core.remote_origin import RemoteRepositoryOrigin
from dagster._core.storage.tags import MAX_RETRIES_TAG, MAX_RUNTIME_SECONDS_TAG, REPOSITORY_LABEL_TAG
from dagster._core.workspace.load import location_origins_from_yaml_paths

from capstone_dagster.jobs import OUTSIDE_TAG, PARTITION_TAG
from capstone_dagster.leases import Lease
from capstone_dagster.settings import CHECKOUT
from capstone_dagster.slots import claiming, mark_starting
from capstone_dagster.workers import Worker

# What Dagster calls the definitions of a code location.
_REPOSITORY = "__repository__"


@cache
def _repository() -> RemoteRepositoryOrigin:
    """The code location that ``workspace.yaml`` names: where the UI has its runs, and starts them again."""
    (location,) = location_origins_from_yaml_paths([str(CHECKOUT / "workspace.yaml")])
    return RemoteRepositoryOrigin(location, _REPOSITORY)


def begin(  # noqa: PLR0913 - a run has that many facets, and all but three are named
    instance: dg.DagsterInstance,
    job: ReconstructableJob,
    day: date,
    *,
    worker: Worker | None,
    run_config: Mapping[str, Any] | None = None,
    selection: frozenset[dg.AssetKey] | None = None,
    tags: Mapping[str, str] | None = None,
    is_outside: bool = False,
    lease: Lease | None = None,
) -> dg.DagsterRun:
    """Take the day's slot with a new run of the job, signed by its worker and marked as starting."""
    run_id = str(uuid.uuid4())
    outside = {OUTSIDE_TAG: run_id} if is_outside else {}
    if lease:  # it says how long the work may take, and not Dagster's limit for a run
        outside |= {**lease.tag(run_id), MAX_RUNTIME_SECONDS_TAG: "0"}
    with claiming(instance, day):
        run = instance.create_run_for_job(
            job.get_definition(),
            run_id=run_id,
            run_config=run_config,
            asset_selection=selection,
            tags={
                **(tags or {}),
                PARTITION_TAG: day.isoformat(),
                REPOSITORY_LABEL_TAG: _repository().get_label(),  # by which the UI's pages of a job ask for its runs
                **(worker.signature(run_id) if worker else {}),
                MAX_RETRIES_TAG: "0",  # nobody but the queue can start it again
                **outside,
            },
            job_code_origin=job.get_python_origin(),
            remote_job_origin=_repository().get_job_origin(job.job_name),
        )
        return mark_starting(instance, run)
