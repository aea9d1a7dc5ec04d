"""Why a cluster has ended decides whether the run gets another one, and where its error says to look."""

import logging
import threading
from dataclasses import replace

import boto3
import dagster as dg
import pytest

from capstone_dagster.emr.api import Emr
from capstone_dagster.emr.cluster import NoClusterError, RunCluster, terminate
from capstone_dagster.emr.cluster_request import Owner
from capstone_dagster_tests.servers.emr_platform import EmrPlatform, Ended
from capstone_dagster_tests.servers.processes import eventually

MANY_RETRIES = {"CAPSTONE_MAX_RETRIES": "3"}


def run(platform: EmrPlatform) -> Ended:
    return replace(platform, settings_of_emr=MANY_RETRIES).run_here()


def end_as_the_runbook_says(platform: EmrPlatform) -> None:
    (cluster,) = platform.emr.clusters
    emr = boto3.Session("loopback", "loopback", region_name="us-east-1").client(
        "emr", endpoint_url=platform.emr.endpoint
    )
    emr.set_termination_protection(JobFlowIds=[cluster.id], TerminationProtected=False)
    emr.terminate_job_flows(JobFlowIds=[cluster.id])


@pytest.mark.faults("F10", sample=True)
def test_a_cluster_that_somebody_has_ended_is_not_replaced(platform: EmrPlatform) -> None:
    platform.emr.tell.hang_next_step()

    def end() -> None:
        eventually(lambda: [step.state for made in platform.emr.clusters for step in made.steps], ["RUNNING"].__eq__)
        end_as_the_runbook_says(platform)

    somebody = threading.Thread(target=end)
    somebody.start()
    ended = run(platform)
    somebody.join()

    assert ended.reason is not None
    assert "is TERMINATED: somebody has ended it: Terminated by user request" in ended.reason
    assert ended.count(dg.DagsterEventType.STEP_UP_FOR_RETRY) == 0
    assert len(platform.emr.clusters) == 1


def test_nor_is_it_for_the_next_step_or_day_of_the_run(platform: EmrPlatform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_EMR", platform.emr.endpoint)
    assert platform.settings.emr
    emr, owner, log = Emr("us-east-1", 30), Owner("a-run", "preprocessing_2020-08-05"), logging.getLogger("test")
    cluster = RunCluster(emr, platform.settings.emr)
    cluster_id = cluster.require(owner, log)
    terminate(emr, cluster_id)
    eventually(lambda: platform.states, ["TERMINATED"].__eq__)

    with pytest.raises(NoClusterError, match=rf"^cluster {cluster_id} of this run is TERMINATED: somebody has ended"):
        cluster.require(owner, log)

    assert len(platform.emr.clusters) == 1


@pytest.mark.faults("F10", sample=True)
def test_a_cluster_that_emr_cannot_create_is_requested_once(platform: EmrPlatform) -> None:
    platform.emr.tell.refuse_next_cluster("The instance type m6i.xlarge is not supported")

    ended = run(platform)

    assert ended.reason is not None
    assert "is TERMINATED_WITH_ERRORS: The instance type m6i.xlarge is not supported" in ended.reason
    assert len(platform.emr.clusters) == 1


@pytest.mark.faults("F10", sample=True)
def test_a_bootstrap_that_fails_is_tried_once_more_and_the_error_says_where_its_logs_are(
    platform: EmrPlatform,
) -> None:
    platform.emr.tell.fail_next_bootstrap("bootstrap action 1 returned 1")
    platform.emr.tell.fail_next_bootstrap("bootstrap action 1 returned 1")

    ended = run(platform)

    assert len(platform.emr.clusters) == 2
    last = platform.emr.clusters[1].id
    assert ended.reason is not None
    assert ended.reason.endswith(f"; logs of its machines: {platform.bucket}/staging/logs/{last}/node/")


def test_a_cluster_that_does_not_start_in_time_says_where_its_logs_are(platform: EmrPlatform) -> None:
    platform.emr.tell.never_start_next_cluster()

    ended = replace(platform, settings_of_emr={"CAPSTONE_EMR_START_MINUTES": "0.02"}).run_here()

    assert ended.reason is not None
    logs = f"{platform.bucket}/staging/logs/{platform.emr.clusters[0].id}/node/"
    assert ended.reason.endswith(f"is STARTING; logs of its machines: {logs}")
