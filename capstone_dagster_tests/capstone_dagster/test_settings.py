"""Every CAPSTONE_* variable: its default, what it takes, and the one line that refuses the rest."""

import os
import re
from datetime import date, time
from pathlib import Path
from typing import Any

import pytest

from capstone_dagster.setting_values import Fleet
from capstone_dagster.settings import CHECKOUT, EmrSettings, Settings, SettingsError

DEFAULTS = Settings(
    deployment="local",
    home=CHECKOUT / ".capstone",
    raw_uri=str(CHECKOUT / ".capstone" / "raw"),
    lake_uri=str(CHECKOUT / ".capstone" / "lake"),
    postgres_url=None,
    first_trading_day=date(2020, 8, 5),
    driver_memory="4g",
    max_reject_ratio=0.05,
    max_retries=3,
    glue_database=None,
    watch_days=250,
    quiet_seconds=60.0,
    sensor_seconds=30.0,
    schedule_time=time(19),
    late_time=time(20),
    backfill_days=None,
    ui_url="http://127.0.0.1:3000",
    alert_urls=(),
    emr=None,
)
ON_S3 = {"CAPSTONE_RAW_URI": "s3://exchange/drop", "CAPSTONE_LAKE_URI": "s3://firm/lake"}
ON_EMR = {**ON_S3, "CAPSTONE_DEPLOYMENT": "emr", "CAPSTONE_EMR_STAGING_URI": "s3://firm-staging"}
DATABASE = "postgresql://user:secret@host:5432/database"


def refusal(variable: str, value: str, **others: str) -> str:
    with pytest.raises(SettingsError) as refused:
        Settings.from_mapping({**others, variable: value})
    return str(refused.value)


def test_without_any_variable_all_data_lies_below_the_checkout() -> None:
    assert Settings.from_mapping({}) == DEFAULTS
    assert DEFAULTS.log_dir == CHECKOUT / ".capstone" / "logs"


@pytest.mark.parametrize("empty", ["", " ", "\t"])
def test_an_empty_variable_counts_as_none(empty: str) -> None:
    assert Settings.from_mapping(dict.fromkeys(Settings.variables(), empty)) == DEFAULTS


