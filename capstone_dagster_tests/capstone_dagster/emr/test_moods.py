"""What EMR's API does to a run when it throttles, fails or loses answers; and a run that never asks it."""

import json
import re
import signal
import threading
from collections.abc import Callable
from dataclasses import replace

import dagster as dg
import pytest
from dagster._core.execution.plan.objects import StepRetryData
from dagster_shared.error import SerializableErrorInfo

from capstone_dagster.emr.api import Emr
from capstone_dagster.emr.reaper import reap
from capstone_dagster.runs.day_slot import end_dead
from capstone_dagster_tests.capstone_dagster.emr.one_step import STEP
from capstone_dagster_tests.capstone_dagster.emr.test_days import started
from capstone_dagster_tests.servers.emr_platform import DAY, EmrPlatform
from capstone_dagster_tests.servers.processes import eventually
from capstone_dagster_tests.servers.s3_faults import (  # noqa: F401 -- pytest finds fixtures by their import
    ASKED_AT_ONCE,
    Faults,
    faulty_front,
    faulty_s3,
)
from fake_aws.emr import FakeEmr
from spark_code.schemas import EVENTS
from spark_code.storage import Storage

IMPATIENT = {"CAPSTONE_EMR_PATIENCE_MINUTES": "0.02"}


def submitted(emr: FakeEmr) -> list[int]:
    """How many steps each cluster has got."""
    return [len(cluster.steps) for cluster in emr.clusters]


@pytest.mark.faults("F10", sample=True)
def test_throttling_that_passes_does_no_harm(platform: EmrPlatform) -> None:
    platform.emr.tell.fail_next_steps(message="exit code 137")
    platform.emr.tell.throttle(calls=2)

    ended = platform.run_here()

    assert ended.reason is not None
    assert "ended FAILED: Unknown Error.: exit code 137" in ended.reason
    assert submitted(platform.emr) == [1]


@pytest.mark.faults("F10", sample=True)
def test_throttling_that_does_not_pass_fails_the_run_with_the_call_and_the_setting(platform: EmrPlatform) -> None:
    platform.emr.tell.hang_next_step()
    platform.emr.tell.throttle("DescribeStep")

    ended = replace(platform, settings_of_emr=IMPATIENT).run_here()

    assert ended.reason is not None
    assert "EMR gave no answer to describe_step for" in ended.reason
    assert "ThrottlingException" in ended.reason
    assert "CAPSTONE_EMR_PATIENCE_MINUTES says how long to go on asking" in ended.reason
    assert [call.answered for call in platform.emr.calls("CancelSteps")] == ["ok"]
    eventually(lambda: platform.states, ["TERMINATED"].__eq__)


def test_throttling_that_outlasts_the_patience_is_outlasted_by_another_try(platform: EmrPlatform) -> None:
    platform.emr.tell.fail_next_steps(message="exit code 137")
    platform.emr.tell.throttle("RunJobFlow", calls=2)  # as often as one try asks

    ended = replace(platform, settings_of_emr={**IMPATIENT, "CAPSTONE_MAX_RETRIES": "1"}).run_here()

    assert ended.count(dg.DagsterEventType.STEP_UP_FOR_RETRY) == 1
    assert ended.reason is not None
    assert "ended FAILED: Unknown Error.: exit code 137" in ended.reason
    assert submitted(platform.emr) == [1]


def test_what_emr_refuses_is_asked_once(platform: EmrPlatform) -> None:
    unknown = {"CAPSTONE_EMR_CLUSTER_ID": "j-NONE", "CAPSTONE_MAX_RETRIES": "3"}

    ended = replace(platform, settings_of_emr=unknown).run_here()

    assert ended.count(dg.DagsterEventType.STEP_UP_FOR_RETRY) == 0
    assert ended.reason is not None
    assert ended.reason.startswith("CAPSTONE_EMR_CLUSTER_ID: EMR refused describe_cluster")
    assert [call.operation for call in platform.emr.calls()] == ["DescribeCluster"]


