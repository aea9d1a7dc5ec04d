import gzip
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from capstone_dagster_tests.fake_aws.emr_calls import Asked, bash, client_of, command, living
from capstone_dagster_tests.servers.processes import eventually
from capstone_dagster_tests.servers.s3_server import s3_client
from fake_aws.clusters import Delays
from fake_aws.emr import FakeEmr


def log(s3_uri: str, cluster: Asked, step_id: str, name: str) -> str:
    key = f"logs/{cluster.id}/steps/{step_id}/{name}.gz"
    data: bytes = s3_client().get_object(Bucket=s3_uri.removeprefix("s3://"), Key=key)["Body"].read()
    return gzip.decompress(data).decode()


def test_steps_run_one_at_a_time_in_their_order(client: Any, tmp_path: Path) -> None:
    def step(number: int) -> dict[str, Any]:
        return bash(f"echo begin {number} >>{tmp_path}/order; sleep 0.1; echo end {number} >>{tmp_path}/order")

    cluster = Asked.for_cluster(client, step(1), step(2))
    (last,) = cluster.add(step(3))
    assert cluster.ended(last) == "COMPLETED"
    assert (tmp_path / "order").read_text().splitlines() == [
        "begin 1", "end 1", "begin 2", "end 2", "begin 3", "end 3",
    ]  # fmt: skip


def test_a_step_gets_its_arguments_as_they_are(client: Any, tmp_path: Path) -> None:
    cluster = Asked.for_cluster(client, command("touch", f"{tmp_path}/a b", f"{tmp_path}/$HOME"))
    assert cluster.ended(cluster.step_ids()[0]) == "COMPLETED"
    assert {file.name for file in tmp_path.iterdir()} == {"a b", "$HOME"}


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_failed_step_names_its_log_and_not_more(client: Any, s3_uri: str, slash: str) -> None:
    cluster = Asked.for_cluster(client, bash("echo out; echo why >&2; exit 7"), LogUri=f"{s3_uri}/logs{slash}")
    (step_id,) = cluster.step_ids()
    status = cluster.step_reaches(step_id, "FAILED")
    assert status["FailureDetails"] == {
        "Reason": "Unknown Error.",
        "LogFile": f"{s3_uri}/logs/{cluster.id}/steps/{step_id}/stderr.gz",
    }
    assert sorted(status["Timeline"]) == ["CreationDateTime", "EndDateTime", "StartDateTime"]
    assert log(s3_uri, cluster, step_id, "stdout") == "out\n"
    assert log(s3_uri, cluster, step_id, "stderr") == "why\n"
    assert "exit code 7" in log(s3_uri, cluster, step_id, "controller")


def test_logs_may_come_after_the_end(s3_endpoint: str, s3_uri: str) -> None:
    with FakeEmr(s3_endpoint=s3_endpoint, delays=Delays(logs=600)) as emr:
        cluster = Asked.for_cluster(client_of(emr.endpoint), bash("echo out"), LogUri=f"{s3_uri}/logs")
        (step_id,) = cluster.step_ids()
        assert cluster.ended(step_id) == "COMPLETED"
        with pytest.raises(ClientError, match="NoSuchKey"):
            log(s3_uri, cluster, step_id, "stdout")


@pytest.mark.parametrize(
    ("step", "why"),
    [
        (command("no-such-program"), "no-such-program"),
        (command("spark-submit", "--deploy-mode", "cluster", "main.py"), "the deploy mode must be client"),
        (command() | {"HadoopJarStep": {"Jar": "s3://bucket/own.jar"}}, "s3://bucket/own.jar"),
    ],
)
def test_what_cannot_be_run_fails_and_says_why_in_its_log(
    client: Any, s3_uri: str, step: dict[str, Any], why: str
) -> None:
    cluster = Asked.for_cluster(client, step, LogUri=f"{s3_uri}/logs")
    (step_id,) = cluster.step_ids()
    assert cluster.ended(step_id) == "FAILED"
    assert why in log(s3_uri, cluster, step_id, "stderr")


def test_steps_are_listed_newest_first_in_pages_by_state_and_by_id(s3_endpoint: str) -> None:
    with FakeEmr(s3_endpoint=s3_endpoint, page_size=2) as emr:
        client = client_of(emr.endpoint)
        cluster = Asked.for_cluster(client)
        ids = cluster.add(bash("true"), bash("exit 1"), bash("sleep 300"))
        cluster.step_reaches(ids[2], "RUNNING")

        def listed(**filters: Any) -> list[str]:
            pages = client.get_paginator("list_steps").paginate(ClusterId=cluster.id, **filters)
            return [step["Id"] for page in pages for step in page["Steps"]]

        assert listed() == ids[::-1]
        assert listed(StepStates=["FAILED", "RUNNING"]) == [ids[2], ids[1]]
        assert listed(StepIds=[ids[0], ids[2]]) == [ids[0], ids[2]]


