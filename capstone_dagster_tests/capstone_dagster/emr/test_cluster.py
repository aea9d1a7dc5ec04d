"""The cluster of a run: made or taken when it is needed, protected meanwhile, given back as it was wanted."""

import logging
from collections.abc import Callable
from dataclasses import replace

import dagster as dg
import pytest
from dagster._core.errors import DagsterExecutionInterruptedError

from capstone_dagster.emr.api import Emr
from capstone_dagster.emr.cluster import NoClusterError, RunCluster, protect
from capstone_dagster.emr.cluster_request import Owner
from capstone_dagster.emr.launcher import cluster_of_days, step_launcher
from capstone_dagster.settings import Settings
from capstone_dagster_tests.servers.emr_platform import taken_cluster
from capstone_dagster_tests.servers.processes import eventually
from fake_aws.emr import FakeEmr

OWNER = Owner(run_id="a-run", job_id="preprocessing_2020-08-05")
LOG = logging.getLogger("test")


@pytest.fixture(autouse=True)
def _here(emr: FakeEmr, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_EMR", emr.endpoint)


def settings_on(bucket: str, **variables: str) -> Settings:
    places = {f"CAPSTONE_{name}_URI": f"{bucket}/{name.lower()}" for name in ("RAW", "LAKE", "EMR_STAGING")}
    return Settings.from_mapping({"CAPSTONE_DEPLOYMENT": "emr", **places, **variables})


def run_cluster(bucket: str, *, patience: float = 30, **variables: str) -> RunCluster:
    wanted = settings_on(bucket, **variables).emr
    assert wanted
    return RunCluster(Emr("us-east-1", patience), wanted)


def taken(bucket: str, cluster_id: str, terminate: bool = False) -> RunCluster:
    end = str(terminate).lower()
    return run_cluster(bucket, CAPSTONE_EMR_CLUSTER_ID=cluster_id, CAPSTONE_EMR_TERMINATE_CLUSTER=end)


def set_protection(cluster_id: str, is_protected: bool) -> None:
    protect(Emr("us-east-1", 30), cluster_id, is_protected)


def state(emr: FakeEmr, number: int = 0) -> str:
    """The state of a cluster once it has nothing more to do."""
    settled = ("WAITING", "TERMINATED", "TERMINATED_WITH_ERRORS")
    return eventually(lambda: emr.clusters[number].state, settled.__contains__, seconds=30)


def test_a_run_that_needs_no_cluster_makes_none(emr: FakeEmr, s3_uri: str, caplog: pytest.LogCaptureFixture) -> None:
    run_cluster(s3_uri).release(LOG)
    assert emr.calls() == []
    assert caplog.messages == []


def test_it_is_made_once_for_all_steps_of_the_run_and_protected(emr: FakeEmr, s3_uri: str) -> None:
    cluster = run_cluster(s3_uri)

    assert {cluster.require(OWNER, LOG) for _ in range(3)} == {emr.clusters[0].id}
    assert len(emr.clusters) == 1
    assert emr.clusters[0].request["Name"] == "capstone preprocessing_2020-08-05 a-run 1"
    assert emr.clusters[0].protected


def test_the_days_of_a_range_share_one_which_is_named_after_the_range_and_ended_with_it(
    emr: FakeEmr, s3_uri: str
) -> None:
    settings = settings_on(s3_uri)
    assert settings.emr
    with cluster_of_days(settings.emr, Owner("the-range", "daily_pipeline_2020-08-05..2020-08-06")):
        for day in ("2020-08-05", "2020-08-06"):
            with dg.build_resources({"emr": step_launcher(settings)}) as resources:
                resources.emr.cluster.require(Owner(f"run of {day}", f"daily_pipeline_{day}"), LOG)
        assert state(emr) == "WAITING"

    names = [cluster.request["Name"] for cluster in emr.clusters]
    assert names == ["capstone daily_pipeline_2020-08-05..2020-08-06 the-range 1"]
    assert state(emr) == "TERMINATED"


@pytest.mark.parametrize(
    "tell",
    [
        pytest.param(lambda emr: emr.tell.lose_answers("RunJobFlow"), id="made, and the answer was lost"),
        pytest.param(lambda emr: emr.tell.break_calls("RunJobFlow"), id="not made"),
    ],
)
def test_after_an_error_it_is_told_from_others_by_its_name(
    emr: FakeEmr, s3_uri: str, tell: Callable[[FakeEmr], None]
) -> None:
    taken_cluster(emr)
    tell(emr)

    assert run_cluster(s3_uri).require(OWNER, LOG) == emr.clusters[1].id
    assert len(emr.clusters) == 2


def test_one_that_was_made_while_the_run_was_stopped_is_given_back(emr: FakeEmr, s3_uri: str) -> None:
    def stopped(seconds: float) -> None:
        raise DagsterExecutionInterruptedError(seconds)

    cluster = run_cluster(s3_uri)
    cluster.emr = replace(cluster.emr, pause=stopped)
    emr.tell.lose_answers("RunJobFlow")

    with pytest.raises(DagsterExecutionInterruptedError):
        cluster.require(OWNER, LOG)
    cluster.release(LOG)

    assert state(emr) == "TERMINATED"


@pytest.mark.parametrize(("terminate", "ends"), [("true", "TERMINATED"), ("false", "WAITING")])
def test_it_is_terminated_or_left_alive_and_never_left_protected(
    emr: FakeEmr, s3_uri: str, terminate: str, ends: str
) -> None:
    cluster = run_cluster(s3_uri, CAPSTONE_EMR_TERMINATE_CLUSTER=terminate)
    cluster.require(OWNER, LOG)

    cluster.release(LOG)

    assert (state(emr), emr.clusters[0].protected) == (ends, False)


@pytest.mark.parametrize(
    ("was_protected", "terminate", "ends", "is_protected"),
    [
        (False, False, "WAITING", False),
        (True, False, "WAITING", True),
        (False, True, "TERMINATED", False),
        (True, True, "TERMINATED", False),
    ],
)
def test_a_taken_one_is_protected_meanwhile_and_given_back_as_it_was_unless_it_shall_end(
    emr: FakeEmr, s3_uri: str, was_protected: bool, terminate: bool, ends: str, is_protected: bool
) -> None:
    cluster_id = taken_cluster(emr)
    set_protection(cluster_id, was_protected)
    cluster = taken(s3_uri, cluster_id, terminate)

    assert {cluster.require(OWNER, LOG) for _ in range(2)} == {cluster_id}
    assert emr.clusters[0].protected
    cluster.release(LOG)

    assert (state(emr), emr.clusters[0].protected) == (ends, is_protected)
    assert len(emr.clusters) == 1


def test_after_a_run_that_was_killed_the_next_one_restores_what_was_before_both(emr: FakeEmr, s3_uri: str) -> None:
    cluster_id = taken_cluster(emr)
    before = dict(emr.clusters[0].tags)
    taken(s3_uri, cluster_id).require(OWNER, LOG)

    following = taken(s3_uri, cluster_id)
    following.require(Owner("another-run", OWNER.job_id), LOG)
    assert (emr.clusters[0].protected, emr.clusters[0].tags["capstone:protected_by"]) == (True, "another-run")
    following.release(LOG)

    assert (emr.clusters[0].protected, emr.clusters[0].tags) == (False, before)


@pytest.mark.parametrize("was_protected", [False, True])
@pytest.mark.parametrize("first", [0, 1])
def test_after_two_runs_it_is_as_before_whichever_ends_first(
    emr: FakeEmr, s3_uri: str, first: int, was_protected: bool
) -> None:
    cluster_id = taken_cluster(emr)
    set_protection(cluster_id, was_protected)
    before = dict(emr.clusters[0].tags)
    both = [taken(s3_uri, cluster_id) for _ in range(2)]
    for number, cluster in enumerate(both):
        cluster.require(Owner(f"run-{number}", OWNER.job_id), LOG)

    both[first].release(LOG)
    both[1 - first].release(LOG)

    assert (emr.clusters[0].protected, emr.clusters[0].tags) == (was_protected, before)


def test_no_cluster_is_protected_if_that_is_switched_off(emr: FakeEmr, s3_uri: str) -> None:
    run_cluster(s3_uri, CAPSTONE_EMR_PROTECT="false").require(OWNER, LOG)
    run_cluster(s3_uri, CAPSTONE_EMR_PROTECT="false", CAPSTONE_EMR_CLUSTER_ID=taken_cluster(emr)).require(OWNER, LOG)

    assert [cluster.protected for cluster in emr.clusters] == [False, False]


def test_one_that_has_ended_is_not_taken_and_the_error_says_what_to_do(emr: FakeEmr, s3_uri: str) -> None:
    cluster_id = taken_cluster(emr)
    emr.tell.lose_cluster(cluster_id, "Spot instances were reclaimed")
    state(emr)

    with pytest.raises(
        NoClusterError,
        match=rf"^CAPSTONE_EMR_CLUSTER_ID: cluster {cluster_id} takes no steps: TERMINATED_WITH_ERRORS: Spot "
        "instances were reclaimed; name one that runs, or leave it empty and every run creates its own$",
    ):
        taken(s3_uri, cluster_id).require(OWNER, LOG)


def test_one_that_does_not_exist_is_not_taken_and_the_error_names_the_setting(s3_uri: str) -> None:
    with pytest.raises(NoClusterError, match=r"^CAPSTONE_EMR_CLUSTER_ID: .*Cluster id 'j-NONE' is not valid"):
        taken(s3_uri, "j-NONE").require(OWNER, LOG)


def test_after_one_that_was_lost_another_one_is_made_with_the_next_number(emr: FakeEmr, s3_uri: str) -> None:
    cluster = run_cluster(s3_uri)
    emr.tell.lose_cluster(cluster.require(OWNER, LOG))

    second = cluster.require(OWNER, LOG)
    cluster.release(LOG)

    assert [made.request["Name"].rsplit(maxsplit=1)[1] for made in emr.clusters] == ["1", "2"]
    assert second == emr.clusters[1].id
    assert [state(emr, 0), state(emr, 1)] == ["TERMINATED_WITH_ERRORS", "TERMINATED"]


def test_after_a_taken_one_that_was_lost_there_is_none(emr: FakeEmr, s3_uri: str) -> None:
    cluster = taken(s3_uri, taken_cluster(emr))
    emr.tell.lose_cluster(cluster.require(OWNER, LOG))

    with pytest.raises(NoClusterError, match="takes no steps: TERMINAT"):
        cluster.require(OWNER, LOG)

    assert len(emr.clusters) == 1


@pytest.mark.parametrize("terminate", ["true", "false"])
def test_giving_back_one_that_was_lost_is_no_news(
    emr: FakeEmr, s3_uri: str, terminate: str, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = run_cluster(s3_uri, CAPSTONE_EMR_TERMINATE_CLUSTER=terminate)
    emr.tell.lose_cluster(cluster.require(OWNER, LOG))

    cluster.release(LOG)

    assert caplog.messages == []


@pytest.mark.parametrize("terminate", ["true", "false"])
def test_a_run_keeps_its_result_when_emr_is_away_at_its_end(
    emr: FakeEmr, s3_uri: str, terminate: str, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = run_cluster(s3_uri, patience=1, CAPSTONE_EMR_TERMINATE_CLUSTER=terminate)
    cluster_id = cluster.require(OWNER, LOG)
    emr.stop()

    cluster.release(LOG)

    (said,) = caplog.messages
    assert said.startswith(f"cluster {cluster_id} was not given back, the sensor emr_reaper tries again: EMR gave no")