def test_a_host_that_cannot_list_the_raw_files_tries_again_before_it_asks_for_a_cluster(
    platform: EmrPlatform, faults: Faults
) -> None:
    platform.emr.tell.fail_next_steps(message="exit code 137")
    faults.add("503 SlowDown", "GET .*prefix=raw", times=ASKED_AT_ONCE)

    ended = replace(platform, settings_of_emr={"CAPSTONE_MAX_RETRIES": "1"}).run_here()

    assert ended.count(dg.DagsterEventType.STEP_UP_FOR_RETRY) == 1
    assert ended.reason is not None
    assert "ended FAILED: Unknown Error.: exit code 137" in ended.reason
    assert [call.operation for call in platform.emr.calls()].count("RunJobFlow") == 1


@pytest.mark.faults("F11", sample=True)
def test_a_step_that_asks_on_the_cluster_to_be_tried_again_is_tried_again(platform: EmrPlatform) -> None:
    platform.emr.tell.hang_next_step()

    def ask() -> None:
        staging = Storage(f"{platform.bucket}/staging/runs")
        keys = eventually(lambda: [stored.key for stored in staging.objects("") if stored.key.endswith("/launch.json")])
        folder = keys[0].rpartition("/")[0]
        staging.write(f"{folder}/events/000001.json", up_for_retry(folder.split("/")[0]))
        # Before the step runs, there is nothing that hangs and could be let go.
        eventually(
            lambda: [step.state for cluster in platform.emr.clusters for step in cluster.steps], ["RUNNING"].__eq__
        )
        platform.emr.tell.relent()
        platform.emr.tell.end_next_step("CANCELLED")  # the second try

    asking = threading.Thread(target=ask)
    asking.start()
    ended = replace(platform, settings_of_emr={"CAPSTONE_MAX_RETRIES": "3"}).run_here()
    asking.join()

    retried = [event for event in ended.events if event.is_step_up_for_retry]
    assert [event.step_retry_data.seconds_to_wait for event in retried] == [0.125]
    assert ended.reason is not None
    assert "ended CANCELLED" in ended.reason
    assert submitted(platform.emr) == [2]


def up_for_retry(run_id: str) -> bytes:
    """What a cluster tells of a step that asks to be tried again."""
    error = SerializableErrorInfo("S3 is too busy", [], "RetryRequested")
    asked = dg.DagsterEvent(
        dg.DagsterEventType.STEP_UP_FOR_RETRY.value,
        "preprocessing",
        step_key=STEP,
        event_specific_data=StepRetryData(error=error, seconds_to_wait=0.125),  # type: ignore[no-untyped-call]
    )
    entry = dg.EventLogEntry(  # type: ignore[no-untyped-call]
        error_info=None,
        level=20,
        user_message="",
        run_id=run_id,
        timestamp=1.0,
        step_key=STEP,
        job_name="preprocessing",
        dagster_event=asked,
    )
    return dg.serialize_value([entry]).encode()


@pytest.mark.faults("F10", sample=True)
@pytest.mark.parametrize("operation", ["RunJobFlow", "AddJobFlowSteps"])
def test_an_answer_that_is_lost_makes_no_second_cluster_and_no_second_step(
    platform: EmrPlatform, operation: str
) -> None:
    platform.emr.tell.fail_next_steps()
    platform.emr.tell.lose_answers(operation)

    assert not platform.run_here().succeeded

    assert [call.answered for call in platform.emr.calls(operation)] == ["lost"]
    assert submitted(platform.emr) == [1]
    eventually(lambda: platform.states, ["TERMINATED"].__eq__)


def test_a_step_whose_answer_was_lost_is_found_and_ended_when_the_run_gives_up(platform: EmrPlatform) -> None:
    platform.emr.tell.hang_next_step()
    platform.emr.tell.lose_answers("AddJobFlowSteps")
    platform.emr.tell.throttle("ListSteps", calls=2)

    ended = replace(platform, settings_of_emr=IMPATIENT).run_here()

    assert ended.reason is not None
    assert "EMR gave no answer to list_steps" in ended.reason
    (step,) = platform.emr.clusters[0].steps
    assert [call.params["StepIds"] for call in platform.emr.calls("CancelSteps")] == [[step.id]]
    pointer = platform.lake.storage.read(f"{EVENTS.path}/_published/{DAY}.json") or b""
    assert [name.rsplit("/")[-1] for name in json.loads(pointer)["given_up"]] == ["1"]
    assert platform.manifest(EVENTS, DAY) is None