def test_all_variables_together(tmp_path: Path) -> None:
    environment = {
        "CAPSTONE_DEPLOYMENT": "emr",
        "CAPSTONE_HOME": f"{tmp_path}/home",
        "CAPSTONE_RAW_URI": "s3://exchange/drop/",
        "CAPSTONE_LAKE_URI": "s3://firm/lake",
        "CAPSTONE_POSTGRES_URL": DATABASE,
        "CAPSTONE_FIRST_TRADING_DAY": "2024-02-29",
        "CAPSTONE_DRIVER_MEMORY": "1500m",
        "CAPSTONE_MAX_REJECT_RATIO": "0.5",
        "CAPSTONE_MAX_RETRIES": "10",
        "CAPSTONE_GLUE_DATABASE": "market_data",
        "CAPSTONE_EMR_CREATE_CLUSTER": "false",
        "CAPSTONE_EMR_CLUSTER_ID": "j-2AXXXXXXGAPLF",
        "CAPSTONE_EMR_TERMINATE_CLUSTER": "true",
        "CAPSTONE_EMR_RELEASE": "emr-spark-8.1.0",
        "CAPSTONE_EMR_MASTER_FLEET": "1xm7g.xlarge",
        "CAPSTONE_EMR_CORE_FLEET": "4xm7g.2xlarge,r7g.2xlarge",
        "CAPSTONE_EMR_TASK_FLEET": "20xc7g.4xlarge,m7g.4xlarge",
        "CAPSTONE_EMR_SUBNETS": "subnet-0a1, subnet-0b2",
        "CAPSTONE_EMR_SERVICE_ROLE": "capstone-emr",
        "CAPSTONE_EMR_INSTANCE_PROFILE": "capstone-emr-instances",
        "CAPSTONE_EMR_SECURITY_CONFIGURATION": "capstone-encrypted",
        "CAPSTONE_EMR_BOOTSTRAP_URI": "s3://firm/bootstrap.sh",
        "CAPSTONE_EMR_STAGING_URI": "s3://firm-staging/capstone/",
        "CAPSTONE_EMR_LOG_URI": "s3://firm-logs",
        "CAPSTONE_EMR_IDLE_MINUTES": "15",
        "CAPSTONE_EMR_POLL_SECONDS": "2.5",
        "CAPSTONE_EMR_START_MINUTES": "20",
        "CAPSTONE_EMR_STEP_MINUTES": "90",
        "CAPSTONE_EMR_PATIENCE_MINUTES": "5",
        "CAPSTONE_EMR_LOG_SECONDS": "60",
        "CAPSTONE_EMR_SPARK_CONF": "spark.executor.memory=8g; spark.sql.shuffle.partitions=400",
    }

    assert sorted(environment) == sorted(Settings.variables())
    settings = Settings.from_mapping(environment)
    assert settings == Settings(
        deployment="emr",
        home=tmp_path / "home",
        raw_uri="s3://exchange/drop",
        lake_uri="s3://firm/lake",
        postgres_url=DATABASE,
        first_trading_day=date(2024, 2, 29),
        driver_memory="1500m",
        max_reject_ratio=0.5,
        max_retries=10,
        glue_database="market_data",
        emr=EmrSettings(
            create_cluster=False,
            cluster_id="j-2AXXXXXXGAPLF",
            terminate_cluster=True,
            release="emr-spark-8.1.0",
            master_fleet=Fleet(1, ("m7g.xlarge",)),
            core_fleet=Fleet(4, ("m7g.2xlarge", "r7g.2xlarge")),
            task_fleet=Fleet(20, ("c7g.4xlarge", "m7g.4xlarge")),
            subnets=("subnet-0a1", "subnet-0b2"),
            service_role="capstone-emr",
            instance_profile="capstone-emr-instances",
            security_configuration="capstone-encrypted",
            bootstrap_uri="s3://firm/bootstrap.sh",
            staging_uri="s3://firm-staging/capstone",
            log_uri="s3://firm-logs",
            idle_minutes=15,
            poll_seconds=2.5,
            start_minutes=20,
            step_minutes=90,
            patience_minutes=5,
            log_seconds=60,
            spark_conf={"spark.executor.memory": "8g", "spark.sql.shuffle.partitions": "400"},
        ),
    )
    assert Settings.from_mapping(settings.as_environment()) == settings


def test_a_run_on_emr_creates_its_cluster_and_ends_it_unless_one_is_named() -> None:
    created, taken = (
        Settings.from_mapping({**ON_EMR, "CAPSTONE_EMR_CLUSTER_ID": cluster_id}).emr for cluster_id in ("", "j-1ABC")
    )

    assert created
    assert taken
    assert (created.create_cluster, created.cluster_id, created.terminate_cluster) == (True, None, True)
    assert (taken.create_cluster, taken.cluster_id, taken.terminate_cluster) == (False, "j-1ABC", False)
    assert created.log_uri == "s3://firm-staging/logs"


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
    ],
)
def test_settings_of_emr_that_contradict_are_refused(given: dict[str, str], refused: str) -> None:
    with pytest.raises(SettingsError) as error:
        Settings.from_mapping(ON_EMR | given)

    assert str(error.value) == refused


def test_a_catalog_of_tables_that_are_not_on_s3_is_refused() -> None:
    assert refusal("CAPSTONE_GLUE_DATABASE", "market_data") == (
        "CAPSTONE_GLUE_DATABASE: the catalog is for a lake on S3; set CAPSTONE_LAKE_URI to one"
    )


def test_raw_files_and_lake_follow_the_home(tmp_path: Path) -> None:
    settings = Settings.from_mapping({"CAPSTONE_HOME": str(tmp_path)})

    assert (settings.raw_uri, settings.lake_uri, settings.log_dir) == (
        str(tmp_path / "raw"),
        str(tmp_path / "lake"),
        tmp_path / "logs",
    )


