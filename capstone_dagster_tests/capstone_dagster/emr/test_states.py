"""However a step or its cluster ends: the run's error says why, and no cluster is left alive."""

import re
import threading
from collections.abc import Callable
from dataclasses import replace

import dagster as dg
import pytest

from capstone_dagster_tests.servers.emr_platform import EmrPlatform
from capstone_dagster_tests.servers.processes import eventually
from fake_aws.emr import FakeEmr

# No step gets the minutes of real life.
IMPATIENT = {
    "CAPSTONE_EMR_START_MINUTES": "0.02",
    "CAPSTONE_EMR_STEP_MINUTES": "0.02",
    "CAPSTONE_EMR_PATIENCE_MINUTES": "0.02",
}


def all_gone(platform: EmrPlatform) -> bool:
    return bool(platform.states) and set(platform.states) <= {"TERMINATED", "TERMINATED_WITH_ERRORS"}


@pytest.mark.faults("F10", sample=True)
@pytest.mark.parametrize(
    ("tell", "reason"),
    [
        pytest.param(
            lambda emr: emr.tell.fail_next_steps(reason="Unknown Error.", message="exit code 137"),
            "ended FAILED: Unknown Error.: exit code 137; log: s3://",
            id="FAILED",
        ),
        pytest.param(
            lambda emr: emr.tell.end_next_step("CANCELLED", message="Cancelled by user"),
            "ended CANCELLED: Cancelled by user; log: s3://",
            id="CANCELLED by somebody else",
        ),
        pytest.param(
            lambda emr: emr.tell.end_next_step("INTERRUPTED", message="Job terminated"),
            "ended INTERRUPTED: Job terminated; log: s3://",
            id="INTERRUPTED",
        ),
        pytest.param(
            lambda emr: emr.tell.end_next_step("COMPLETED"),
            "ended COMPLETED; log: s3://",
            id="COMPLETED without a word of the step",
        ),
        pytest.param(
            lambda emr: emr.tell.end_next_step("CANCEL_PENDING"),
            "is CANCEL_PENDING for \\d seconds?, more than CAPSTONE_EMR_PATIENCE_MINUTES allows; cluster j-",
            id="CANCEL_PENDING for ever",
        ),
        pytest.param(
            lambda emr: emr.tell.hang_next_step(),
            "is RUNNING for \\d seconds?, more than CAPSTONE_EMR_STEP_MINUTES allows; cluster j-",
            id="RUNNING for ever",
        ),
        pytest.param(
            lambda emr: emr.tell.end_next_step("SHINY"),
            "is SHINY for \\d seconds?, more than CAPSTONE_EMR_STEP_MINUTES allows; cluster j-",
            id="a state that nobody knows",
        ),
        pytest.param(
            lambda emr: emr.tell.never_start_next_step(),
            "is PENDING for \\d seconds?, more than CAPSTONE_EMR_START_MINUTES allows; cluster j-",
            id="PENDING for ever",
        ),
        pytest.param(
            lambda emr: emr.tell.never_start_next_cluster(),
            "is PENDING for \\d seconds?, more than CAPSTONE_EMR_START_MINUTES allows; cluster j-",
            id="a cluster that never starts",
        ),
        pytest.param(
            lambda emr: emr.tell.fail_next_bootstrap("bootstrap action 1 returned 1"),
            "is TERMINATED_WITH_ERRORS: bootstrap action 1 returned 1",
            id="a bootstrap that fails",
        ),
    ],
)
def test_a_step_that_ends_in_any_other_way_than_success_fails_the_run_with_the_reason(
    platform: EmrPlatform, tell: Callable[[FakeEmr], None], reason: str
) -> None:
    tell(platform.emr)

    ended = replace(platform, settings_of_emr=IMPATIENT).run_here()

    assert not ended.succeeded
    assert ended.reason is not None
    assert re.search(reason, ended.reason)
    assert ended.count(dg.DagsterEventType.ASSET_MATERIALIZATION) == 0
    eventually(lambda: all_gone(platform))


@pytest.mark.faults("F10", sample=True)
def test_a_cluster_that_is_lost_is_named_with_its_reason_and_another_one_is_tried(platform: EmrPlatform) -> None:
    platform.emr.tell.hang_next_step()
    platform.emr.tell.hang_next_step()

    def lose_both() -> None:
        for number in (1, 2):
            eventually(lambda: len(platform.emr.clusters), number.__eq__)
            cluster = platform.emr.clusters[-1]
            eventually(lambda: [step.state for step in platform.emr.clusters[-1].steps], ["RUNNING"].__eq__)
            platform.emr.tell.lose_cluster(cluster.id, "Spot instances were reclaimed")

    fate = threading.Thread(target=lose_both)
    fate.start()
    ended = replace(platform, settings_of_emr={"CAPSTONE_MAX_RETRIES": "1"}).run_here()
    fate.join()

    assert ended.reason is not None
    assert "is TERMINATED_WITH_ERRORS: Spot instances were reclaimed" in ended.reason
    assert ended.count(dg.DagsterEventType.STEP_UP_FOR_RETRY) == 1
    assert platform.states == ["TERMINATED_WITH_ERRORS", "TERMINATED_WITH_ERRORS"]
