"""Where our launcher submits a step in another way than its parent: each test holds what both do.

A test that fails after an upgrade of dagster-aws says that the parent has changed: look whether the deviation
is still needed. How a step is awaited is in ``test_step_watch_contract``, how it runs in ``test_remote_contract``.
"""

# The parent has no types.
# mypy: disallow-untyped-calls=False

import inspect
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest
from botocore.exceptions import ClientError
from dagster._core.execution.context.system import StepExecutionContext
from dagster_aws.emr import EmrJobRunner, emr_pyspark_step_launcher, emr_step_main
from dagster_aws.emr.pyspark_step_launcher import EmrPySparkStepLauncher
from dagster_pyspark.utils import build_pyspark_zip

from capstone_dagster.emr import code_archive
from capstone_dagster.emr.api import Emr, EmrApiError
from capstone_dagster.emr.attempt_folder import Launch, Versions
from capstone_dagster.emr.on_cluster import step_main
from capstone_dagster.settings import Settings, SettingsError
from capstone_dagster_tests.capstone_dagster.emr.launchers import ATTEMPT, LOG, RUN_ID, ours, parents
from capstone_dagster_tests.capstone_dagster.emr.one_step import STEP, Clock, begun_step
from capstone_dagster_tests.servers.emr_platform import EmrPlatform, taken_cluster
from capstone_dagster_tests.servers.s3_server import s3_client
from fake_aws.emr import FakeEmr
from spark_code.storage import Storage

CANARY = "canary-77aa02"
PARENTS_FIELDS = emr_pyspark_step_launcher.config_schema.config_type.fields  # type: ignore[union-attr]


