"""Where our launcher awaits a step in another way than its parent: each test holds what both do.

A test that fails after an upgrade of dagster-aws says that the parent has changed: look whether the deviation
is still needed. How a step is submitted is in ``test_launcher_contract``.
"""

# The parent has no types.
# mypy: disallow-untyped-calls=False

import inspect
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import dagster as dg
import dagster_aws.emr
import pytest
from dagster._check import CheckError
from dagster._core.execution.context.system import StepExecutionContext
from dagster_aws.emr import EmrError, emr_pyspark_step_launcher
from dagster_aws.emr.pyspark_step_launcher import EmrPySparkStepLauncher

from capstone_dagster.emr.api import Emr
from capstone_dagster.emr.launcher import EmrStepLauncher
from capstone_dagster_tests.builders.run_histories import Event, began, failed, succeeded
from capstone_dagster_tests.capstone_dagster.emr.launchers import (
    ATTEMPT,
    RUN_ID,
    made_cluster,
    ours,
    parents,
    submitted,
)
from capstone_dagster_tests.capstone_dagster.emr.one_step import STEP, Clock, begun_step, entry
from capstone_dagster_tests.servers.emr_platform import EmrPlatform, taken_cluster
from fake_aws.emr import FakeEmr
from spark_code.storage import Storage