@pytest.mark.parametrize(
    ("variable", "value", "field", "expected"),
    [
        ("CAPSTONE_HOME", "~/data", "home", Path.home() / "data"),
        ("CAPSTONE_HOME", "a/../b c", "home", Path.cwd() / "b c"),
        ("CAPSTONE_RAW_URI", "raw files", "raw_uri", str(Path.cwd() / "raw files")),
        ("CAPSTONE_LAKE_URI", "s3://bucket", "lake_uri", "s3://bucket"),
        ("CAPSTONE_POSTGRES_URL", "postgresql:///db?host=/tmp", "postgres_url", "postgresql:///db?host=/tmp"),
        ("CAPSTONE_POSTGRES_URL", f"  {DATABASE} ", "postgres_url", DATABASE),
        ("CAPSTONE_FIRST_TRADING_DAY", "2004-01-01", "first_trading_day", date(2004, 1, 1)),
        ("CAPSTONE_DRIVER_MEMORY", "12g", "driver_memory", "12g"),
        ("CAPSTONE_MAX_REJECT_RATIO", "0", "max_reject_ratio", 0.0),
        ("CAPSTONE_MAX_REJECT_RATIO", "1", "max_reject_ratio", 1.0),
    ],
)
def test_a_valid_value_is_taken(variable: str, value: str, field: str, expected: Any) -> None:
    assert getattr(Settings.from_mapping({variable: value}), field) == expected


@pytest.mark.parametrize(
    ("variable", "value", "what_it_takes"),
    [
        ("CAPSTONE_DEPLOYMENT", "Local", "must be local or emr"),
        ("CAPSTONE_DEPLOYMENT", "production", "must be local or emr"),
        ("CAPSTONE_HOME", __file__, f"{__file__} is a file, not a folder"),
        ("CAPSTONE_RAW_URI", "s3://", "'s3://' names no bucket; write s3://bucket/prefix"),
        ("CAPSTONE_LAKE_URI", "gs://bucket/a", "'gs://bucket/a' is neither a local path, file:// nor s3://"),
        ("CAPSTONE_FIRST_TRADING_DAY", "20200805", "must be a date like 2020-08-05"),
        ("CAPSTONE_FIRST_TRADING_DAY", "2020-8-5", "must be a date like 2020-08-05"),
        ("CAPSTONE_FIRST_TRADING_DAY", "yesterday", "must be a date like 2020-08-05"),
        ("CAPSTONE_FIRST_TRADING_DAY", "2020-02-30", "day is out of range for month"),
        ("CAPSTONE_FIRST_TRADING_DAY", "2003-12-31", "must be from 2004-01-01 to 2039-12-31"),
        ("CAPSTONE_DRIVER_MEMORY", "4", "must be a size for Spark like 4g or 1500m"),
        ("CAPSTONE_DRIVER_MEMORY", "0g", "must be a size for Spark like 4g or 1500m"),
        ("CAPSTONE_DRIVER_MEMORY", "4 g", "must be a size for Spark like 4g or 1500m"),
        ("CAPSTONE_DRIVER_MEMORY", "4g --conf x=y", "must be a size for Spark like 4g or 1500m"),
        ("CAPSTONE_MAX_REJECT_RATIO", "5", "must be a share between 0 and 1"),
        ("CAPSTONE_MAX_REJECT_RATIO", "-0.1", "must be a share between 0 and 1"),
        ("CAPSTONE_MAX_REJECT_RATIO", "nan", "must be a share between 0 and 1"),
        ("CAPSTONE_MAX_REJECT_RATIO", "inf", "must be a share between 0 and 1"),
        ("CAPSTONE_MAX_REJECT_RATIO", "5%", "must be a share between 0 and 1"),
        ("CAPSTONE_MAX_RETRIES", "11", "must be a number from 0 to 10"),
        ("CAPSTONE_MAX_RETRIES", "-1", "must be a number from 0 to 10"),
        ("CAPSTONE_GLUE_DATABASE", "Market-Data", "must be a name of lower-case letters, digits and _"),
        ("CAPSTONE_EMR_CLUSTER_ID", "capstone", "must be the id of a cluster like j-2AXXXXXXGAPLF"),
        ("CAPSTONE_EMR_CREATE_CLUSTER", "yes", "must be true or false"),
        ("CAPSTONE_EMR_CORE_FLEET", "m5.xlarge", "must be machines and their types like 2xm6i.xlarge,m5.xlarge"),
        ("CAPSTONE_EMR_CORE_FLEET", "2xlarge", "must be machines and their types like 2xm6i.xlarge,m5.xlarge"),
        ("CAPSTONE_EMR_CORE_FLEET", "0xm5.xlarge", "must be at least one machine"),
        ("CAPSTONE_EMR_TASK_FLEET", f"1x{','.join(['m5.xlarge'] * 31)}", "must be at most 30 types"),
        ("CAPSTONE_EMR_IDLE_MINUTES", "10081", "must be at most 10080, a week"),
        ("CAPSTONE_EMR_SERVICE_ROLE", "two words", "must be one name without blanks"),
        ("CAPSTONE_EMR_SUBNETS", "subnet-0a1,", "must be one name without blanks"),
        ("CAPSTONE_EMR_STAGING_URI", "/data/staging", "must be a place on S3 like s3://bucket/prefix"),
        ("CAPSTONE_EMR_LOG_URI", "s3://", "'s3://' names no bucket; write s3://bucket/prefix"),
        ("CAPSTONE_EMR_POLL_SECONDS", "0", "must be a number above 0"),
        ("CAPSTONE_EMR_POLL_SECONDS", "nan", "must be a number above 0"),
        ("CAPSTONE_EMR_STEP_MINUTES", "-5", "must be a number above 0"),
    ],
)
def test_a_wrong_value_is_refused_by_name_with_what_the_variable_takes(
    variable: str, value: str, what_it_takes: str
) -> None:
    others = ON_EMR if "EMR" in variable else {}
    assert refusal(variable, value, **others) == f"{variable}: {value!r} cannot be used: {what_it_takes}"