@pytest.fixture(autouse=True)
def _here(emr: FakeEmr, s3_uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    del s3_uri
    monkeypatch.setenv("AWS_ENDPOINT_URL_EMR", emr.endpoint)


@pytest.fixture
def step(platform: EmrPlatform, instance: dg.DagsterInstance) -> Iterator[StepExecutionContext]:
    with begun_step(platform.defs, instance) as step:
        yield step


@pytest.mark.parametrize(
    ("method", "parameters"),
    [
        ("launch_step", "step_context"),
        ("_post_artifacts", "log, step_run_ref, run_id, step_key"),
        ("_get_emr_step_def", "run_id, step_key, solid_name"),
        ("_artifact_s3_key", "run_id, step_key, filename"),
        ("_sanitize_step_key", "step_key"),
        ("_main_file_local_path", ""),
        ("wait_for_completion_and_log", "run_id, step_key, emr_step_id, step_context"),
        ("wait_for_completion", "step_context, s3, run_id, step_key, emr_step_id, check_interval"),
    ],
)
def test_the_parent_has_what_we_build_on(method: str, parameters: str) -> None:
    found = inspect.signature(getattr(EmrPySparkStepLauncher, method)).parameters
    assert ", ".join(list(found)[1:]) == parameters


def test_the_key_of_a_file_names_the_attempt(platform: EmrPlatform) -> None:
    """Else a second attempt reads the events of the first, and fails as that did."""
    parent, own = parents(platform.bucket), ours(platform)
    assert parent._artifact_s3_key(RUN_ID, "a[1]", "x.pkl") == f"staging/runs/{RUN_ID}/a__1__/x.pkl"
    assert own._artifact_s3_key(RUN_ID, "a[1]", "x.pkl") == f"staging/runs/{RUN_ID}/a__1__/{ATTEMPT}/x.pkl"


def test_a_failed_step_cancels_no_other_one_and_has_a_name_of_its_own(
    platform: EmrPlatform, step: StepExecutionContext
) -> None:
    launchers = (parents(platform.bucket), ours(platform, step))
    parent, own = (each._get_emr_step_def(RUN_ID, STEP, "an_op") for each in launchers)
    assert PARENTS_FIELDS["action_on_failure"].default_value == "CANCEL_AND_WAIT"
    assert own["ActionOnFailure"] == "CONTINUE"
    assert parent["Name"] == "Execute Solid/Op an_op"
    assert own["Name"] == f"capstone preprocessing_2020-08-05 {RUN_ID} {STEP} {ATTEMPT}"


def test_our_program_runs_on_the_cluster_with_our_python(platform: EmrPlatform, step: StepExecutionContext) -> None:
    parent, own = parents(platform.bucket), ours(platform, step)
    assert parent._main_file_local_path() == emr_step_main.__file__
    assert own._main_file_local_path() == step_main.__file__
    arguments = own._get_emr_step_def(RUN_ID, STEP, "an_op")["HadoopJarStep"]["Args"]
    assert arguments[:5] == ["/usr/lib/spark/bin/spark-submit", "--master", "yarn", "--deploy-mode", "client"]
    assert "spark.pyspark.python=/opt/capstone/venv/bin/python" in arguments
    assert "spark.pyspark.driver.python=/opt/capstone/venv/bin/python" in arguments
    folder = f"staging/runs/{RUN_ID}/{STEP}/{ATTEMPT}"
    assert arguments[-4:] == [
        f"{platform.bucket}/{folder}/step_main.py",
        platform.bucket.removeprefix("s3://"),
        f"{folder}/step_run_ref.pkl",
        "us-east-1",
    ]


def test_a_step_whose_answer_was_lost_is_not_submitted_again(platform: EmrPlatform, step: StepExecutionContext) -> None:
    for launcher, number in ((parents(platform.bucket), 2), (ours(platform, step), 1)):
        cluster_id = taken_cluster(platform.emr)
        platform.emr.tell.lose_answers("AddJobFlowSteps")

        wanted = launcher._get_emr_step_def(RUN_ID, STEP, "an_op")
        launcher.emr_job_runner.add_job_flow_steps(LOG, cluster_id, [wanted])

        assert len(platform.emr.cluster(cluster_id).steps) == number, launcher


def test_a_broken_server_is_outlasted(emr: FakeEmr, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parent leaves that to boto3, which gives up after five tries: here after one, as that takes long."""
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    cluster_id, clock = taken_cluster(emr), Clock()

    emr.tell.break_calls("DescribeCluster")
    with pytest.raises(ClientError, match="InternalServerError"):
        EmrJobRunner("us-east-1").describe_cluster(cluster_id)
    emr.tell.break_calls("DescribeCluster", calls=9)
    answer = Emr("us-east-1", 600, pause=clock.pause, clock=clock).ask("describe_cluster", ClusterId=cluster_id)

    assert answer["Cluster"]["Id"] == cluster_id
    assert len(clock.pauses) == 9


def test_waiting_for_a_service_that_throttles_is_bounded(emr: FakeEmr, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    slept: list[float] = []
    monkeypatch.setattr("dagster_aws.utils.mrjob.retry.time", SimpleNamespace(sleep=slept.append))
    clock = Clock()
    emr.tell.throttle()

    with pytest.raises(ClientError):
        EmrJobRunner("us-east-1").describe_cluster("j-1")
    with pytest.raises(EmrApiError):
        Emr("us-east-1", 600, pause=clock.pause, clock=clock).ask("describe_cluster", ClusterId="j-1")

    assert (len(slept), sum(slept) > 3 * 3600, max(slept)) == (19, True, 1200)
    assert clock.now < 11 * 60


@pytest.fixture
def checkout() -> Iterator[Path]:
    """Code beside a secret; not in pytest's folder, whose name the parent takes for tests."""
    with tempfile.TemporaryDirectory(prefix="checkout-") as folder:
        for name in ("spark_code/lake.py", "pytest/spark_code/lake.py"):
            Path(folder, name).parent.mkdir(parents=True)
            Path(folder, name).write_text("# code\n")
        Path(folder, ".env").write_text(f"PASSWORD={CANARY}\n")
        yield Path(folder)


def test_only_code_is_packed_wherever_it_lies(checkout: Path) -> None:
    def parents_names(root: Path) -> list[str]:
        build_pyspark_zip(str(checkout / "zip"), str(root))
        return zipfile.ZipFile(checkout / "zip").namelist()

    def own_names(root: Path) -> list[str]:
        (checkout / "zip").write_bytes(code_archive.build(root))
        return zipfile.ZipFile(checkout / "zip").namelist()

    assert own_names(checkout) == own_names(checkout / "pytest") == ["spark_code/lake.py"]
    assert {".env", "spark_code/lake.py"} <= set(parents_names(checkout))
    assert parents_names(checkout / "pytest") == []


def everything_staged(bucket: str) -> bytes:
    name = bucket.removeprefix("s3://")
    keys = [listed["Key"] for listed in s3_client().list_objects_v2(Bucket=name, Prefix="staging/")["Contents"]]
    assert any(key.endswith("/launch.json") for key in keys)
    return b"".join(s3_client().get_object(Bucket=name, Key=key)["Body"].read() for key in keys)


@pytest.mark.faults("F14", sample=True)
def test_no_secret_goes_to_emr_or_to_the_bucket(
    platform: EmrPlatform, step: StepExecutionContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    conf = {"spark.hadoop.fs.s3a.secret.key": CANARY}
    parents_step = parents(platform.bucket, spark_config=conf)._get_emr_step_def(RUN_ID, STEP, "an_op")
    assert f"spark.hadoop.fs.s3a.secret.key={CANARY}" in parents_step["HadoopJarStep"]["Args"]

    refused = replace(platform, settings_of_emr={"CAPSTONE_EMR_SPARK_CONF": f"spark.hadoop.fs.s3a.secret.key={CANARY}"})
    with pytest.raises(SettingsError, match=r"spark\.hadoop\.fs\.s3a\.secret\.key would show a secret") as error:
        _ = refused.settings
    assert CANARY not in str(error.value)

    monkeypatch.setenv("SLACK_TOKEN", CANARY)  # the environment of the host stays there
    own = ours(replace(platform, postgres_url=f"postgresql://user:{CANARY}@host/capstone"), step)
    own._post_artifacts(LOG, None, RUN_ID, STEP)
    assert CANARY not in str(own._get_emr_step_def(RUN_ID, STEP, "an_op"))
    assert CANARY.encode() not in everything_staged(platform.bucket)


def test_the_settings_of_the_host_hold_on_the_cluster_but_for_what_is_its_own(platform: EmrPlatform) -> None:
    """The parent leaves the environment of the cluster to whoever made it."""
    own = {
        "CAPSTONE_PRECONDITIONS": '{"NYSE": [{"command": ["true"]}]}',
        "CAPSTONE_PRECONDITION_COMMANDS": "true",
        "CAPSTONE_WAREHOUSE_URL": "postgresql://host/market",
    }
    host = replace(platform, postgres_url="postgresql://host/capstone", settings_of_emr=own)
    ours(host)._post_artifacts(LOG, None, RUN_ID, STEP)

    written = Storage(f"{platform.bucket}/staging/runs/{RUN_ID}/{STEP}/{ATTEMPT}").read("launch.json")
    launch = Launch.from_json(written or b"")
    assert launch.versions == Versions.here()
    assert launch.environment["AWS_DEFAULT_REGION"] == "us-east-1"
    of_the_host = ("CAPSTONE_EMR", "CAPSTONE_POSTGRES", "CAPSTONE_PRECONDITION", "CAPSTONE_WAREHOUSE_URL")
    assert [name for name in launch.environment if name.startswith(of_the_host)] == []
    there = Settings.from_mapping(launch.environment)
    assert (there.deployment, there.emr, there.postgres_url) == ("cluster", None, None)
    assert (there.lake_uri, there.raw_uri) == (f"{platform.bucket}/lake", f"{platform.bucket}/raw")


def test_the_cluster_is_found_when_a_step_is_launched(platform: EmrPlatform) -> None:
    assert PARENTS_FIELDS["cluster_id"].is_required
    assert parents(platform.bucket, "j-FIXED").cluster_id == "j-FIXED"
    assert ours(platform).cluster_id == ""
    assert platform.emr.clusters == []

    platform.emr.tell.end_next_step("COMPLETED")
    platform.run_here()

    (cluster,) = platform.emr.clusters
    assert [call.params["JobFlowId"] for call in platform.emr.calls("AddJobFlowSteps")] == [cluster.id]
