"""EMR is asked patiently, within bounds, and only once for what must happen once."""

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._utils.interrupts import capture_interrupts

from capstone_dagster.emr import api
from capstone_dagster.emr.api import Answer, Emr, EmrApiError
from capstone_dagster.steps.transient_faults import is_transient
from capstone_dagster_tests.capstone_dagster.emr.one_step import Clock
from capstone_dagster_tests.servers.emr_platform import taken_cluster
from fake_aws.emr import FakeEmr

MINUTES = 60.0
A_CLUSTER = {
    "Name": "a cluster",
    "ReleaseLabel": "emr-spark-8.1.0",
    "JobFlowRole": "profile",
    "ServiceRole": "role",
    "Instances": {"MasterInstanceType": "m5.xlarge", "InstanceCount": 1, "KeepJobFlowAliveWhenNoSteps": True},
}

pytestmark = pytest.mark.usefixtures("s3_uri")


@pytest.fixture(autouse=True)
def _here(emr: FakeEmr, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_EMR", emr.endpoint)


def asked(clock: Clock, minutes: float = 10) -> Emr:
    return Emr("us-east-1", minutes * MINUTES, pause=clock.pause, clock=clock)


def test_five_minutes_of_throttling_are_outlasted_by_ten_minutes_of_patience(emr: FakeEmr) -> None:
    emr.tell.throttle()
    clock = Clock(lambda clock: emr.tell.relent() if clock.now >= 5 * MINUTES else None)

    assert asked(clock, minutes=10).ask("list_clusters")["Clusters"] == []
    assert clock.now >= 5 * MINUTES


def test_the_same_ends_two_minutes_of_patience_with_the_operation_the_last_error_and_the_setting(emr: FakeEmr) -> None:
    emr.tell.throttle()
    clock = Clock()

    with pytest.raises(
        EmrApiError,
        match=r"^EMR gave no answer to list_clusters for 1\d\d s, last: .*ThrottlingException.*Rate exceeded; "
        r"CAPSTONE_EMR_PATIENCE_MINUTES says how long to go on asking$",
    ) as gave_up:
        asked(clock, minutes=2).ask("list_clusters")

    assert is_transient(gave_up.value)
    assert clock.now <= 2 * MINUTES + 0.2 * 20  # the last pause may be longer by its jitter


@pytest.mark.parametrize(
    "tell",
    [
        pytest.param(lambda emr: emr.tell.break_calls(calls=3), id="500 with a body"),
        pytest.param(lambda emr: emr.tell.break_calls(calls=3, status=503, body=False), id="503 of a gateway"),
        pytest.param(lambda emr: emr.tell.break_calls(calls=3, status=429, body=False), id="429"),
        pytest.param(lambda emr: emr.tell.lose_answers(calls=3), id="dropped connections"),
        pytest.param(lambda emr: emr.tell.throttle(calls=3), id="throttling"),
    ],
)
def test_what_will_pass_is_asked_again_with_growing_pauses(emr: FakeEmr, tell: Callable[[FakeEmr], None]) -> None:
    tell(emr)
    clock = Clock()

    assert asked(clock).ask("list_clusters")["Clusters"] == []
    assert len(emr.calls("ListClusters")) == 4
    # Half a second, then the double, each more or less by a fifth.
    assert [0.4 <= clock.pauses[0] <= 0.6, 0.8 <= clock.pauses[1] <= 1.2, 1.6 <= clock.pauses[2] <= 2.4] == [True] * 3


def test_a_server_that_is_not_there_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL_EMR", f"http://127.0.0.1:{unheard.getsockname()[1]}")
        with pytest.raises(EmrApiError, match=r"gave no answer to list_clusters for \d s, last: Could not connect to"):
            asked(Clock(), minutes=2 / MINUTES).ask("list_clusters")


@pytest.mark.parametrize(
    ("operation", "request_", "why"),
    [
        ("terminate_job_flows", {"JobFlowIds": ["j-NONE"]}, r"ValidationException.*Specified job flow ID not valid"),
        ("describe_cluster", {"ClusterId": "j-NONE"}, r"InvalidRequestException.*Cluster id 'j-NONE' is not valid"),
        ("describe_cluster", {}, r"Missing required parameter in input: \"ClusterId\""),
    ],
)
def test_what_will_not_pass_is_refused_at_once(operation: str, request_: Answer, why: str) -> None:
    clock = Clock()

    with pytest.raises(EmrApiError, match=rf"(?s)^EMR refused {operation}: .*{why}") as refused:
        asked(clock).ask(operation, **request_)

    assert not is_transient(refused.value)
    assert clock.pauses == []


def test_jitter_is_a_fifth_at_most_and_not_always_the_same() -> None:
    drawn = {api.jittered(10) for _ in range(200)}
    assert len(drawn) > 1
    assert all(8 <= seconds <= 12 for seconds in drawn)


def submitted(emr: Emr, looks: list[str | None]) -> str:
    """Ask for a cluster; each look for one that is there already is noted."""

    def find() -> str | None:
        clusters = emr.pages("list_clusters", "Clusters")
        looks.append(next((str(cluster["Id"]) for cluster in clusters), None))
        return looks[-1]

    return emr.submit("run_job_flow", find, lambda answer: str(answer["JobFlowId"]), **A_CLUSTER)


def test_what_was_made_before_the_answer_was_lost_is_found_and_not_made_again(emr: FakeEmr) -> None:
    emr.tell.lose_answers("RunJobFlow")
    looks: list[str | None] = []

    made = submitted(asked(Clock()), looks)

    assert looks == [made]
    assert [cluster.id for cluster in emr.clusters] == [made]


def test_what_was_not_made_is_asked_for_again(emr: FakeEmr) -> None:
    emr.tell.break_calls("RunJobFlow", calls=2)
    looks: list[str | None] = []

    made = submitted(asked(Clock()), looks)

    assert looks == [None, None]
    assert [cluster.id for cluster in emr.clusters] == [made]


def test_who_gets_an_answer_does_not_look(emr: FakeEmr) -> None:
    taken_cluster(emr)
    looks: list[str | None] = []

    submitted(asked(Clock()), looks)

    assert looks == []
    assert len(emr.clusters) == 2


def test_lists_are_read_to_their_last_page(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeEmr(s3_endpoint=s3_endpoint, page_size=2) as emr:
        monkeypatch.setenv("AWS_ENDPOINT_URL_EMR", emr.endpoint)
        asked_here = asked(Clock())
        made = [asked_here.ask("run_job_flow", **A_CLUSTER)["JobFlowId"] for _ in range(5)]

        assert [found["Id"] for found in asked_here.pages("list_clusters", "Clusters")] == made[::-1]
        assert len(emr.calls("ListClusters")) == 3


@pytest.fixture
def stoppable() -> Iterator[None]:
    """As in a run, which hears of a request to stop when it wants to; Dagster would leave SIGTERM changed."""
    before = signal.getsignal(signal.SIGTERM)
    with capture_interrupts():
        yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("stoppable")
def test_a_pause_ends_when_the_run_is_asked_to_stop() -> None:
    request = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    request.start()
    with pytest.raises(DagsterExecutionInterruptedError):
        Emr("us-east-1", 10 * MINUTES).pause(300)
    request.join()


@pytest.mark.usefixtures("stoppable")
def test_the_steadfast_go_on_although_the_run_was_asked_to_stop() -> None:
    os.kill(os.getpid(), signal.SIGINT)
    Emr("us-east-1", 10 * MINUTES).steadfast().pause(0.01)

    with pytest.raises(DagsterExecutionInterruptedError):
        Emr("us-east-1", 10 * MINUTES).pause(300)


@pytest.mark.parametrize(("patience", "is_hurried", "steadfast"), [(600, True, 60), (30, True, 30), (600, False, 600)])
def test_the_steadfast_do_not_wait_for_long_if_somebody_waits_for_them(
    patience: float, is_hurried: bool, steadfast: float
) -> None:
    assert Emr("us-east-1", patience).steadfast(is_hurried=is_hurried).patience_seconds == steadfast


@pytest.mark.parametrize(("seconds", "names_it"), [(10, False), (10 * MINUTES, True), (11 * MINUTES, True)])
def test_the_setting_is_named_only_if_more_of_it_would_have_helped(
    emr: FakeEmr, seconds: float, names_it: bool
) -> None:
    emr.tell.throttle()

    with pytest.raises(EmrApiError, match="Rate exceeded") as gave_up:
        asked(Clock(), minutes=10).within(seconds).ask("list_clusters")

    assert ("CAPSTONE_EMR_PATIENCE_MINUTES" in str(gave_up.value)) == names_it
