"""Every CAPSTONE_* variable: its default, what it takes, and the one line that refuses the rest."""

import os
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from capstone_dagster.settings import CHECKOUT, Settings, SettingsError

DEFAULTS = Settings(
    deployment="local",
    home=CHECKOUT / ".capstone",
    raw_uri=str(CHECKOUT / ".capstone" / "raw"),
    lake_uri=str(CHECKOUT / ".capstone" / "lake"),
    postgres_url=None,
    first_trading_day=date(2020, 8, 5),
    driver_memory="4g",
    max_reject_ratio=0.05,
)
DATABASE = "postgresql://user:secret@host:5432/database"


def refusal(variable: str, value: str) -> str:
    with pytest.raises(SettingsError) as refused:
        Settings.from_mapping({variable: value})
    return str(refused.value)


def test_without_any_variable_all_data_lies_below_the_checkout() -> None:
    assert Settings.from_mapping({}) == DEFAULTS
    assert DEFAULTS.log_dir == CHECKOUT / ".capstone" / "logs"


@pytest.mark.parametrize("empty", ["", " ", "\t"])
def test_an_empty_variable_counts_as_none(empty: str) -> None:
    assert Settings.from_mapping(dict.fromkeys(Settings.variables(), empty)) == DEFAULTS


def test_all_variables_together(tmp_path: Path) -> None:
    environment = {
        "CAPSTONE_DEPLOYMENT": "local",
        "CAPSTONE_HOME": f"{tmp_path}/home",
        "CAPSTONE_RAW_URI": "s3://exchange/drop/",
        "CAPSTONE_LAKE_URI": f"file://{tmp_path}/lake",
        "CAPSTONE_POSTGRES_URL": DATABASE,
        "CAPSTONE_FIRST_TRADING_DAY": "2024-02-29",
        "CAPSTONE_DRIVER_MEMORY": "1500m",
        "CAPSTONE_MAX_REJECT_RATIO": "0.5",
    }

    assert sorted(environment) == sorted(Settings.variables())
    assert Settings.from_mapping(environment) == Settings(
        deployment="local",
        home=tmp_path / "home",
        raw_uri="s3://exchange/drop",
        lake_uri=str(tmp_path / "lake"),
        postgres_url=DATABASE,
        first_trading_day=date(2024, 2, 29),
        driver_memory="1500m",
        max_reject_ratio=0.5,
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
        ("CAPSTONE_DEPLOYMENT", "Local", "must be one of local"),
        ("CAPSTONE_DEPLOYMENT", "production", "must be one of local"),
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
    ],
)
def test_a_wrong_value_is_refused_by_name_with_what_the_variable_takes(
    variable: str, value: str, what_it_takes: str
) -> None:
    assert refusal(variable, value) == f"{variable}: {value!r} cannot be used: {what_it_takes}"


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