@pytest.fixture(autouse=True)
def _here(emr: FakeEmr, s3_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    del s3_uri
    monkeypatch.setenv("AWS_ENDPOINT_URL_EMR", emr.endpoint)
    # The parent waits for 15 seconds before it looks for the first time.
    monkeypatch.setattr("dagster_aws.emr.pyspark_step_launcher.time", SimpleNamespace(sleep=lambda _: None))


@pytest.fixture
def step(platform: EmrPlatform, instance: dg.DagsterInstance) -> Iterator[StepExecutionContext]:
    with begun_step(platform.defs, instance) as step:
        yield step


@pytest.fixture
def cluster_id(emr: FakeEmr, platform: EmrPlatform) -> str:
    """One that is there already, without logs."""
    del platform
    return taken_cluster(emr)


def awaited_by_parent(parent: EmrPySparkStepLauncher, step: StepExecutionContext, step_id: str) -> list[str]:
    """The types of the events that came before the end."""
    events = parent.wait_for_completion_and_log(RUN_ID, STEP, step_id, step)
    return [event.event_type_value for event in events]


def awaited_by_us(own: EmrStepLauncher, step: StepExecutionContext, step_id: str) -> list[str]:
    events = own.wait_for_completion_and_log(RUN_ID, STEP, step_id, step)
    return [event.event_type_value for event in events]


def happened(platform: EmrPlatform, step: StepExecutionContext, *events: Event) -> None:
    """The cluster has told of these, in the way of the parent and in ours."""
    entries = [entry(step, event) for event in events]
    staging, serialized = Storage(f"{platform.bucket}/staging/runs/{RUN_ID}/{STEP}"), dg.serialize_value(entries)
    staging.write("events.pkl", pickle.dumps(serialized))
    staging.write(f"{ATTEMPT}/events/000001.json", serialized.encode())


def stored(step: StepExecutionContext) -> list[str]:
    """The types of what the step itself has told."""
    events = [record.dagster_event for record in step.instance.all_logs(step.run_id)]
    return [event.event_type_value for event in events if event and event.event_type_value.startswith("STEP_")]


def test_a_step_that_is_given_up_is_cancelled(platform: EmrPlatform) -> None:
    parents_sources = [path.read_text() for path in Path(dagster_aws.emr.__file__).parent.glob("*.py")]
    assert "add_job_flow_steps" in "".join(parents_sources)
    assert "cancel_steps" not in "".join(parents_sources)

    platform.emr.tell.hang_next_step()
    replace(platform, settings_of_emr={"CAPSTONE_EMR_STEP_MINUTES": "0.01"}).run_here()

    (step,) = platform.emr.clusters[0].steps
    assert step.state == "CANCELLED"
    (call,) = platform.emr.calls("CancelSteps")
    assert (call.params["StepIds"], call.params["StepCancellationOption"]) == ([step.id], "TERMINATE_PROCESS")


def test_the_last_events_of_a_step_that_failed_are_read(
    emr: FakeEmr, platform: EmrPlatform, step: StepExecutionContext, cluster_id: str
) -> None:
    emr.tell.fail_next_steps()
    step_id = submitted(emr, cluster_id, "FAILED")
    happened(platform, step, began(STEP), failed(STEP))

    with pytest.raises(EmrError):
        awaited_by_parent(parents(platform.bucket, cluster_id), step, step_id)
    assert stored(step) == []

    assert awaited_by_us(ours(platform, step, cluster_id), step, step_id) == ["STEP_START", "STEP_FAILURE"]
    assert stored(step) == ["STEP_START", "STEP_FAILURE"]


@pytest.mark.parametrize("state", ["CANCEL_PENDING", "SHINY"])
def test_a_state_that_dagster_does_not_know_is_one_to_wait_in(
    emr: FakeEmr, platform: EmrPlatform, step: StepExecutionContext, cluster_id: str, state: str
) -> None:
    emr.tell.end_next_step(state)
    step_id = submitted(emr, cluster_id, state)
    happened(platform, step, succeeded(STEP))

    with pytest.raises(ValueError, match=f"'{state}' is not a valid EmrStepState"):
        awaited_by_parent(parents(platform.bucket, cluster_id), step, step_id)

    clock = Clock(lambda _: emr.tell.relent())
    asked = Emr("us-east-1", 60, pause=clock.pause, clock=clock)
    assert awaited_by_us(ours(platform, step, cluster_id, asked), step, step_id) == ["STEP_SUCCESS"]
    assert clock.pauses


def test_the_error_says_why_a_step_failed_and_where_its_log_lies(
    emr: FakeEmr, platform: EmrPlatform, step: StepExecutionContext
) -> None:
    cluster_id = made_cluster(platform)
    emr.tell.fail_next_steps(runs=True, reason="Unknown Error.", message="exit code 137")
    step_id = submitted(emr, cluster_id, "FAILED")

    with pytest.raises(EmrError, match=f"^EMR step {step_id} failed$"):
        awaited_by_parent(parents(platform.bucket, cluster_id), step, step_id)

    with pytest.raises(dg.Failure) as failure:
        awaited_by_us(ours(platform, step, cluster_id), step, step_id)
    folder = f"{platform.bucket}/staging/logs/{cluster_id}/steps/{step_id}/"
    assert failure.value.description == (
        f"step {step_id} of EMR ended FAILED: Unknown Error.: exit code 137; log: {folder}; its last lines:\nboom"
    )
    assert {name: value.value for name, value in failure.value.metadata.items()} == {
        "emr_cluster": cluster_id,
        "emr_step": step_id,
        "log": folder,
    }


def test_how_often_it_looks_can_be_said(
    emr: FakeEmr, platform: EmrPlatform, step: StepExecutionContext, cluster_id: str
) -> None:
    assert inspect.signature(EmrPySparkStepLauncher.wait_for_completion).parameters["check_interval"].default == 15
    assert "check_interval" not in inspect.getsource(EmrPySparkStepLauncher.wait_for_completion_and_log)
    assert "check_interval" not in emr_pyspark_step_launcher.config_schema.config_type.fields  # type: ignore[union-attr]

    emr.tell.hang_next_step()
    step_id = submitted(emr, cluster_id, "RUNNING")
    happened(platform, step, succeeded(STEP))
    clock = Clock(lambda clock: emr.tell.relent() if len(clock.pauses) == 3 else None)
    asked = Emr("us-east-1", 60, pause=clock.pause, clock=clock)
    awaited_by_us(
        ours(replace(platform, settings_of_emr={"CAPSTONE_EMR_POLL_SECONDS": "7"}), step, cluster_id, asked),
        step,
        step_id,
    )

    assert len(clock.pauses) >= 3
    assert all(0.8 * 7 <= seconds <= 1.2 * 7 for seconds in clock.pauses)


def test_a_step_that_succeeded_stays_so_without_logs(
    emr: FakeEmr, platform: EmrPlatform, step: StepExecutionContext, cluster_id: str
) -> None:
    step_id = submitted(emr, cluster_id, "COMPLETED")
    happened(platform, step, succeeded(STEP))

    assert awaited_by_parent(parents(platform.bucket, cluster_id), step, step_id) == ["STEP_SUCCESS"]
    with pytest.raises(EmrError, match="Log URI not specified"):
        awaited_by_parent(parents(platform.bucket, cluster_id, wait_for_logs=True), step, step_id)

    assert not ours(platform).wait_for_logs
    assert awaited_by_us(ours(platform, step, cluster_id), step, step_id) == ["STEP_SUCCESS"]


class Code:
    """Runs when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self.folder,)


def test_what_the_cluster_writes_is_no_code_for_the_host(
    emr: FakeEmr, platform: EmrPlatform, step: StepExecutionContext, cluster_id: str, tmp_path: Path
) -> None:
    happened(platform, step)
    for launcher, name in (("the parent", "events.pkl"), ("ours", f"{ATTEMPT}/events/000001.json")):
        staging = Storage(f"{platform.bucket}/staging/runs/{RUN_ID}/{STEP}")
        staging.write(name, pickle.dumps(Code(tmp_path / launcher)))
    s3, step_id = boto3.resource("s3"), submitted(emr, cluster_id, "COMPLETED")

    with pytest.raises(CheckError, match="is not a str"):
        parents(platform.bucket).read_events(s3, RUN_ID, STEP)
    with pytest.raises(ValueError, match="codec"):
        awaited_by_us(ours(platform, step, cluster_id), step, step_id)

    assert (tmp_path / "the parent").exists()
    assert not (tmp_path / "ours").exists()
