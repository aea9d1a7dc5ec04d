"""What the variables of EMR mean together; what each of them takes is in ``test_setting_values``."""

import pytest
import yaml

from capstone_dagster.assets.jobs import JOB_NAMES, all_jobs, longest_day
from capstone_dagster.settings import CHECKOUT, Settings, SettingsError
from spark_code.flow import STEPS

ON_EMR = {
    "CAPSTONE_DEPLOYMENT": "emr",
    "CAPSTONE_RAW_URI": "s3://exchange/drop",
    "CAPSTONE_LAKE_URI": "s3://firm/lake",
    "CAPSTONE_EMR_STAGING_URI": "s3://firm-staging",
}


def test_a_run_on_emr_creates_its_cluster_and_ends_it_unless_one_is_named() -> None:
    created, taken = (
        Settings.from_mapping({**ON_EMR, "CAPSTONE_EMR_CLUSTER_ID": cluster_id}).emr for cluster_id in ("", "j-1ABC")
    )

    assert created
    assert taken
    assert (created.create_cluster, created.cluster_id, created.terminate_cluster) == (True, None, True)
    assert (taken.create_cluster, taken.cluster_id, taken.terminate_cluster) == (False, "j-1ABC", False)
    assert created.log_uri == "s3://firm-staging/logs"


def test_the_limit_of_a_run_follows_from_that_of_its_steps() -> None:
    on_emr = Settings.from_mapping({**ON_EMR, "CAPSTONE_EMR_START_MINUTES": "20", "CAPSTONE_EMR_STEP_MINUTES": "600"})

    tags = {job.name: job.tags for job in all_jobs(on_emr)}

    seconds = str(60 * (20 + 600 * len(STEPS)))
    assert {name: of_job["dagster/max_runtime"] for name, of_job in tags.items()} == dict.fromkeys(JOB_NAMES, seconds)
    assert longest_day(on_emr) == int(seconds)


def test_on_this_machine_the_limit_of_a_run_is_that_of_the_instance() -> None:
    configured = yaml.safe_load((CHECKOUT / "deploy" / "dagster.yaml").read_text())["run_monitoring"]

    assert longest_day(Settings.from_mapping({})) == configured["max_runtime_seconds"]
    assert {"dagster/max_runtime" in job.tags for job in all_jobs(Settings.from_mapping({}))} == {False}


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        pytest.param(
            {"CAPSTONE_EMR_CREATE_CLUSTER": "true", "CAPSTONE_EMR_CLUSTER_ID": "j-1ABC"},
            "CAPSTONE_EMR_CLUSTER_ID and CAPSTONE_EMR_CREATE_CLUSTER=true: set one of them, not both",
            id="both to create and to take",
        ),
        pytest.param(
            {"CAPSTONE_EMR_CREATE_CLUSTER": "false"},
            "CAPSTONE_EMR_CLUSTER_ID and CAPSTONE_EMR_CREATE_CLUSTER=false: name in it the cluster to take",
            id="neither to create nor to take",
        ),
        pytest.param(
            {"CAPSTONE_EMR_MAX_MACHINES": "10"},
            "CAPSTONE_EMR_MAX_MACHINES: 10 cannot be used: EMR adds machines to TASK, so set CAPSTONE_EMR_TASK_FLEET "
            "to at least one, and this to more than the 2 with which CORE and TASK begin",
            id="no fleet that grows",
        ),
        pytest.param(
            {"CAPSTONE_EMR_MAX_MACHINES": "3", "CAPSTONE_EMR_TASK_FLEET": "1xm5.xlarge"},
            "CAPSTONE_EMR_MAX_MACHINES: 3 cannot be used: EMR adds machines to TASK, so set CAPSTONE_EMR_TASK_FLEET "
            "to at least one, and this to more than the 3 with which CORE and TASK begin",
            id="as many machines as it begins with",
        ),
        pytest.param(
            {"CAPSTONE_EMR_STAGING_URI": ""},
            "CAPSTONE_EMR_STAGING_URI must be set: where this host and the cluster exchange files, like s3://bucket/staging",
            id="no staging",
        ),
        pytest.param(
            {"CAPSTONE_LAKE_URI": "/data/lake"},
            "CAPSTONE_LAKE_URI: a cluster reads and writes s3://bucket/prefix, not /data/lake",
            id="a lake on this machine",
        ),
        pytest.param(
            {"CAPSTONE_EMR_SPARK_CONF": "spark.hadoop.fs.s3a.secret.key=canary"},
            "CAPSTONE_EMR_SPARK_CONF: the given value cannot be used: spark.hadoop.fs.s3a.secret.key would show a "
            "secret in the console of EMR; give the cluster a role instead",
            id="a secret for Spark",
        ),
        pytest.param(
            {"CAPSTONE_EMR_SPARK_CONF": "spark.submit.deployMode=cluster"},
            "CAPSTONE_EMR_SPARK_CONF: the given value cannot be used: spark.submit.deployMode is always client: only "
            "then is the step's log the driver's",
            id="a driver that is not on the primary node",
        ),
    ],
)
def test_settings_of_emr_that_contradict_are_refused(given: dict[str, str], refused: str) -> None:
    with pytest.raises(SettingsError) as error:
        Settings.from_mapping(ON_EMR | given)

    assert str(error.value) == refused
