"""Steps of EMR: submitted once, cancelled with their processes, and read from their logs."""

import gzip
import logging
from pathlib import Path

import pytest

from capstone_dagster.emr.api import Emr
from capstone_dagster.emr.step_calls import Steps, last_of_stderr, log_folder
from capstone_dagster_tests.servers.emr_platform import taken_cluster
from capstone_dagster_tests.servers.processes import eventually
from fake_aws.emr import FakeEmr

LOG = logging.getLogger("test")
LONG = "".join(f"line {number}\n" for number in range(1, 31)).encode()


@pytest.fixture
def cluster_id(emr: FakeEmr, s3_uri: str, monkeypatch: pytest.MonkeyPatch) -> str:
    del s3_uri
    monkeypatch.setenv("AWS_ENDPOINT_URL_EMR", emr.endpoint)
    return taken_cluster(emr)


def submitted(cluster_id: str, name: str) -> str:
    step = {
        "Name": name,
        "ActionOnFailure": "CONTINUE",
        "HadoopJarStep": {"Jar": "command-runner.jar", "Args": ["sleep", "300"]},
    }
    (step_id,) = Steps(Emr("us-east-1", 30)).add_job_flow_steps(LOG, cluster_id, [step])
    return step_id


def test_a_step_whose_answer_was_lost_is_found_by_its_name_and_not_submitted_again(
    emr: FakeEmr, cluster_id: str
) -> None:
    first = submitted(cluster_id, "capstone job run step 1")
    emr.tell.lose_answers("AddJobFlowSteps")

    second = submitted(cluster_id, "capstone job run step 2")

    assert [(step.id, step.name) for step in emr.clusters[0].steps] == [
        (first, "capstone job run step 1"),
        (second, "capstone job run step 2"),
    ]


def test_a_step_that_emr_did_not_get_is_submitted_again(emr: FakeEmr, cluster_id: str) -> None:
    emr.tell.break_calls("AddJobFlowSteps", status=503, body=False)

    step_id = submitted(cluster_id, "capstone job run step 1")

    assert [step.id for step in emr.clusters[0].steps] == [step_id]


@pytest.mark.faults("F3", sample=True)
def test_steps_are_cancelled_with_their_processes(emr: FakeEmr, cluster_id: str) -> None:
    steps, (running, waiting) = Steps(Emr("us-east-1", 30)), [submitted(cluster_id, name) for name in ("a", "b")]
    eventually(lambda: steps.describe(cluster_id, running)["Status"]["State"], "RUNNING".__eq__, seconds=30)

    steps.cancel(cluster_id, [running, waiting])

    eventually(lambda: {step.state for step in emr.clusters[0].steps}, {"CANCELLED"}.__eq__, seconds=30)
    (call,) = emr.calls("CancelSteps")
    assert call.params["StepCancellationOption"] == "TERMINATE_PROCESS"


@pytest.mark.parametrize(
    ("log_uri", "folder"),
    [
        ("s3://bucket/logs/", "s3://bucket/logs/j-1/steps/s-1"),
        ("s3://bucket/logs", "s3://bucket/logs/j-1/steps/s-1"),
        ("s3n://bucket/logs/", "s3://bucket/logs/j-1/steps/s-1"),
        ("s3n://bucket", "s3://bucket/j-1/steps/s-1"),
        ("", None),
        (None, None),
    ],
)
def test_the_log_of_a_step_is_found_whatever_way_emr_spells_the_place(log_uri: str | None, folder: str | None) -> None:
    assert log_folder({"Id": "j-1", "LogUri": log_uri}, "s-1") == folder


def test_a_cluster_without_logs_has_none() -> None:
    assert log_folder({"Id": "j-1"}, "s-1") is None


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        pytest.param(gzip.compress(b"one\n\n  \ntwo\n"), "one\ntwo", id="its lines, without blank ones"),
        pytest.param(gzip.compress(LONG), "\n".join(f"line {n}" for n in range(11, 31)), id="the last 20 of many"),
        pytest.param(gzip.compress("über".encode("latin-1")), "\ufffdber", id="bytes that are no UTF-8"),
        pytest.param(gzip.compress(b"\n\n"), None, id="blank lines only"),
        pytest.param(gzip.compress(b""), None, id="nothing in it"),
        pytest.param(b"", None, id="empty"),
        pytest.param(None, None, id="not there yet"),
        pytest.param(b"plain text", None, id="not packed"),
        pytest.param(gzip.compress(LONG)[:-12], None, id="cut off"),
        pytest.param(gzip.compress(LONG)[:12] + b"\xff" * 20, None, id="broken in the middle"),
    ],
)
def test_the_last_of_stderr_is_read_if_it_can_be(tmp_path: Path, stored: bytes | None, read: str | None) -> None:
    if stored is not None:
        (tmp_path / "stderr.gz").write_bytes(stored)

    assert last_of_stderr(str(tmp_path)) == read


def test_a_place_that_cannot_be_read_has_no_last_lines(s3_uri: str) -> None:
    assert last_of_stderr(f"{s3_uri}-of-somebody-else/j-1/steps/s-1") is None
