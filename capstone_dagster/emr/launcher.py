"""Runs a step on EMR: Dagster's EMR PySpark step launcher, made fit for production.

Each deviation from the parent has its own test (``test_*_contract``), which fails if an upgrade changes the parent.
This module submits a step; ``step_watch`` waits for it.
"""

# The parent has no types.
# mypy: disallow-untyped-calls=False

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import PurePosixPath
from typing import Any

import boto3
import dagster as dg
from botocore.exceptions import BotoCoreError
from dagster._core.execution.context.system import StepExecutionContext
from dagster_aws.emr.pyspark_step_launcher import EmrPySparkStepLauncher

from capstone_dagster.assets.job_of_run import what_ran
from capstone_dagster.assets.table_assets import NOTHING
from capstone_dagster.emr import code_archive
from capstone_dagster.emr.api import Emr, EmrApiError
from capstone_dagster.emr.attempt_folder import LAUNCH, Launch, Versions
from capstone_dagster.emr.cluster import RunCluster
from capstone_dagster.emr.cluster_request import NAME, PYTHON, Owner
from capstone_dagster.emr.event_relay import Relay
from capstone_dagster.emr.on_cluster import step_main
from capstone_dagster.emr.step_calls import Steps
from capstone_dagster.emr.step_watch import Watch
from capstone_dagster.emr_settings import EmrSettings
from capstone_dagster.run_tags import CLUSTER_TAG
from capstone_dagster.settings import CHECKOUT, Settings
from capstone_dagster.steps.inputs import require_inputs
from spark_code.errors import ExpectedError
from spark_code.locations import StorageError
from spark_code.manifest import Attempt
from spark_code.session import ENGINE_CONF
from spark_code.storage import Storage

_PYTHON_CONF = {"spark.pyspark.python": PYTHON, "spark.pyspark.driver.python": PYTHON}
# Settings that stay on this host: secrets, folders that no cluster has, and settings of the launcher itself.
_OF_THIS_HOST = (
    "CAPSTONE_POSTGRES_URL",
    "CAPSTONE_WAREHOUSE_URL",
    "CAPSTONE_HOME",
    "CAPSTONE_EMR_",
    "CAPSTONE_PRECONDITION",
)

# EMR takes names of up to 256 characters; those of steps also contain the run id, the step and the attempt.
_LONGEST_JOB_ID = 180

# The cluster that the days of a range share.
_CLUSTER_OF_DAYS: ContextVar[RunCluster | None] = ContextVar("cluster_of_days", default=None)


class NoRegionError(ExpectedError):
    """The AWS region of the clusters is not set."""


