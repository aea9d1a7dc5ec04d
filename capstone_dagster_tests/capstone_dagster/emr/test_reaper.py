"""What runs have left on EMR is ended once their run has ended, and nothing else is."""

import functools
import json
import logging
import os
from typing import Any

import dagster as dg
import pytest

from capstone_dagster.assets.jobs import ASSETS, BESIDE_TABLES
from capstone_dagster.automation.sensors import all_sensors
from capstone_dagster.emr import reaper as reaper_module
from capstone_dagster.emr.api import Emr, EmrApiError
from capstone_dagster.emr.cluster import RunCluster
from capstone_dagster.emr.cluster_request import Owner, creation
from capstone_dagster.emr.launcher import owner_of
from capstone_dagster.emr.reaper import reap, reap_now, reaper
from capstone_dagster.run_tags import RANGE_TAGS
from capstone_dagster.settings import Settings
from capstone_dagster_tests.builders.run_histories import (
    CANCELED,
    CANCELING,
    FAILURE,
    QUEUED,
    STARTED,
    STARTING,
    SUCCESS,
    Event,
    Histories,
)
from capstone_dagster_tests.servers.emr_platform import taken_cluster
from capstone_dagster_tests.servers.processes import eventually
from fake_aws.emr import FakeEmr
from spark_code.flow import STEPS
from spark_code.lake import Lake
from spark_code.schemas import TABLES, Table
from spark_code.storage import Storage

BEGAN = (STARTING, STARTED)
JOB_ID = "preprocessing_2020-08-06"


