"""The queue as it is deployed: which run is next."""

from collections.abc import Iterator
from types import SimpleNamespace

import dagster as dg
import pytest
from dagster._core.run_coordinator import SubmitRunContext
from dagster._daemon.run_coordinator import QueuedRunCoordinatorDaemon

from capstone_dagster.assets.jobs import longest_day
from capstone_dagster.definitions import code_location
from capstone_dagster.runs import outside_run
from capstone_dagster.runs.worker import Worker
from capstone_dagster.settings import Settings
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


EMR = {
    "CAPSTONE_DEPLOYMENT": "emr",
    "CAPSTONE_RAW_URI": "s3://firm/raw",
    "CAPSTONE_LAKE_URI": "s3://firm/lake",
    "CAPSTONE_EMR_STAGING_URI": "s3://firm/staging",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@pytest.mark.parametrize(
    "own", [{}, {"dagster/max_retries": "2", "dagster/max_runtime": "60"}], ids=["none", "its own"]
)
def test_a_run_of_chosen_assets_has_the_limits_of_a_job_unless_it_has_its_own(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch, own: dict[str, str]
) -> None:
    for name, value in {**EMR, "CAPSTONE_MAX_RETRIES": "0"}.items():
        monkeypatch.setenv(name, value)

    run = instance.get_run_by_id(queued(instance, own))

    assert run
    limits = (run.tags["dagster/max_retries"], run.tags["dagster/max_runtime"])
    assert limits == (("2", "60") if own else ("0", f"{longest_day(Settings.from_environment())}"))


def test_work_that_waits_in_no_queue_may_take_as_long_on_emr(instance: dg.DagsterInstance) -> None:
    settings, form = Settings.from_mapping(EMR), code_location().get_reconstructable_job("analytical")

    run = outside_run.begin(instance, form, unused_day(), settings=settings, worker=Worker.process())

    assert run.tags["dagster/max_runtime"] == f"{longest_day(settings)}"