class EmrStepLauncher(EmrPySparkStepLauncher):
    """Runs each step as a step of the run's cluster. It makes a copy of itself for each attempt at a step."""

    owner: Owner
    attempt: Attempt
    watch: Watch

    def __init__(self, settings: Settings, cluster: RunCluster) -> None:
        assert settings.emr  # noqa: S101 - for the type checker: only that deployment has a launcher
        self.settings, self.wanted, self.cluster = settings, settings.emr, cluster
        self.staging = Storage(self.wanted.staging_uri)
        bucket, _, prefix = self.wanted.staging_uri.removeprefix("s3://").partition("/")
        with warnings.catch_warnings():
            # The warning says that Dagster prefers Pipes; docs/decisions.md says why we use this launcher.
            warnings.simplefilter("ignore")
            super().__init__(
                region_name=cluster.emr.region,
                staging_bucket=bucket,
                staging_prefix=str(PurePosixPath(prefix, "runs")),
                wait_for_logs=False,
                # A failed step must not cancel others.
                action_on_failure="CONTINUE",
                cluster_id="",
                spark_config={**ENGINE_CONF, **_PYTHON_CONF, **self.wanted.spark_conf},
                local_job_package_path=str(CHECKOUT),
                deploy_local_job_package=False,
            )
        self.emr_job_runner = Steps(cluster.emr)  # type: ignore[assignment]  # it has the methods that the parent calls

    def launch_step(self, step_context: StepExecutionContext) -> Iterator[dg.DagsterEvent]:
        """Refuse a step that cannot succeed, and only then require a cluster and submit it."""
        with step_context.resources.retries.judging_failures(step_context.previous_attempt_count):
            yield from self._launch(step_context)

    def _launch(self, step_context: StepExecutionContext) -> Iterator[dg.DagsterEvent]:
        require_inputs(step_context)
        step_context.fetch_external_input_asset_version_info()  # before the step reads its inputs
        for uri in (self.settings.lake_uri, self.wanted.staging_uri):
            Storage(uri).require_bucket()
        run = step_context.dagster_run
        launched = copy.copy(self)
        launched.owner = owner_of(step_context.instance, run)
        launched.attempt = Attempt.begin(run.run_id, step_context.previous_attempt_count + 1)
        launched.spark_config = {**launched.event_log(step_context.step.key), **self.spark_config}
        launched.s3_job_package_path = code_archive.upload(self.staging, code_archive.build())
        launched.cluster_id = self.cluster.require(launched.owner, step_context.log)
        step_context.instance.add_run_tags(run.run_id, {CLUSTER_TAG: launched.cluster_id})
        launched.watch = launched.watch_of(step_context)
        try:
            yield from EmrPySparkStepLauncher.launch_step(launched, step_context)
        except BaseException as error:  # interrupted, overdue, EMR unreachable: the attempt must not go on in any case
            self.cluster.is_hurried = isinstance(error, KeyboardInterrupt | dg.DagsterExecutionInterruptedError)
            late = launched.watch.give_up()
            if launched.watch.relay.is_decided and isinstance(error, dg.Failure | EmrApiError | StorageError):
                yield from late
                return  # the step has its result, only EMR has not ended it
            if isinstance(error, EmrApiError) and (lost := launched.watch.lost_cluster(error)):
                raise lost  # noqa: B904 - it has its own cause
            raise

    def wait_for_completion(  # noqa: D102, PLR0913, PLR0917 - the parent's, which calls it
        self,
        step_context: StepExecutionContext,
        s3: Any,
        run_id: str,
        step_key: str,
        emr_step_id: str,
        check_interval: int = 0,
    ) -> Iterator[dg.DagsterEvent]:
        del step_context, s3, run_id, step_key, check_interval
        yield from self.watch.until_ended(emr_step_id)

    def watch_of(self, step: StepExecutionContext) -> Watch:
        """The object that waits for the step, or gives it up."""
        return Watch(
            step=step,
            settings=self.settings,
            cluster=self.cluster,
            name=f"{NAME} {self.owner.job_id} {self.owner.run_id} {step.step.key} {self.attempt.number}",
            attempt=self.attempt,
            relay=Relay(step, self._exchanged(self.owner.run_id, step.step.key)),
        )

    def _exchanged(self, run_id: str, step_key: str) -> Storage:
        """The folder in which host and cluster exchange files about the attempt; the parent puts its own there too."""
        folder = f"runs/{run_id}/{self._sanitize_step_key(step_key)}/{self.attempt.number}"
        return Storage(self.staging.uri(folder))

    def event_log(self, step_key: str) -> dict[str, str]:
        """Settings for Spark's event log, which otherwise ends with the cluster."""
        folder = self._exchanged(self.owner.run_id, step_key).uri("")
        return {"spark.eventLog.enabled": "true", "spark.eventLog.dir": folder}

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
        self._exchanged(run_id, step_key).write(LAUNCH, Launch(Versions.here(), environment).to_json())

    def _get_emr_step_def(self, run_id: str, step_key: str, solid_name: str) -> dict[str, Any]:
        step: dict[str, Any] = super()._get_emr_step_def(run_id, step_key, solid_name)
        step["HadoopJarStep"]["Args"].append(self.region_name)
        return step | {"Name": self.watch.name}

    def _artifact_s3_key(self, run_id: str, step_key: str, filename: str) -> str:
        key = PurePosixPath(super()._artifact_s3_key(run_id, step_key, filename))
        return str(key.parent / str(self.attempt.number) / key.name)

    def _main_file_local_path(self) -> str:
        return step_main.__file__


def region() -> str:
    """The region that boto3 finds."""
    try:
        found: str | None = boto3.Session().region_name
    except BotoCoreError as error:  # a profile that is not there
        raise NoRegionError(f"AWS_PROFILE: {error}") from None
    if not found:
        raise NoRegionError("AWS_DEFAULT_REGION: the region of the clusters must be set, or be part of AWS_PROFILE")
    return found


def owner_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Owner:
    """The run and its job id in one word: ``reaper`` splits names of clusters and steps into words.

    AWS allows no comma in a tag.
    """
    return Owner(run.run_id, "_".join(_shortened(what_ran(instance, run)).replace(",", " ").split()))


def _shortened(ran: str) -> str:
    """What ran; of a list that is too long for a name, only the first member and the number of the others."""
    first, *others = ran.split(", ")
    if len(ran) <= _LONGEST_JOB_ID or not others:
        return ran
    _, of, job_or_days = others[-1].partition(" of ")
    return f"{first} and {len(others)} more{of}{job_or_days}"


def _run_cluster(wanted: EmrSettings, owner: Owner | None = None) -> RunCluster:
    return RunCluster(Emr(region(), wanted.patience_minutes * 60), wanted, owner=owner)


@contextmanager
def cluster_of_days(wanted: EmrSettings, owner: Owner) -> Iterator[None]:
    """Use one cluster for all runs that this process executes in the block; give it back at the end."""
    cluster = _run_cluster(wanted, owner)
    before = _CLUSTER_OF_DAYS.set(cluster)
    try:
        yield
    finally:
        _CLUSTER_OF_DAYS.reset(before)
        cluster.release(dg.get_dagster_logger())


def step_launcher(settings: Settings) -> dg.ResourceDefinition:
    """The resource: a launcher with the cluster of the run, which is given back when the run ends."""

    @dg.resource(
        config_schema=NOTHING,
        description="Runs Spark steps on the run's EMR cluster, and ends the cluster with the run.",
    )
    def emr(context: dg.InitResourceContext) -> Iterator[EmrStepLauncher]:
        assert settings.emr  # noqa: S101
        shared = _CLUSTER_OF_DAYS.get()
        cluster = shared or _run_cluster(settings.emr)
        try:
            yield EmrStepLauncher(settings, cluster)
        finally:
            if not shared:
                cluster.release(context.log or dg.get_dagster_logger())

    return emr
