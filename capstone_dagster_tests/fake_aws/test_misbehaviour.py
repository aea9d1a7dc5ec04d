import json
import urllib.request
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from capstone_dagster_tests.fake_aws.emr_calls import Asked, bash, living
from capstone_dagster_tests.servers.processes import eventually
from fake_aws.emr import FakeEmr


def code_of(error: pytest.ExceptionInfo[ClientError]) -> tuple[str, int]:
    response = error.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def test_steps_fail_without_running(client: Any, emr: FakeEmr, tmp_path: Any) -> None:
    emr.tell.fail_next_steps(2, reason="Main class not found", message="no reason to worry")
    cluster = Asked.for_cluster(client, *[bash(f"echo >>{tmp_path}/ran")] * 3)
    failed, *others = cluster.step_ids()
    assert cluster.step_reaches(failed, "FAILED")["FailureDetails"] == {
        "Reason": "Main class not found",
        "Message": "no reason to worry",
    }
    assert [cluster.ended(other) for other in others] == ["FAILED", "COMPLETED"]
    assert (tmp_path / "ran").read_text() == "\n"


def test_a_step_fails_after_all_that_it_did(client: Any, emr: FakeEmr, tmp_path: Any) -> None:
    emr.tell.fail_next_steps(runs=True)
    cluster = Asked.for_cluster(client, bash(f"touch {tmp_path}/ran"))
    assert cluster.ended(cluster.step_ids()[0]) == "FAILED"
    assert (tmp_path / "ran").exists()


def test_a_step_fails_in_the_middle(client: Any, emr: FakeEmr) -> None:
    emr.tell.fail_next_steps(after=0.2)
    cluster = Asked.for_cluster(client, bash("sleep 300 & sleep 300"))
    assert cluster.ended(cluster.step_ids()[0]) == "FAILED"
    group = emr.cluster(cluster.id).steps[0].pid
    assert group
    assert living(group) == []


@pytest.mark.parametrize("state", ["CANCELLED", "INTERRUPTED"])
def test_a_step_ends_in_a_state_that_nobody_asked_for(client: Any, emr: FakeEmr, state: str) -> None:
    emr.tell.end_next_step(state, message="who knows why")
    cluster = Asked.for_cluster(client, bash("true"), bash("true"))
    first, second = cluster.step_ids()
    assert cluster.ended(second) == "COMPLETED"
    status = cluster.step_status(first)
    assert (status["State"], status["StateChangeReason"]) == (state, {"Message": "who knows why"})


@pytest.mark.parametrize("state", ["RUNNING", "CANCEL_PENDING", "SHINY"])
def test_a_step_stays_in_a_state_until_it_is_let_go(client: Any, emr: FakeEmr, tmp_path: Any, state: str) -> None:
    emr.tell.end_next_step(state, runs=True)
    cluster = Asked.for_cluster(client, bash(f"touch {tmp_path}/ran"))
    (step_id,) = cluster.step_ids()
    eventually((tmp_path / "ran").exists)
    cluster.step_reaches(step_id, state)
    emr.tell.relent()
    assert cluster.ended(step_id) == "COMPLETED"


def test_a_hanging_step_can_be_cancelled(client: Any, emr: FakeEmr) -> None:
    emr.tell.hang_next_step()
    cluster = Asked.for_cluster(client, bash("true"), bash("true"))
    hanging, behind = cluster.step_ids()
    cluster.step_reaches(hanging, "RUNNING")
    client.cancel_steps(ClusterId=cluster.id, StepIds=[hanging])
    assert [cluster.ended(hanging), cluster.ended(behind)] == ["CANCELLED", "COMPLETED"]


def test_a_step_that_never_starts_holds_those_behind_it(client: Any, emr: FakeEmr) -> None:
    emr.tell.never_start_next_step()
    cluster = Asked.for_cluster(client, bash("true"), bash("true"))
    first, second = cluster.step_ids()
    cluster.reaches("RUNNING")
    other = Asked.for_cluster(client, bash("true"))
    assert other.ended(other.step_ids()[0]) == "COMPLETED"
    assert [cluster.step_status(each)["State"] for each in (first, second)] == ["PENDING", "PENDING"]
    emr.tell.relent()
    assert [cluster.ended(first), cluster.ended(second)] == ["COMPLETED", "COMPLETED"]


