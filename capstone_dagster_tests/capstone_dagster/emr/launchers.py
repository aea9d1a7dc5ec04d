"""Dagster's launcher and ours side by side: on the same bucket, cluster and step of EMR."""

# The parent has no types.
# mypy: disallow-untyped-calls=False

import logging
import warnings
from typing import Any

from dagster._core.execution.context.system import StepExecutionContext
from dagster_aws.emr.pyspark_step_launcher import EmrPySparkStepLauncher

from capstone_dagster.emr.api import Emr
from capstone_dagster.emr.cluster import RunCluster
from capstone_dagster.emr.cluster_request import Owner
from capstone_dagster.emr.launcher import EmrStepLauncher
from capstone_dagster.emr.step_calls import Steps
from capstone_dagster_tests.servers.emr_platform import EmrPlatform
from capstone_dagster_tests.servers.processes import eventually
from fake_aws.emr import FakeEmr
from spark_code.manifest import Attempt

LOG = logging.getLogger("test")
RUN_ID, ATTEMPT = "5e0c9a4e-run", 2
OWNER = Owner(RUN_ID, "preprocessing_2020-08-05")


def parents(bucket: str, cluster_id: str = "j-FIXED", **changes: Any) -> EmrPySparkStepLauncher:
    """Dagster's, with the defaults of its resource."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is superseded
        return EmrPySparkStepLauncher(
            **{
                "region_name": "us-east-1",
                "staging_bucket": bucket.removeprefix("s3://"),
                "staging_prefix": "staging/runs",
                "wait_for_logs": False,
                "action_on_failure": "CANCEL_AND_WAIT",
                "cluster_id": cluster_id,
                "spark_config": {},
                "local_job_package_path": "/nowhere",
                "deploy_local_job_package": False,
                **changes,
            }
        )


def ours(
    platform: EmrPlatform,
    step: StepExecutionContext | None = None,
    cluster_id: str | None = None,
    emr: Emr | None = None,
) -> EmrStepLauncher:
    """Ours, at the second attempt; with a step, ready to submit and await it."""
    assert platform.settings.emr
    cluster = RunCluster(emr or Emr("us-east-1", 60), platform.settings.emr, cluster_id)
    launcher = EmrStepLauncher(platform.settings, cluster)
    launcher.owner, launcher.attempt = OWNER, Attempt.begin(RUN_ID, ATTEMPT)
    if step:
        launcher.watch = launcher.watch_of(step)
    return launcher


def made_cluster(platform: EmrPlatform) -> str:
    """A cluster as our launcher makes it, with logs."""
    cluster_id = ours(platform).cluster.require(OWNER, LOG)
    eventually(lambda: platform.emr.cluster(cluster_id).state, "WAITING".__eq__, seconds=30)
    return cluster_id


def submitted(emr: FakeEmr, cluster_id: str, state: str) -> str:
    """A step that complains on stderr, once it is in that state."""
    jar = {"Jar": "command-runner.jar", "Args": ["bash", "-c", "echo boom >&2"]}
    step = {"Name": "a step", "ActionOnFailure": "CONTINUE", "HadoopJarStep": jar}
    (step_id,) = Steps(Emr("us-east-1", 60)).add_job_flow_steps(LOG, cluster_id, [step])
    eventually(lambda: emr.cluster(cluster_id).steps[-1].state, state.__eq__, seconds=30)
    return step_id