@pytest.mark.parametrize("value", ["2040-12-31", "2041-01-02", "9999-12-31"])
def test_a_first_trading_day_that_leaves_no_trading_day_is_refused(value: str) -> None:
    assert refusal("CAPSTONE_FIRST_TRADING_DAY", value).startswith(f"CAPSTONE_FIRST_TRADING_DAY: {value!r} cannot be")


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("mysql://user:secret@host/database", id="another kind of server"),
        pytest.param("user:secret@host/database", id="no scheme"),
        pytest.param("postgresql://user:secret@host", id="no database"),
        pytest.param("postgresql://user:secret@host:5432/", id="no database behind the slash"),
        pytest.param("postgresql://user:secret@[host/database", id="half an IPv6 address"),
        pytest.param("postgresql://user:secret@host:port/database", id="a port that is no number"),
        pytest.param("postgresql://user:secret\N{FULLWIDTH COMMERCIAL AT}host/database", id="an @ of another keyboard"),
    ],
)
def test_a_wrong_database_url_is_refused_without_showing_the_password(value: str) -> None:
    message = refusal("CAPSTONE_POSTGRES_URL", value)

    assert message.startswith("CAPSTONE_POSTGRES_URL: the given value cannot be used: ")
    assert "secret" not in message


def test_the_environment_wins_over_the_file_of_the_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("CAPSTONE_DRIVER_MEMORY=2g\nCAPSTONE_MAX_REJECT_RATIO=0.25\n")
    monkeypatch.setattr("capstone_dagster.settings.CHECKOUT", tmp_path)
    for variable in Settings.variables():
        # Set before it is deleted, so that what the file adds goes away after the test.
        monkeypatch.setenv(variable, "")
        monkeypatch.delenv(variable)
    monkeypatch.setenv("CAPSTONE_DRIVER_MEMORY", "3g")

    settings = Settings.from_environment()

    assert (settings.driver_memory, settings.max_reject_ratio) == ("3g", 0.25)


def test_the_example_file_lists_exactly_the_variables() -> None:
    example = (CHECKOUT / ".env.example").read_text()

    listed = re.findall(r"^#?(CAPSTONE_\w+)=", example, re.MULTILINE)

    assert sorted(listed) == sorted(Settings.variables())


def test_the_example_file_changes_nothing_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text((CHECKOUT / ".env.example").read_text())
    monkeypatch.setattr("capstone_dagster.settings.CHECKOUT", tmp_path)
    for variable in Settings.variables():
        monkeypatch.setenv(variable, "")
        monkeypatch.delenv(variable)

    assert Settings.from_environment() == DEFAULTS


def test_paths_of_the_env_file_start_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("CAPSTONE_LAKE_URI=my lake\nCAPSTONE_RAW_URI=s3://bucket/raw\n")
    for name in Settings.variables():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("capstone_dagster.settings.CHECKOUT", tmp_path)
    monkeypatch.setattr("os.environ", dict(os.environ))
    monkeypatch.chdir("/")
    settings = Settings.from_environment()
    assert (settings.lake_uri, settings.raw_uri) == (str(tmp_path / "my lake"), "s3://bucket/raw")