def test_a_waiting_step_that_is_cancelled_never_runs(client: Any, tmp_path: Path) -> None:
    cluster = Asked.for_cluster(client, bash("sleep 300"), bash(f"touch {tmp_path}/ran"), bash("true"))
    running, waiting, last = cluster.step_ids()
    client.cancel_steps(ClusterId=cluster.id, StepIds=[waiting])
    assert cluster.step_status(waiting)["State"] == "CANCELLED"
    cluster.step_reaches(running, "RUNNING")
    client.cancel_steps(ClusterId=cluster.id, StepIds=[running], StepCancellationOption="TERMINATE_PROCESS")
    assert cluster.ended(last) == "COMPLETED"
    assert not (tmp_path / "ran").exists()


def test_terminate_process_kills_all_that_the_command_started(client: Any, emr: FakeEmr, tmp_path: Path) -> None:
    deaf = f"trap '' TERM; sleep 300 & touch {tmp_path}/started; wait; sleep 300"
    cluster = Asked.for_cluster(client, bash(deaf, "TERMINATE_CLUSTER"))
    (step_id,) = cluster.step_ids()
    eventually((tmp_path / "started").exists)
    group = eventually(lambda: emr.cluster(cluster.id).steps[0].pid)
    assert group
    eventually(lambda: len(living(group)), (2).__eq__)
    answer = client.cancel_steps(ClusterId=cluster.id, StepIds=[step_id], StepCancellationOption="TERMINATE_PROCESS")
    assert answer["CancelStepsInfoList"] == [{"StepId": step_id, "Status": "SUBMITTED"}]
    assert cluster.ended(step_id) == "CANCELLED"
    assert living(group) == []
    # What a failure would have done: terminated it.
    assert cluster.reaches("WAITING")


def test_send_interrupt_lets_the_command_end_itself(client: Any, s3_uri: str, tmp_path: Path) -> None:
    careful = f"trap 'echo cleaned; exit 0' TERM; touch {tmp_path}/started; while true; do sleep 0.05; done"
    cluster = Asked.for_cluster(client, bash(careful), LogUri=f"{s3_uri}/logs")
    (step_id,) = cluster.step_ids()
    eventually((tmp_path / "started").exists)
    client.cancel_steps(ClusterId=cluster.id, StepIds=[step_id], StepCancellationOption="SEND_INTERRUPT")
    assert cluster.ended(step_id) == "CANCELLED"
    assert log(s3_uri, cluster, step_id, "stdout") == "cleaned\n"


def test_a_command_that_does_not_listen_stays_cancel_pending_until_it_is_killed(client: Any, tmp_path: Path) -> None:
    cluster = Asked.for_cluster(client, bash(f"trap '' TERM; touch {tmp_path}/started; sleep 300"))
    (step_id,) = cluster.step_ids()
    eventually((tmp_path / "started").exists)
    client.cancel_steps(ClusterId=cluster.id, StepIds=[step_id])
    assert cluster.step_status(step_id)["State"] == "CANCEL_PENDING"
    client.cancel_steps(ClusterId=cluster.id, StepIds=[step_id], StepCancellationOption="TERMINATE_PROCESS")
    assert cluster.ended(step_id) == "CANCELLED"


def test_what_has_ended_cannot_be_cancelled(client: Any) -> None:
    cluster = Asked.for_cluster(client, bash("true"))
    (step_id,) = cluster.step_ids()
    cluster.ended(step_id)
    (answer,) = client.cancel_steps(ClusterId=cluster.id, StepIds=[step_id])["CancelStepsInfoList"]
    assert (answer["Status"], cluster.step_status(step_id)["State"]) == ("FAILED", "COMPLETED")


def test_nothing_that_a_command_left_behind_outlives_its_step(client: Any, emr: FakeEmr) -> None:
    cluster = Asked.for_cluster(client, bash("sleep 300 & exit 0"))
    assert cluster.ended(cluster.step_ids()[0]) == "COMPLETED"
    group = emr.cluster(cluster.id).steps[0].pid
    assert group
    assert living(group) == []
