"""Runs that start at once, without the queue: those of ``capstone run``, ``capstone track``, and days of a range.

All days that a process runs share one Spark session.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Any

import dagster as dg
from dagster._core.definitions.reconstruct import ReconstructableJob
from dagster._core.execution.api import execute_run
from dagster._core.remote_origin import RemoteRepositoryOrigin
from dagster._core.workspace.load import location_origins_from_yaml_paths

from capstone_dagster.assets.jobs import JOB_NAMES, job_id
from capstone_dagster.run_storage.outages import outlasting_restarts
from capstone_dagster.run_tags import MAX_RETRIES_TAG, MAX_RUNTIME_TAG, OUTSIDE_TAG, PARTITION_TAG, REPOSITORY_TAG
from capstone_dagster.runs.day_slot import SlotTakenError, claiming, mark_starting
from capstone_dagster.runs.lease import Lease
from capstone_dagster.runs.worker import Worker
from capstone_dagster.settings import CHECKOUT
from capstone_dagster.steps.spark_process import forget_dead_session

# Dagster's name for the definitions of a code location.
_REPOSITORY = "__repository__"

REFUSED = "REFUSED"


@dataclass(frozen=True)
class Outcome:
    """How one job of one trading day ended."""

    job_id: str
    """Only the day, if it ran single assets."""
    day: date
    status: str
    """A status of Dagster, or REFUSED if another run of the day is in progress or files are missing."""
    run_id: str
    """The id of the run, or of the other run in progress; empty if there is none."""
    reason: str | None = None

    @property
    def succeeded(self) -> bool:
        """Whether the run ended in success."""
        return self.status == dg.DagsterRunStatus.SUCCESS.value

    def __str__(self) -> str:
        """Print the status in one line."""
        return self.status if self.succeeded else f"{self.status}, {self.reason or f'run {self.run_id}'}"


@cache
def _repository() -> RemoteRepositoryOrigin:
    """The code location in ``workspace.yaml``, for which the UI lists runs and re-executes them."""
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
    """Create a run of the job that takes the day's slot, signed by its worker and marked as starting."""
    run_id = str(uuid.uuid4())
    outside = {OUTSIDE_TAG: run_id} if is_outside else {}
    if lease:  # the lease limits how long the work may take, not Dagster's limit for a run
        outside |= {**lease.tag(run_id), MAX_RUNTIME_TAG: "0"}
    with claiming(instance, day):
        run = instance.create_run_for_job(
            job.get_definition(),
            run_id=run_id,
            run_config=run_config,
            asset_selection=selection,
            tags={
                **(tags or {}),
                PARTITION_TAG: day.isoformat(),
                REPOSITORY_TAG: _repository().get_label(),  # the UI's pages of a job filter runs by it
                **(worker.signature(run_id) if worker else {}),
                MAX_RETRIES_TAG: "0",  # only the queue could start it again
                **outside,
            },
            job_code_origin=job.get_python_origin(),
            remote_job_origin=_repository().get_job_origin(job.job_name),
        )
        return mark_starting(instance, run)


def run_day(  # noqa: PLR0913 - a run has that many facets, and all but three are named
    instance: dg.DagsterInstance,
    job: ReconstructableJob,
    day: date,
    *,
    run_config: Mapping[str, Any],
    selection: frozenset[dg.AssetKey] | None = None,
    tags: Mapping[str, str] | None = None,
) -> Outcome:
    """Run the job, or a selection of its assets, for one day."""
    name = job.job_name
    known_as = job_id(name, day) if name in JOB_NAMES and selection is None else f"{day}"
    with outlasting_restarts():
        try:
            worker = Worker.process()
            run = begin(instance, job, day, worker=worker, run_config=run_config, selection=selection, tags=tags)
        except SlotTakenError as taken:
            return Outcome(known_as, day, REFUSED, taken.run_id, str(taken))
        if not execute_run(job, run, instance).success:
            forget_dead_session()
        ended = instance.get_run_by_id(run.run_id) or run
    return Outcome(known_as, day, ended.status.value, run.run_id)


def was_asked_to_stop(instance: dg.DagsterInstance, outcome: Outcome) -> bool:
    """Whether the day's run was to be stopped, by people in the UI or by its time limit, and not all of its process."""
    stopping = dg.DagsterEventType.RUN_CANCELING
    return outcome.status != REFUSED and bool(instance.all_logs(outcome.run_id, of_type=stopping))
