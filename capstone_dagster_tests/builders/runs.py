"""Runs of trading days as somebody would have left them in the run storage."""

from collections.abc import Mapping
from datetime import date

import dagster as dg
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.test_utils import create_run_for_test
from dagster._core.utils import make_new_run_id

from capstone_dagster.assets.jobs import JobName
from capstone_dagster.run_tags import PARTITION_TAG
from capstone_dagster.runs.worker import Worker
from capstone_dagster.trading_days import trading_days

# What a run must name to be in the queue.
_REPOSITORY = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("capstone"), "__repository__")

# Nobody could start a run of another day.
_DAYS = iter(trading_days(date(2021, 1, 4)).parse("2021-01-04..2026-06-30"))


def unused_day() -> date:
    """A trading day of which nobody has spoken before, so that tests can share a server."""
    return next(_DAYS)


def run_of(
    instance: dg.DagsterInstance,
    day: date | None,
    status: dg.DagsterRunStatus,
    *,
    job: JobName = "preprocessing",
    worker: Worker | None = None,
    tags: Mapping[str, str] | None = None,
    parent: dg.DagsterRun | None = None,
) -> dg.DagsterRun:
    """A run of the day in that status, signed by the worker if there is one."""
    run_id = make_new_run_id()
    partition = {PARTITION_TAG: day.isoformat()} if day else {}
    signature = worker.signature(run_id) if worker else {}
    run: dg.DagsterRun = create_run_for_test(
        instance,
        job_name=job,
        run_id=run_id,
        status=status,
        tags={**partition, **signature, **(tags or {})},
        remote_job_origin=_REPOSITORY.get_job_origin(job),
        parent_run_id=parent.run_id if parent else None,
        root_run_id=parent.run_id if parent else None,
    )
    return run


def status_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    """Where the run stands now."""
    found = instance.get_run_by_id(run.run_id)
    assert found
    return found.status


def runs_of(instance: dg.DagsterInstance, day: date) -> list[str]:
    """The ids of the day's runs."""
    return [run.run_id for run in instance.get_runs(dg.RunsFilter(tags={PARTITION_TAG: day.isoformat()}))]
