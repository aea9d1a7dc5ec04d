"""``capstone days``: what it prints, and the exit code for which scripts ask."""

import json
from datetime import date
from functools import partial
from pathlib import Path

import pytest

from capstone_dagster_tests.builders.command_line import Run
from capstone_dagster_tests.builders.lakes import deliver
from capstone_dagster_tests.capstone_dagster.readers.test_days import BEYOND, DAY, load, measure, report
from spark_code.lake import Lake


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CAPSTONE_HOME", f"{tmp_path}")
    deliver(tmp_path / "raw", date(2020, 11, 25))
    return tmp_path


def test_a_range_has_a_row_per_exchange_and_names_holidays_and_early_closes(capstone: Run) -> None:
    assert capstone("days", "2020-11-25..2020-11-27") == (
        0,
        (
            "day         exchange  word     since (UTC)  version\n"
            "2020-11-25  NYSE      pending\n"
            "2020-11-25  NASDAQ    pending\n"
            "2020-11-27  NYSE      missing\n"
            "2020-11-27  NASDAQ    missing\n"
            "2020-11-25 NYSE and NASDAQ: it is delivered, and not ingested yet\n"
            "2020-11-27 NYSE and NASDAQ: closes at 13:00\n"
            "2020-11-26: the NYSE is closed on Thanksgiving\n"
        ),
        "",
    )


def test_for_programs_each_day_is_an_object(capstone: Run) -> None:
    code, out, _ = capstone("days", "2020-11-27", "--json")

    assert code == 0
    assert json.loads(out.splitlines()[0]) == {
        "trade_dt": "2020-11-27",
        "exchange": "NYSE",
        "word": "missing",
        "reason": "closes at 13:00",
        "since": None,
        "version": None,
    }


@pytest.mark.parametrize("word", ["available", "degraded"])
def test_a_script_can_wait_for_a_day_that_is_good_enough(capstone: Run, word: str) -> None:
    assert capstone("days", "2020-11-25", "--require", word)[0] == 1


def test_a_degraded_day_is_good_enough_for_who_says_so(capstone: Run, home: Path) -> None:
    lake = Lake(f"{home / 'lake'}")
    for make in (load, report, partial(measure, beyond=BEYOND)):
        make(lake)

    assert capstone("days", f"{DAY}", "--require", "degraded")[0] == 0
    assert capstone("days", f"{DAY}", "--require", "available")[0] == 1


def test_without_a_day_it_says_the_last_ten(capstone: Run) -> None:
    _, out, _ = capstone("days", "--json")

    assert len(out.splitlines()) == 2 * 10


def test_a_day_that_is_none_is_refused(capstone: Run) -> None:
    assert capstone("days", "2020-11-26") == (
        1,
        "",
        "capstone: 2020-11-26 cannot be run: the NYSE is closed on Thanksgiving\n",
    )