def test_a_cluster_whose_answer_was_lost_is_found_and_ended_when_the_run_gives_up(platform: EmrPlatform) -> None:
    platform.emr.tell.lose_answers("RunJobFlow")
    # Just as many as are asked within this patience: the run gives up, and what looks for the cluster then finds it.
    platform.emr.tell.throttle("ListClusters", calls=4)

    assert not replace(platform, settings_of_emr={"CAPSTONE_EMR_PATIENCE_MINUTES": "0.1"}).run_here().succeeded

    eventually(lambda: platform.states, ["TERMINATED"].__eq__)
    assert submitted(platform.emr) == [0]


@pytest.mark.faults("F12", sample=True)
def test_a_report_without_its_inputs_asks_emr_nothing(platform: EmrPlatform) -> None:
    ended = platform.run_here("analytical")

    assert ended.reason is not None
    assert ended.reason.startswith("not published: ingested/events of ")
    assert "preprocessing_2020-08-05" in ended.reason
    assert platform.emr.calls() == []


def test_a_day_without_files_asks_emr_nothing(platform: EmrPlatform) -> None:
    ended = replace(platform, bucket=f"{platform.bucket}/empty").run_here()

    assert ended.reason is not None
    assert ended.reason.startswith("no raw files of 2020-08-05 from NYSE")
    assert platform.emr.calls() == []


def test_a_day_that_is_not_ready_asks_emr_nothing(platform: EmrPlatform) -> None:
    preconditions = f'{{"NASDAQ": [{{"key_exists": "{platform.bucket}/{{day}}.done"}}]}}'

    ended = replace(platform, settings_of_emr={"CAPSTONE_PRECONDITIONS": preconditions}).run_here()

    assert ended.reason is not None
    assert ended.reason.startswith(
        f"preconditions of 2020-08-05 are not met: NASDAQ: {platform.bucket}/2020-08-05.done is not there yet."
    )
    assert platform.emr.calls() == []


@pytest.mark.faults("F10")
def test_the_cluster_of_a_process_that_was_killed_is_ended_by_the_reaper(
    platform: EmrPlatform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_EMR", platform.emr.endpoint)
    platform.emr.tell.hang_next_step()
    with platform.instance() as instance:
        process = started(platform, "run", DAY.isoformat())
        eventually(lambda: submitted(platform.emr), [1].__eq__)
        eventually(lambda: platform.emr.clusters[0].steps[0].state, "RUNNING".__eq__)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        emr = Emr("us-east-1", 10)
        assert reap(emr, instance, platform.lake, None) == []  # as far as the run storage knows, it goes on
        end_dead(instance, *instance.get_runs())
        (run,) = instance.get_runs()
        ended = reap(emr, instance, platform.lake, None)

    assert run.status == dg.DagsterRunStatus.FAILURE
    assert ended == [f"ended cluster {platform.emr.clusters[0].id} of run {run.run_id}"]
    eventually(lambda: platform.states, ["TERMINATED"].__eq__)


@pytest.mark.parametrize(
    ("tell", "reason"),
    [
        pytest.param(
            lambda emr: emr.tell.throttle("ListClusters"),
            r"EMR gave no answer to list_clusters for \d+ s, last: ThrottlingException: Rate exceeded; .*",
            id="throttled",
        ),
        pytest.param(
            lambda emr: emr.tell.break_calls("ListClusters", status=403, body=False),
            "EMR refused list_clusters: 403: ",
            id="not allowed",
        ),
    ],
)
def test_capstone_run_goes_on_if_it_cannot_end_what_dead_runs_have_left(
    platform: EmrPlatform, tell: Callable[[FakeEmr], None], reason: str
) -> None:
    tell(platform.emr)

    # A day without files, which is refused before any work.
    ended = replace(platform, settings_of_emr=IMPATIENT).capstone("run", "2020-08-06")

    warning = "capstone: warning: what dead runs have left on EMR was not ended: "
    assert re.fullmatch(rf"{re.escape(warning)}{reason}\n", ended.stderr)
    assert "\n  REFUSED, no raw files of 2020-08-06 from NYSE" in ended.stdout
