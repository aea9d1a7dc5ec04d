"""Runs a step on EMR: Dagster's EMR PySpark step launcher, made fit for production.

Each deviation from the parent has a test of its own (``test_*_contract``), so that an upgrade that changes
the parent is noticed. This is how a step is submitted; how it is awaited is in ``watch``.
"""

# The parent has no types.
# mypy: disallow-untyped-calls=False

import copy
import warnings
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import boto3
import dagster as dg
from dagster._core.execution.context.system import StepExecutionContext
from dagster_aws.emr.pyspark_step_launcher import EmrPySparkStepLauncher

from capstone_dagster.emr import archive, step_main
from capstone_dagster.emr.api import Emr, EmrApiError
from capstone_dagster.emr.cluster import ACTIVE, RunCluster, describe, told
from capstone_dagster.emr.creation import NAME, Owner
from capstone_dagster.emr.events import Relay
from capstone_dagster.emr.staging import LAUNCH, Launch, Versions
from capstone_dagster.emr.steps import Steps
from capstone_dagster.emr.watch import Watch, tried_again
from capstone_dagster.errors import ExpectedError
from capstone_dagster.inputs import require_inputs
from capstone_dagster.jobs import job_id
from capstone_dagster.settings import CHECKOUT, Settings
from spark_code.manifest import Attempt
from spark_code.session import ENGINE_CONF
from spark_code.storage import Storage

# On a run, where the UI shows it.
CLUSTER_TAG = "capstone/emr_cluster"
# What stays on this host: a secret, a folder that no cluster has, and how steps come to the cluster.
_OF_THIS_HOST = ("CAPSTONE_POSTGRES_URL", "CAPSTONE_HOME", "CAPSTONE_EMR_")


class NoRegionError(ExpectedError):
    """Nobody said in which region of AWS the clusters are."""


class EmrStepLauncher(EmrPySparkStepLauncher):
    """Runs each step as a step of the run's cluster. Copies of it know one attempt at one step."""

    owner: Owner
    attempt: int

    def __init__(self, settings: Settings, cluster: RunCluster) -> None:
        assert settings.emr  # noqa: S101 - for the type checker: only that deployment has a launcher
        self.settings, self.wanted, self.cluster = settings, settings.emr, cluster
        self.staging = Storage(self.wanted.staging_uri)
        bucket, _, prefix = self.wanted.staging_uri.removeprefix("s3://").partition("/")
        with warnings.catch_warnings():
            # That Dagster prefers Pipes is known; docs/decisions.md says why it is this launcher.
            warnings.simplefilter("ignore")
            super().__init__(
                region_name=cluster.emr.region,
                staging_bucket=bucket,
                staging_prefix=str(PurePosixPath(prefix, "runs")),
                wait_for_logs=False,
                # A failed step cancels no other one.
                action_on_failure="CONTINUE",
                cluster_id="",
                spark_config={**ENGINE_CONF, **self.wanted.spark_conf},
                local_job_package_path=str(CHECKOUT),
                deploy_local_job_package=False,
            )
        self.emr_job_runner = Steps(cluster.emr)  # type: ignore[assignment]  # what the parent asks of it, and more

    def launch_step(self, step_context: StepExecutionContext) -> Iterator[dg.DagsterEvent]:
        """Refuse what cannot work, and only then ask for a cluster and submit."""
        require_inputs(step_context)
        run = step_context.dagster_run
        launched = copy.copy(self)
        launched.owner = Owner(run.run_id, job_id(run.job_name, step_context.partition_key))
        launched.attempt = step_context.previous_attempt_count + 1
        launched.s3_job_package_path = archive.upload(self.staging, archive.build())
        launched.cluster_id = self.cluster.require(launched.owner, step_context.log)
        step_context.instance.add_run_tags(run.run_id, {CLUSTER_TAG: launched.cluster_id})
        try:
            yield from EmrPySparkStepLauncher.launch_step(launched, step_context)
        except EmrApiError as error:
            cluster = describe(self.cluster.emr, launched.cluster_id)
            if cluster["Status"]["State"] in ACTIVE:
                raise
            lost = dg.Failure(f"{error}; cluster {launched.cluster_id} is {told(cluster)}", allow_retries=False)
            raise tried_again(lost, step_context, self.settings, is_lost=True)  # noqa: B904 - it has its own cause

    def wait_for_completion(  # noqa: D102, PLR0913, PLR0917 - the parent's, which calls it
        self,
        step_context: StepExecutionContext,
        s3: Any,
        run_id: str,
        step_key: str,
        emr_step_id: str,
        check_interval: int = 0,
    ) -> Iterator[dg.DagsterEvent]:
        del s3, run_id, check_interval
        folder = f"runs/{self.owner.run_id}/{self._sanitize_step_key(step_key)}/{self.attempt}"
        watch = Watch(
            step=step_context,
            settings=self.settings,
            cluster=self.cluster,
            steps=Steps(self.cluster.emr),
            step_id=emr_step_id,
            attempt=Attempt.begin(self.owner.run_id, self.attempt),
            relay=Relay(step_context, Storage(self.staging.uri(folder))),
        )
        yield from watch.until_ended()

    def _post_artifacts(self, log: Any, step_run_ref: Any, run_id: str, step_key: str) -> None:
        super()._post_artifacts(log, step_run_ref, run_id, step_key)
        environment = {
            **{
                name: value
                for name, value in self.settings.as_environment().items()
                if not name.startswith(_OF_THIS_HOST)
            },
            "CAPSTONE_DEPLOYMENT": "cluster",
            "AWS_DEFAULT_REGION": self.region_name,
        }
        key = self._artifact_s3_key(run_id, step_key, LAUNCH).removeprefix(self.staging_prefix)
        self.staging.write(f"runs{key}", Launch(Versions.here(), environment).to_json())

    def _get_emr_step_def(self, run_id: str, step_key: str, solid_name: str) -> dict[str, Any]:
        step: dict[str, Any] = super()._get_emr_step_def(run_id, step_key, solid_name)
        return step | {"Name": f"{NAME} {self.owner.job_id} {run_id} {step_key} {self.attempt}"}

    def _artifact_s3_key(self, run_id: str, step_key: str, filename: str) -> str:
        key = PurePosixPath(super()._artifact_s3_key(run_id, step_key, filename))
        return str(key.parent / str(self.attempt) / key.name)

    def _main_file_local_path(self) -> str:
        return step_main.__file__


def region() -> str:
    """The region as boto3 finds it."""
    found: str | None = boto3.Session().region_name
    if not found:
        raise NoRegionError("AWS_DEFAULT_REGION: the region of the clusters must be set, or be part of AWS_PROFILE")
    return found


def step_launcher(settings: Settings) -> dg.ResourceDefinition:
    """The resource: a launcher, and with it the cluster of the run, which is given back at its end."""

    @dg.resource(description="Runs Spark steps on the run's EMR cluster, and ends the cluster with the run.")
    def emr(context: dg.InitResourceContext) -> Iterator[EmrStepLauncher]:
        assert settings.emr  # noqa: S101
        cluster = RunCluster(Emr(region(), settings.emr.patience_minutes * 60), settings.emr)
        try:
            yield EmrStepLauncher(settings, cluster)
        finally:
            cluster.release(context.log or dg.get_dagster_logger())

    return emr
