"""The CAPSTONE_* variables together: defaults, what follows from what, and where they are found.

What each of them takes and refuses is in ``test_setting_values``.
"""

import os
import re
from datetime import date, time
from pathlib import Path

import pytest
from pydantic import ValidationError

from capstone_dagster.deliveries.precondition_kinds import Command, KeyExists, MinimumBytes, PrefixExists
from capstone_dagster.deliveries.preconditions import Preconditions
from capstone_dagster.emr_settings import EmrSettings
from capstone_dagster.setting_values import Fleet
from capstone_dagster.settings import CHECKOUT, Settings, SettingsError, given_variables, unknown_variables

DEFAULTS = Settings(
    deployment="local",
    home=CHECKOUT / ".capstone",
    raw_uri=str(CHECKOUT / ".capstone" / "raw"),
    lake_uri=str(CHECKOUT / ".capstone" / "lake"),
    postgres_url=None,
    warehouse=True,
    warehouse_url=None,
    warehouse_quotes=False,
    first_trading_day=date(2020, 8, 5),
    driver_memory="4g",
    max_reject_ratio=0.05,
    max_retries=3,
    glue_database=None,
    automation=True,
    watch_days=250,
    quiet_seconds=60.0,
    sensor_seconds=30.0,
    schedule_time=time(19),
    late_time=time(20),
    backfill_days=None,
    ui_url="http://127.0.0.1:3000",
    ui_users=None,
    ui_session_hours=12.0,
    ui_proxy=(),
    ui_proxy_headers=("X-Forwarded-User", "X-Forwarded-Groups"),
    alert_urls=(),
    preconditions=Preconditions(),
    precondition_commands=False,
    emr=None,
)
DATABASE = "postgresql://user:secret@host:5432/database"
ALERTS = "json://127.0.0.1:8080/hook  mailto://user:canary@firm.example"


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
        "CAPSTONE_WAREHOUSE": "false",
        "CAPSTONE_WAREHOUSE_URL": "postgres://user:secret@other:5432/market",
        "CAPSTONE_WAREHOUSE_QUOTES": "true",
        "CAPSTONE_FIRST_TRADING_DAY": "2024-02-29",
        "CAPSTONE_DRIVER_MEMORY": "1500m",
        "CAPSTONE_MAX_REJECT_RATIO": "0.5",
        "CAPSTONE_MAX_RETRIES": "10",
        "CAPSTONE_KEEP_VERSIONS": "5",
        "CAPSTONE_LEASE_MINUTES": "45",
        "CAPSTONE_GLUE_DATABASE": "market_data",
        "CAPSTONE_AUTOMATION": "false",
        "CAPSTONE_WATCH_DAYS": "20",
        "CAPSTONE_QUALITY_LIMITS": "crossed_ratio=0.02:error volume=off",
        "CAPSTONE_QUIET_SECONDS": "0",
        "CAPSTONE_SENSOR_SECONDS": "0.5",
        "CAPSTONE_SCHEDULE_TIME": "18:30",
        "CAPSTONE_LATE_TIME": "23:59",
        "CAPSTONE_BACKFILL_DAYS": "30",
        "CAPSTONE_UI_URL": "https://dagster.firm.example/capstone/",
        "CAPSTONE_PAGES_URL": "https://firm.example/lake/",
        "CAPSTONE_UI_HOSTS": "dagster.internal",
        "CAPSTONE_UI_USERS": f"{tmp_path}/users.json",
        "CAPSTONE_UI_SESSION_HOURS": "8",
        "CAPSTONE_UI_PROXY": "10.0.0.5, 10.0.1.0/24",
        "CAPSTONE_UI_PROXY_HEADERS": "X-Auth-Request-Email, X-Auth-Request-Groups",
        "CAPSTONE_OWNERS": "team:market-data, desk@firm.example",
        "CAPSTONE_CODE_URL": "https://git.firm.example/market-data/blob/v1/",
        "CAPSTONE_ALERT_URLS": ALERTS,
        "CAPSTONE_ALERT_TOPIC": "arn:aws:sns:us-east-1:123456789012:market-alarms",
        "CAPSTONE_PRECONDITIONS": (
            '{"NYSE": [{"key_exists": "s3://vendor/{day}/NYSE.done"}, {"minimum_bytes": 1000000}],'
            ' "NASDAQ": [{"prefix_exists": "/vendor/{day}"}, {"command": ["/opt/a check", "{day}"]}]}'
        ),
        "CAPSTONE_PRECONDITION_COMMANDS": "true",
        "CAPSTONE_EMR_CREATE_CLUSTER": "false",
        "CAPSTONE_EMR_CLUSTER_ID": "j-2AXXXXXXGAPLF",
        "CAPSTONE_EMR_TERMINATE_CLUSTER": "true",
        "CAPSTONE_EMR_PROTECT": "false",
        "CAPSTONE_EMR_MAX_MACHINES": "40",
        "CAPSTONE_EMR_DISK_GIB": "200",
        "CAPSTONE_EMR_RELEASE": "emr-spark-8.0.0",
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
        warehouse=False,
        keep_versions=5,
        warehouse_url="postgresql://user:secret@other:5432/market",
        warehouse_quotes=True,
        first_trading_day=date(2024, 2, 29),
        driver_memory="1500m",
        max_reject_ratio=0.5,
        max_retries=10,
        lease_minutes=45.0,
        glue_database="market_data",
        automation=False,
        watch_days=20,
        quality_limits="crossed_ratio=0.02:error volume=off",
        quiet_seconds=0,
        sensor_seconds=0.5,
        schedule_time=time(18, 30),
        late_time=time(23, 59),
        backfill_days=30,
        ui_url="https://dagster.firm.example/capstone",
        pages_url="https://firm.example/lake",
        ui_hosts=("dagster.internal",),
        ui_users=tmp_path / "users.json",
        ui_session_hours=8,
        ui_proxy=("10.0.0.5/32", "10.0.1.0/24"),
        ui_proxy_headers=("X-Auth-Request-Email", "X-Auth-Request-Groups"),
        owners=("team:market-data", "desk@firm.example"),
        code_url="https://git.firm.example/market-data/blob/v1",
        alert_urls=("json://127.0.0.1:8080/hook", "mailto://user:canary@firm.example"),
        alert_topic="arn:aws:sns:us-east-1:123456789012:market-alarms",
        preconditions=Preconditions(
            (
                ("NYSE", (KeyExists("s3://vendor/{day}/NYSE.done"), MinimumBytes(1_000_000))),
                ("NASDAQ", (PrefixExists("/vendor/{day}"), Command(("/opt/a check", "{day}")))),
            )
        ),
        precondition_commands=True,
        emr=EmrSettings(
            create_cluster=False,
            cluster_id="j-2AXXXXXXGAPLF",
            terminate_cluster=True,
            protect=False,
            release="emr-spark-8.0.0",
            master_fleet=Fleet(1, ("m7g.xlarge",)),
            core_fleet=Fleet(4, ("m7g.2xlarge", "r7g.2xlarge")),
            task_fleet=Fleet(20, ("c7g.4xlarge", "m7g.4xlarge")),
            max_machines=40,
            disk_gib=200,
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
    # What has passwords in it is for this process alone.
    assert Settings.from_mapping(settings.as_environment()) == settings.model_copy(update={"alert_urls": ()})
    assert "canary" not in f"{settings!r} {settings.as_environment()}"
    assert "secret" not in f"{settings!r}"


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        DEFAULTS.watch_days = 1  # type: ignore[misc]


def test_a_misspelt_setting_is_refused_in_python_too() -> None:
    with pytest.raises(ValidationError, match="postgres\n"):
        Settings(postgres="postgresql:///x")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("given", "refused"),
    [
        pytest.param(
            {"CAPSTONE_GLUE_DATABASE": "market_data"},
            "CAPSTONE_GLUE_DATABASE: the catalog is for a lake on S3; set CAPSTONE_LAKE_URI to one",
            id="a catalog of tables that are not on S3",
        ),
        pytest.param(
            {"CAPSTONE_PRECONDITIONS": '{"NYSE": [{"minimum_bytes": 1}], "NASDAQ": [{"command": ["true"]}]}'},
            "CAPSTONE_PRECONDITIONS: its commands would not be run; allow them with "
            "CAPSTONE_PRECONDITION_COMMANDS=true, or take them out",
            id="a command that is not switched on",
        ),
    ],
)
def test_a_setting_that_would_have_no_effect_is_refused(given: dict[str, str], refused: str) -> None:
    with pytest.raises(SettingsError) as error:
        Settings.from_mapping(given)

    assert str(error.value) == refused