@pytest.fixture(autouse=True)
def _here(emr: FakeEmr, s3_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_EMR", emr.endpoint)
    monkeypatch.setenv("CAPSTONE_LAKE_URI", f"{s3_uri}/lake")


def settings(bucket: str, **variables: str) -> Settings:
    places = {f"CAPSTONE_{name}_URI": f"{bucket}/{name.lower()}" for name in ("RAW", "LAKE", "EMR_STAGING")}
    return Settings.from_mapping({"CAPSTONE_DEPLOYMENT": "emr", **places, **variables})


def asked() -> Emr:
    return _asked(os.environ["AWS_ENDPOINT_URL_EMR"])


@functools.cache
def _asked(endpoint: str) -> Emr:
    """Making a client takes longer than most tests."""
    del endpoint
    return Emr("us-east-1", 30)


def left_cluster(bucket: str, run_id: str, **changes: Any) -> str:
    """A cluster as the run has made it."""
    wanted = settings(bucket, CAPSTONE_EMR_TERMINATE_CLUSTER=changes.pop("terminate", "true")).emr
    assert wanted
    owner = changes.pop("owner", Owner(run_id, JOB_ID))
    request = creation(wanted, owner, 1, Storage(wanted.staging_uri)) | changes
    made: str = asked().ask("run_job_flow", **request)["JobFlowId"]
    return made


def left_steps(cluster_id: str, *names: str) -> list[str]:
    """Steps of these names; the first of them runs for long."""
    jar = {"Jar": "command-runner.jar", "Args": ["sleep", "300"]}
    steps = [{"Name": name, "ActionOnFailure": "CONTINUE", "HadoopJarStep": jar} for name in names]
    ids: list[str] = asked().ask("add_job_flow_steps", JobFlowId=cluster_id, Steps=steps)["StepIds"]
    return ids


def lake() -> Lake:
    return Lake(os.environ["CAPSTONE_LAKE_URI"])


def reaped(histories: Histories, taken: str | None = None) -> list[str]:
    return reap(asked(), histories.instance, lake(), taken)


def given_up(table: Table) -> list[str]:
    pointer = lake().storage.read(f"{table.path}/_published/2020-08-06.json")
    return list(json.loads(pointer)["given_up"]) if pointer else []


def cancelled(emr: FakeEmr) -> list[str]:
    return [step_id for call in emr.calls("CancelSteps") for step_id in call.params["StepIds"]]


@pytest.mark.faults("F10", sample=True)
@pytest.mark.parametrize(
    "events",
    [(*BEGAN, SUCCESS), (*BEGAN, FAILURE), (*BEGAN, CANCELING, CANCELED)],
    ids=["success", "failure", "canceled"],
)
def test_the_cluster_of_a_run_that_has_ended_is_terminated_although_it_is_protected(
    emr: FakeEmr, s3_uri: str, histories: Histories, events: tuple[Event, ...]
) -> None:
    run_id = histories.run("preprocessing", *events)
    cluster_id = left_cluster(s3_uri, run_id)

    assert reaped(histories) == [f"ended cluster {cluster_id} of run {run_id}"]

    assert eventually(lambda: emr.clusters[0].state, "TERMINATED".__eq__, seconds=30)
    assert reaped(histories) == []


@pytest.mark.faults("F3", sample=True)
@pytest.mark.parametrize("terminate", ["true", "false"])
def test_what_a_killed_run_has_written_cannot_be_published_after_its_cluster_is_ended(
    s3_uri: str, histories: Histories, terminate: str
) -> None:
    run_id = histories.run("preprocessing", *BEGAN, FAILURE)
    cluster_id = left_cluster(s3_uri, run_id, terminate=terminate)
    left_steps(cluster_id, f"capstone {JOB_ID} {run_id} ingested__events 2")

    reaped(histories)

    assert {name: given_up(table) for name, table in TABLES.items()} == {name: [f"{run_id}/2"] for name in TABLES}


def test_a_cluster_is_ended_although_the_lake_does_not_answer(emr: FakeEmr, s3_uri: str, histories: Histories) -> None:
    run_id = histories.run("preprocessing", *BEGAN, FAILURE)
    cluster_id = left_cluster(s3_uri, run_id)
    (step_id,) = left_steps(cluster_id, f"capstone {JOB_ID} {run_id} eod 1")

    first, second = reap(asked(), histories.instance, Lake("s3://no-such-bucket/lake"), None)

    assert first.startswith(f"step {step_id} of run {run_id} may still publish if it goes on: ")
    assert second == f"ended cluster {cluster_id} of run {run_id}"
    assert emr.clusters[0].is_ending


def test_the_cluster_of_a_run_of_some_assets_is_known_by_its_name(
    emr: FakeEmr, s3_uri: str, histories: Histories
) -> None:
    run_id = histories.run("__ASSET_JOB", *BEGAN, FAILURE, assets=["eod/trades", "eod/quotes"])
    run = histories.instance.get_run_by_id(run_id)
    assert run
    cluster_id = left_cluster(s3_uri, run_id, owner=owner_of(histories.instance, run))

    assert reaped(histories) == [f"ended cluster {cluster_id} of run {run_id}"]
    assert emr.calls("RunJobFlow")[0].params["Name"].split()[1] == "eod/quotes_eod/trades_of_2020-08-06"


def test_emr_takes_the_names_of_the_longest_selection_of_assets_over_several_days(
    emr: FakeEmr, s3_uri: str, histories: Histories
) -> None:
    all_but_one = (ASSETS["daily_pipeline"] | BESIDE_TABLES) - {dg.AssetKey(["eod", "closes"])}
    days = dict(zip(RANGE_TAGS, ("2020-08-05", "2020-08-06"), strict=True))
    run = dg.DagsterRun("__ASSET_JOB", tags=days, asset_selection=all_but_one)
    histories.instance.add_run(run)
    histories.happened(run.run_id, *BEGAN, FAILURE)
    owner = owner_of(histories.instance, run)
    cluster_id = left_cluster(s3_uri, run.run_id, owner=owner)
    step = max((step.name for step in STEPS), key=len)

    left_steps(cluster_id, f"capstone {owner.job_id} {run.run_id} {step} 10")

    assert owner.job_id == f"eod/quotes_and_{len(all_but_one) - 1}_more_of_2020-08-05..2020-08-06"
    assert reaped(histories)[-1] == f"ended cluster {cluster_id} of run {run.run_id}"
    assert emr.clusters[0].is_ending


@pytest.mark.parametrize(
    "events", [(), (QUEUED,), (STARTING,), BEGAN, (*BEGAN, CANCELING)], ids=lambda events: str(len(events))
)
def test_the_cluster_of_a_run_that_has_not_ended_is_left_alone(
    emr: FakeEmr, s3_uri: str, histories: Histories, events: tuple[Event, ...]
) -> None:
    left_cluster(s3_uri, histories.run("preprocessing", *events))

    assert reaped(histories) == []
    assert emr.clusters[0].protected
    assert emr.calls("TerminateJobFlows") == []


def test_clusters_of_others_are_left_alone(emr: FakeEmr, s3_uri: str, histories: Histories) -> None:
    ended = histories.run("preprocessing", *BEGAN, SUCCESS)
    taken_cluster(emr)
    left_cluster(s3_uri, "a run of another run storage")
    left_cluster(s3_uri, ended, Name=f"capstoned {JOB_ID} {ended} 1")
    left_cluster(s3_uri, ended, Tags=[])

    assert reaped(histories) == []
    assert emr.calls("TerminateJobFlows", "CancelSteps") == []


def test_what_cannot_be_ended_now_is_told_and_keeps_nothing_else_alive(
    emr: FakeEmr, s3_uri: str, histories: Histories
) -> None:
    ended = histories.run("preprocessing", *BEGAN, SUCCESS)
    older, newer = left_cluster(s3_uri, ended), left_cluster(s3_uri, ended)
    emr.tell.break_calls("DescribeCluster")

    first, second = reap(Emr("us-east-1", 0), histories.instance, lake(), None)

    assert first.startswith(f"left cluster {newer}: EMR gave no answer to describe_cluster for 0 s, last: ")
    assert second == f"ended cluster {older} of run {ended}"


def test_no_setting_is_named_if_a_call_ends_before_its_limit(
    emr: FakeEmr, s3_uri: str, histories: Histories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reaper_module, "_SECONDS", 6)
    emr.tell.throttle("ListClusters")

    with pytest.raises(EmrApiError, match=r"Rate exceeded$"):
        reap_now(settings(s3_uri), histories.instance)


def test_a_cluster_that_shall_stay_does_so_without_the_steps_of_its_run(
    emr: FakeEmr, s3_uri: str, histories: Histories
) -> None:
    run_id = histories.run("preprocessing", *BEGAN, FAILURE)
    cluster_id = left_cluster(s3_uri, run_id, terminate="false")
    (step_id,) = left_steps(cluster_id, f"capstone {JOB_ID} {run_id} eod 1")

    assert reaped(histories) == [f"ended step {step_id} of run {run_id} on cluster {cluster_id}"]

    eventually(lambda: emr.clusters[0].steps[0].state, "CANCELLED".__eq__, seconds=30)
    assert emr.calls("TerminateJobFlows") == []


def test_on_the_taken_cluster_only_the_steps_of_runs_that_have_ended_are_cancelled(
    emr: FakeEmr, histories: Histories
) -> None:
    ended, lives = histories.run("preprocessing", *BEGAN, FAILURE), histories.run("preprocessing", *BEGAN)
    cluster_id = taken_cluster(emr)
    running, _, waiting, *_ = left_steps(
        cluster_id,
        f"capstone {JOB_ID} {ended} ingested__events 1",
        f"capstone {JOB_ID} {lives} ingested__events 1",
        f"capstone {JOB_ID} {ended} eod 2",
        f"somebody's {JOB_ID} {ended} 1",
        f"capstone {JOB_ID} another run storage 1",
        "capstone",
        "",
    )
    eventually(lambda: emr.clusters[0].steps[0].state, "RUNNING".__eq__, seconds=30)

    told = reaped(histories, cluster_id)

    wanted = [f"ended step {step} of run {ended} on cluster {cluster_id}" for step in (running, waiting)]
    assert sorted(told) == sorted(wanted)
    assert sorted(cancelled(emr)) == sorted([running, waiting])
    assert {call.params["StepCancellationOption"] for call in emr.calls("CancelSteps")} == {"TERMINATE_PROCESS"}
    eventually(lambda: emr.clusters[0].steps[0].state, "CANCELLED".__eq__, seconds=30)
    assert emr.calls("TerminateJobFlows") == []


@pytest.mark.parametrize("has_ended", [True, False])
def test_the_taken_cluster_is_protected_until_the_run_that_wanted_it_has_ended(
    emr: FakeEmr, s3_uri: str, histories: Histories, has_ended: bool
) -> None:
    run_id = histories.run("preprocessing", *BEGAN, *([FAILURE] if has_ended else []))
    cluster_id = taken_cluster(emr)
    wanted = settings(s3_uri, CAPSTONE_EMR_CLUSTER_ID=cluster_id).emr
    assert wanted
    RunCluster(asked(), wanted).require(Owner(run_id, JOB_ID), logging.getLogger("test"))

    told = reaped(histories, cluster_id)

    switched_off = f"switched off the protection of cluster {cluster_id} by run {run_id}"
    assert told == ([switched_off] if has_ended else [])
    assert emr.clusters[0].protected != has_ended
    assert ("capstone:protected_by" in emr.clusters[0].tags) != has_ended


def test_a_cluster_on_another_page_is_found(s3_endpoint: str, s3_uri: str, histories: Histories) -> None:
    run_id = histories.run("preprocessing", *BEGAN, SUCCESS)
    with FakeEmr(s3_endpoint=s3_endpoint, page_size=1) as emr, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_EMR", emr.endpoint)
        made = [left_cluster(s3_uri, run_id) for _ in range(3)]

        wanted = [f"ended cluster {made_} of run {run_id}" for made_ in made[::-1]]
        assert reaped(histories) == wanted


def test_only_where_steps_run_on_emr_a_sensor_looks_and_it_does_so_from_the_start(s3_uri: str) -> None:
    places = {f"CAPSTONE_{name}_URI": f"{s3_uri}/{name.lower()}" for name in ("RAW", "LAKE", "EMR_STAGING")}
    found = {
        deployment: {
            (sensor.name, sensor.default_status)
            for sensor in all_sensors(Settings.from_mapping({"CAPSTONE_DEPLOYMENT": deployment, **places}), jobs=[])
        }
        for deployment in ("local", "emr")
    }
    assert found["emr"] - found["local"] == {("emr_reaper", dg.DefaultSensorStatus.RUNNING)}


def test_its_ticks_say_what_they_did(emr: FakeEmr, s3_uri: str, histories: Histories) -> None:
    ended = histories.run("preprocessing", *BEGAN, FAILURE)
    taken = taken_cluster(emr)
    (step_id,) = left_steps(taken, f"capstone {JOB_ID} {ended} eod 1")
    left = left_cluster(s3_uri, ended)
    look = reaper(settings(s3_uri, CAPSTONE_EMR_CLUSTER_ID=taken))

    def tick() -> str | None:
        answer = look(dg.build_sensor_context(instance=histories.instance))
        assert isinstance(answer, dg.SkipReason)
        return answer.skip_message

    assert tick() == f"ended cluster {left} of run {ended}; ended step {step_id} of run {ended} on cluster {taken}"
    eventually(lambda: emr.cluster(taken).steps[0].state, "CANCELLED".__eq__, seconds=30)
    assert tick() == "nothing is left on EMR by runs that have ended"
