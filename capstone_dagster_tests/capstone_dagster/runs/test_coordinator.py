"""The queue as it is deployed: which run is next."""

from collections.abc import Iterator
from types import SimpleNamespace

import dagster as dg
import pytest
from dagster._core.run_coordinator import SubmitRunContext
from dagster._daemon.run_coordinator import QueuedRunCoordinatorDaemon

from capstone_dagster_tests.builders.runs import run_of, unused_day
from capstone_dagster_tests.servers.daemon import instance_on_disk

NOBODYS = SimpleNamespace(get_viewer_tags=dict)
LIVE, RETRIED = {"dagster/priority": "1"}, {"dagster/retry_number": "1"}


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with instance_on_disk() as instance:
        yield instance


def queued(instance: dg.DagsterInstance, tags: dict[str, str]) -> str:
    """The id of a run in the queue."""
    run = run_of(instance, unused_day(), dg.DagsterRunStatus.NOT_STARTED, job="daily_pipeline", tags=tags)
    return instance.run_coordinator.submit_run(SubmitRunContext(run, workspace=NOBODYS)).run_id  # type: ignore[arg-type]


def next_run(instance: dg.DagsterInstance) -> str:
    """The one that Dagster's daemon would start now."""
    daemon = QueuedRunCoordinatorDaemon(interval_seconds=1)
    [run] = daemon._get_runs_to_dequeue(instance, instance.get_concurrency_config(), fixed_iteration_time=None)
    return run.run_id


@pytest.mark.parametrize("tags", [LIVE, {}, {"dagster/priority": "soon"}], ids=["live", "backfill", "no number"])
def test_a_run_whose_process_was_lost_goes_before_the_days_that_need_its_closes(
    instance: dg.DagsterInstance, tags: dict[str, str]
) -> None:
    first = queued(instance, tags)
    assert next_run(instance) == first

    retried = queued(instance, tags | RETRIED)
    assert next_run(instance) == retried


def test_a_lost_part_of_a_backfill_lets_a_live_day_go_first(instance: dg.DagsterInstance) -> None:
    live = queued(instance, LIVE)
    queued(instance, RETRIED)

    assert next_run(instance) == live