def test_commands_that_are_switched_on_are_taken() -> None:
    settings = Settings.from_mapping(
        {
            "CAPSTONE_PRECONDITIONS": '{"NYSE": [{"command": ["true"]}]}',
            "CAPSTONE_PRECONDITION_COMMANDS": "true",
        }
    )

    assert settings.preconditions == Preconditions((("NYSE", (Command(("true",)),)),))


def test_raw_files_and_lake_follow_the_home(tmp_path: Path) -> None:
    settings = Settings.from_mapping({"CAPSTONE_HOME": str(tmp_path)})

    assert (settings.raw_uri, settings.lake_uri, settings.log_dir) == (
        str(tmp_path / "raw"),
        str(tmp_path / "lake"),
        tmp_path / "logs",
    )


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


def test_the_file_of_the_home_comes_last_and_cannot_lead_to_another_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("CAPSTONE_DRIVER_MEMORY=2g\nCAPSTONE_HOME=home\n")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "settings.env").write_text(
        "CAPSTONE_HOME=/elsewhere\nCAPSTONE_DRIVER_MEMORY=1g\nCAPSTONE_FIRST_TRADING_DAY=2026-11-20\nCAPSTONE_HOMES=1\n"
    )
    monkeypatch.setattr("capstone_dagster.settings.CHECKOUT", tmp_path)
    monkeypatch.setattr("os.environ", {"PATH": os.environ["PATH"]})

    settings = Settings.from_environment()

    assert (settings.home, settings.driver_memory) == (tmp_path / "home", "2g")
    assert settings.first_trading_day == date(2026, 11, 20)
    (unknown,) = unknown_variables(given_variables())
    assert unknown == "CAPSTONE_HOMES is no setting of this platform; did you mean CAPSTONE_HOME?"
    assert "CAPSTONE_FIRST_TRADING_DAY" not in os.environ


