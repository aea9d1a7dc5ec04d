"""``capstone verify``: what it prints of proven, damaged and missing days, and its exit code."""

import json
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from capstone_dagster_tests.builders.closes import DAY, FIRST, NEXT_DAY, SECOND, publish_closes, version_of
from capstone_dagster_tests.builders.command_line import Run, usage_error
from spark_code.lake import Lake
from spark_code.schemas import TABLES

BOTH = f"{DAY}..{NEXT_DAY}"


@pytest.fixture
def lost(home: Path, spark: SparkSession) -> Path:
    """The file that the second of two published days has lost."""
    lake = Lake(f"{home / 'lake'}")
    publish_closes(lake, spark, FIRST, token=1)
    manifest = publish_closes(lake, spark, SECOND, token=2, day=NEXT_DAY)
    file = Path(lake.storage.uri(manifest.paths[0]))
    file.unlink()
    return file


def test_each_day_and_table_has_a_line_and_below_it_what_is_wrong_and_what_to_do(capstone: Run, lost: Path) -> None:
    assert capstone("verify", BOTH, "--table", "eod/closes") == (
        1,
        (
            "2020-08-05  eod/closes              proven   2 rows in 1 file\n"
            "2020-08-06  eod/closes              damaged  1 row in 1 file\n"
            f"    {lost} is gone\n"
            "    publish it again: capstone run 2020-08-06 --job preprocessing\n"
            "1 of 2 tables proven\n"
        ),
        "",
    )


def test_what_is_proven_exits_with_0(capstone: Run, lost: Path) -> None:
    code, out, _ = capstone("verify", f"{DAY}", "--table", "eod/closes", "--json")

    assert (code, lost.exists()) == (0, False)
    assert json.loads(out) == {
        "trade_dt": "2020-08-05",
        "table": "eod/closes",
        "word": "proven",
        "version": version_of(1),
        "rows": 2,
        "problems": [],
        "warnings": [],
        "remedy": None,
    }


def test_tables_that_are_not_published_are_missing(capstone: Run, lost: Path) -> None:
    code, out, _ = capstone("verify", f"{DAY}", "--json")

    found = [json.loads(line) for line in out.splitlines()]
    assert (code, lost.exists()) == (1, False)
    assert [each["table"] for each in found] == list(TABLES)
    assert {each["word"] for each in found if each["table"] != "eod/closes"} == {"missing"}
    assert found[-1]["remedy"] == "make it with: capstone run 2020-08-05 --job analytical"


@pytest.mark.usefixtures("home")
def test_days_and_tables_that_do_not_exist_are_refused(capstone: Run) -> None:
    assert capstone("verify", "2020-08-08") == (
        1,
        "",
        "capstone: 2020-08-08 cannot be run: the NYSE is closed on Saturdays\n",
    )
    code, _, err = capstone("verify", f"{DAY}", "--table", "eod/nothing")
    assert (code, "'eod/nothing' is not a table" in usage_error(err)) == (2, True)