def test_a_running_step_shows_a_state_that_nobody_knows(client: Any, emr: FakeEmr, tmp_path: Any) -> None:
    emr.tell.show_next_step("SHINY")
    cluster = Asked.for_cluster(client, bash(f"until [ -e {tmp_path}/go ]; do sleep 0.05; done"))
    (step_id,) = cluster.step_ids()
    cluster.step_reaches(step_id, "SHINY")
    (tmp_path / "go").touch()
    assert cluster.ended(step_id) == "COMPLETED"


@pytest.mark.parametrize("shown", ["CANCEL_PENDING", "RUNNING"])
def test_a_cancelled_step_goes_on_to_write(client: Any, emr: FakeEmr, tmp_path: Any, shown: str) -> None:
    emr.tell.hang_cancels(shown)
    late = bash(f"touch {tmp_path}/began; until [ -e {tmp_path}/go ]; do sleep 0.05; done; touch {tmp_path}/late")
    cluster = Asked.for_cluster(client, late)
    (step_id,) = cluster.step_ids()
    eventually((tmp_path / "began").exists)
    answer = client.cancel_steps(ClusterId=cluster.id, StepIds=[step_id], StepCancellationOption="TERMINATE_PROCESS")
    assert answer["CancelStepsInfoList"][0]["Status"] == "SUBMITTED"
    assert cluster.step_status(step_id)["State"] == shown
    (tmp_path / "go").touch()
    assert cluster.ended(step_id) == "COMPLETED"
    assert (tmp_path / "late").exists()


def test_a_cluster_never_starts(client: Any, emr: FakeEmr) -> None:
    emr.tell.never_start_next_cluster()
    cluster, next_one = Asked.for_cluster(client), Asked.for_cluster(client)
    next_one.reaches("WAITING")
    assert cluster.status()["State"] == "STARTING"
    emr.tell.relent()
    assert cluster.reaches("WAITING")


def test_a_bootstrap_action_fails(client: Any, emr: FakeEmr) -> None:
    emr.tell.fail_next_bootstrap("bootstrap action 1 returned 1")
    cluster = Asked.for_cluster(client, bash("true"))
    assert cluster.reaches("TERMINATED_WITH_ERRORS")["StateChangeReason"] == {
        "Code": "BOOTSTRAP_FAILURE",
        "Message": "bootstrap action 1 returned 1",
    }
    assert cluster.ended(cluster.step_ids()[0]) == "CANCELLED"


def test_a_lost_cluster_takes_its_processes_along(client: Any, emr: FakeEmr, tmp_path: Any) -> None:
    cluster = Asked.for_cluster(client, bash(f"sleep 300 & touch {tmp_path}/began; wait"))
    eventually((tmp_path / "began").exists)
    emr.tell.lose_cluster(cluster.id, "the rack is gone")
    assert cluster.reaches("TERMINATED_WITH_ERRORS")["StateChangeReason"] == {
        "Code": "INSTANCE_FAILURE",
        "Message": "the rack is gone",
    }
    (step,) = emr.cluster(cluster.id).steps
    assert step.state == "INTERRUPTED"
    assert step.pid
    assert living(step.pid) == []


def test_some_calls_of_one_operation_are_throttled(client: Any, emr: FakeEmr) -> None:
    emr.tell.throttle("ListClusters", calls=2)
    for _ in range(2):
        with pytest.raises(ClientError, match="Rate exceeded") as throttled:
            client.list_clusters()
        assert code_of(throttled) == ("ThrottlingException", 400)
    assert client.list_clusters()["Clusters"] == []