def test_the_example_file_lists_exactly_the_variables() -> None:
    example = (CHECKOUT / ".env.example").read_text()

    listed = re.findall(r"^#?(CAPSTONE_\w+)=", example, re.MULTILINE)

    assert sorted(listed) == sorted(Settings.variables())


def test_the_example_file_changes_nothing_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text((CHECKOUT / ".env.example").read_text())
    monkeypatch.setattr("capstone_dagster.settings.CHECKOUT", tmp_path)
    monkeypatch.setattr("capstone_dagster.settings.HOME_FILE", "none")
    for variable in Settings.variables():
        monkeypatch.setenv(variable, "")
        monkeypatch.delenv(variable)

    assert Settings.from_environment() == DEFAULTS


def test_paths_of_the_env_file_start_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("CAPSTONE_LAKE_URI=my lake\nCAPSTONE_RAW_URI=s3://bucket/raw\nCAPSTONE_HOME=home\n")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "settings.env").write_text("CAPSTONE_LATE_TIMES=1\n")
    for name in Settings.variables():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("capstone_dagster.settings.CHECKOUT", tmp_path)
    monkeypatch.setattr("os.environ", dict(os.environ))
    monkeypatch.chdir("/")

    given = given_variables()  # before those of .env are in the environment
    settings = Settings.from_environment()

    assert (settings.lake_uri, settings.raw_uri) == (str(tmp_path / "my lake"), "s3://bucket/raw")
    assert settings.home == tmp_path / "home"
    assert (given["CAPSTONE_LAKE_URI"], given["CAPSTONE_HOME"]) == (settings.lake_uri, str(settings.home))
    assert given["CAPSTONE_LATE_TIMES"] == "1"


def test_paths_of_the_file_of_the_home_start_in_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "settings.env").write_text("CAPSTONE_LAKE_URI=my lake\nCAPSTONE_RAW_URI=/raw\n")
    monkeypatch.setattr("capstone_dagster.settings.CHECKOUT", tmp_path)
    monkeypatch.setattr("os.environ", {"CAPSTONE_HOME": f"{tmp_path}"})
    monkeypatch.chdir("/")

    settings = Settings.from_environment()

    assert (settings.lake_uri, settings.raw_uri) == (f"{tmp_path}/my lake", "/raw")
    assert given_variables()["CAPSTONE_LAKE_URI"] == settings.lake_uri
