"""What `make demo` runs, where, and what commands need afterwards to show the same."""

from datetime import date
from pathlib import Path

import pytest

from capstone_dagster.cli.demo import chosen_days, home_for, prepare, recent_days
from capstone_dagster.settings import Settings
from capstone_dagster.trading_days import NoTradingDayError
from capstone_dagster_tests.builders.lakes import deliver
from capstone_dagster_tests.capstone_dagster.test_trading_days import in_new_york

DAYS = [date(2020, 8, 6), date(2020, 8, 7)]


def settings_of(home: Path, **given: str) -> Settings:
    return Settings.from_mapping({"CAPSTONE_HOME": f"{home}", **given})


@pytest.mark.parametrize(
    ("day", "clock", "days"),
    [
        ("2026-11-30", "03:00", ["2026-11-20", "2026-11-23", "2026-11-24", "2026-11-25", "2026-11-27"]),
        ("2026-11-27", "12:59", ["2026-11-19", "2026-11-20", "2026-11-23", "2026-11-24", "2026-11-25"]),
        ("2026-11-27", "13:01", ["2026-11-20", "2026-11-23", "2026-11-24", "2026-11-25", "2026-11-27"]),
        ("2026-11-24", "16:01", ["2026-11-18", "2026-11-19", "2026-11-20", "2026-11-23", "2026-11-24"]),
    ],
)
def test_the_demo_has_the_last_five_trading_days_that_have_ended(day: str, clock: str, days: list[str]) -> None:
    assert [f"{found}" for found in recent_days(in_new_york(date.fromisoformat(day), clock))] == days


def test_people_can_name_days_of_any_year() -> None:
    assert chosen_days("2020-08-05..2020-08-09") == [date(2020, 8, 5), *DAYS]
    assert chosen_days("2019-08-05") == [date(2019, 8, 5)]
    with pytest.raises(NoTradingDayError):
        chosen_days("2020-08-08")


def test_an_empty_home_is_the_demos_and_finds_its_first_day_without_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    variables = prepare(DAYS, settings_of(tmp_path), {})

    assert (variables["CAPSTONE_HOME"], variables["prefix"]) == (f"{tmp_path}", "")
    assert [variables[name] for name in ("first", "last", "days")] == ["2020-08-06", "2020-08-07", "2"]
    monkeypatch.setenv("CAPSTONE_HOME", f"{tmp_path}")
    monkeypatch.setattr("capstone_dagster.settings.CHECKOUT", tmp_path)
    monkeypatch.delenv("CAPSTONE_FIRST_TRADING_DAY", raising=False)
    assert Settings.from_environment().first_trading_day == DAYS[0]


def test_the_next_demo_takes_the_same_home_and_the_days_of_the_one_before_it_away(tmp_path: Path) -> None:
    prepare(DAYS, settings_of(tmp_path), {})
    peoples = ["csv/2020-08-05/NYSE", "json/2020-08-10/NASDAQ"]
    for name in ("csv/2020-08-06/NYSE", "json/2020-08-06/NASDAQ", "csv/2020-08-07/NYSE", *peoples):
        (tmp_path / "raw" / name).mkdir(parents=True)
        (tmp_path / "raw" / name / "_SAMPLE").write_text("symbols=12 events=100000 seed=7\n")
    (tmp_path / "lake").mkdir()
    (tmp_path / "lake" / "published").write_text("by the first demo")

    variables = prepare(DAYS[1:], settings_of(tmp_path), {})

    assert variables["CAPSTONE_HOME"] == f"{tmp_path}"
    assert "CAPSTONE_FIRST_TRADING_DAY=2020-08-07" in (tmp_path / "settings.env").read_text()
    left = {f"{path.parent.relative_to(tmp_path / 'raw')}" for path in (tmp_path / "raw").rglob("_SAMPLE")}
    assert left == {"csv/2020-08-07/NYSE", *peoples}


@pytest.mark.parametrize("own", ["days", "published days", "settings", "raw folder"])
def test_a_home_of_peoples_own_is_left_alone_and_commands_name_the_demos(tmp_path: Path, own: str) -> None:
    given = {}
    if own == "days":
        deliver(tmp_path / "raw", DAYS[0])
    elif own == "published days":
        (tmp_path / "lake").mkdir()
        (tmp_path / "lake" / "published").write_text("its raw files are gone")
    elif own == "settings":
        (tmp_path / "settings.env").write_text("CAPSTONE_DRIVER_MEMORY=1g\n")
    else:
        given = {"CAPSTONE_RAW_URI": "s3://mine/raw", "CAPSTONE_FIRST_TRADING_DAY": "2015-01-02"}
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    settings = settings_of(tmp_path, **given)

    variables = prepare(DAYS, settings, given)

    assert home_for(settings) == tmp_path / "demo"
    assert {path: path.read_bytes() for path in before} == before
    more = "CAPSTONE_FIRST_TRADING_DAY=2020-08-06 CAPSTONE_RAW_URI= " if given else ""
    assert variables["prefix"] == f"CAPSTONE_HOME={tmp_path}/demo {more}"
    assert variables["CAPSTONE_RAW_URI"] == variables["CAPSTONE_POSTGRES_URL"] == ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CAPSTONE_ALERT_TOPIC", "arn:aws:sns:us-east-1:123456789012:alarms"),
        ("CAPSTONE_ALERT_URLS", "jsons://example.com"),
        ("CAPSTONE_PAGES_URL", "https://pages.example.com"),
        ("CAPSTONE_QUALITY_LIMITS", "zero_ratio=0:error"),
    ],
)
def test_nobody_is_told_of_the_demo_and_peoples_limits_and_links_are_not_its(
    tmp_path: Path, name: str, value: str
) -> None:
    variables = prepare(DAYS, settings_of(tmp_path), {name: value})

    assert (variables[name], variables["prefix"]) == ("", f"{name}= ")