def test_all_calls_are_throttled_until_it_relents(client: Any, emr: FakeEmr) -> None:
    emr.tell.throttle()
    for call in (client.list_clusters, client.list_clusters, lambda: Asked.for_cluster(client)):
        with pytest.raises(ClientError, match="ThrottlingException"):
            call()
    emr.tell.relent()
    assert client.list_clusters()["Clusters"] == []


def test_calls_are_throttled_for_some_time(client: Any, emr: FakeEmr) -> None:
    emr.tell.throttle(seconds=600)
    with pytest.raises(ClientError, match="ThrottlingException"):
        client.list_clusters()
    emr.tell.relent()
    emr.tell.throttle(seconds=0)
    assert client.list_clusters()["Clusters"] == []


@pytest.mark.parametrize(
    ("status", "body", "code"), [(500, True, "InternalServerError"), (503, False, "503"), (500, False, "500")]
)
def test_calls_break(client: Any, emr: FakeEmr, status: int, body: bool, code: str) -> None:
    emr.tell.break_calls(status=status, body=body)
    with pytest.raises(ClientError) as broken:
        client.list_clusters()
    assert code_of(broken) == (code, status)
    assert client.list_clusters()["Clusters"] == []


def test_an_answer_is_lost_after_the_steps_were_added(client: Any, emr: FakeEmr) -> None:
    cluster = Asked.for_cluster(client)
    emr.tell.lose_answers("AddJobFlowSteps")
    with pytest.raises(ConnectionClosedError):
        cluster.add(bash("true"))
    (step_id,) = cluster.step_ids()
    assert cluster.ended(step_id) == "COMPLETED"
    assert [call.answered for call in emr.calls("AddJobFlowSteps")] == ["lost"]


def test_an_answer_is_lost_after_the_cluster_was_made(client: Any, emr: FakeEmr) -> None:
    emr.tell.lose_answers("RunJobFlow")
    with pytest.raises(ConnectionClosedError):
        Asked.for_cluster(client)
    assert [each["Name"] for each in client.list_clusters()["Clusters"]] == ["a cluster"]


def test_every_call_is_kept(client: Any, emr: FakeEmr) -> None:
    with pytest.raises(ClientError):
        client.describe_cluster(ClusterId="j-0")
    client.list_clusters(ClusterStates=["WAITING"])
    assert [(call.operation, call.params, call.answered) for call in emr.calls()] == [
        ("DescribeCluster", {"ClusterId": "j-0"}, "InvalidRequestException"),
        ("ListClusters", {"ClusterStates": ["WAITING"]}, "ok"),
    ]
    assert [call.operation for call in emr.calls("ListClusters")] == ["ListClusters"]


def told(emr: FakeEmr, method: str, **arguments: Any) -> int:
    """What another process would tell."""
    request = urllib.request.Request(  # noqa: S310 -- loopback
        emr.endpoint, json.dumps(arguments).encode(), {"X-Amz-Target": f"FakeEmr.{method}"}
    )
    try:
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as refused:
        return refused.code


def test_another_process_can_tell_it(client: Any, emr: FakeEmr) -> None:
    assert told(emr, "throttle", operations=["ListClusters"], calls=1) == 200
    with pytest.raises(ClientError, match="ThrottlingException"):
        client.list_clusters()
    assert told(emr, "fail_next_steps", count=1) == 200
    cluster = Asked.for_cluster(client, bash("true"))
    assert cluster.ended(cluster.step_ids()[0]) == "FAILED"
    assert [told(emr, "for_step"), told(emr, "__init__"), told(emr, "throttle", shiny=1)] == [400, 400, 400]


def test_a_page_of_a_browser_under_another_name_gets_no_answer(emr: FakeEmr) -> None:
    request = urllib.request.Request(  # noqa: S310
        emr.endpoint, b"{}", {"X-Amz-Target": "ElasticMapReduce.ListClusters", "Host": "rebound.example"}
    )
    with pytest.raises(ConnectionError):
        urllib.request.urlopen(request)  # noqa: S310
    assert emr.calls() == []
