"""``capstone show`` and ``capstone paths``: what they print of published days, and what they refuse."""

import csv
import json
import re
from dataclasses import asdict
from datetime import date
from pathlib import Path

import pytest

from capstone_dagster_tests.builders.command_line import CAPSTONE, Run, usage_error
from capstone_dagster_tests.builders.published_files import close, publish
from capstone_dagster_tests.builders.terminals import written_on_a_terminal
from spark_code.lake import Lake
from spark_code.manifest import Manifest
from spark_code.schemas import CLOSES, TABLES

# No variable but the home, whatever the machine has set.
pytestmark = pytest.mark.usefixtures("home")

DAY = date(2020, 8, 5)


@pytest.fixture
def published(home: Path) -> Manifest:
    """Closes of the day in the lake, written by hand."""
    files = {"part-0.parquet": [close("SYMA")], "part-1.parquet": [close("SYMB")]}
    return publish(Lake(f"{home / 'lake'}"), CLOSES, files)


def test_published_rows_are_shown(capstone: Run, published: Manifest) -> None:
    assert capstone("show", "eod/closes", "2020-08-05", "--limit", "1") == (
        0,
        "trade_dt    symbol  exchange  close_pr\n2020-08-05  SYMA    NYSE      1.250000\n1 of 2 rows\n",
        "",
    )
    assert published.rows == 2


def test_published_files_are_listed(capstone: Run, home: Path, published: Manifest) -> None:
    files = [f"{home}/lake/{path}" for path in published.paths]

    assert capstone("paths", "eod/closes", "2020-08-05") == (0, "".join(f"{file}\n" for file in files), "")
    code, out, err = capstone("paths", "eod/closes", "2020-08-05", "--json")
    assert (code, json.loads(out), err) == (0, asdict(published) | {"paths": files}, "")


def test_days_are_shown_and_listed_together(capstone: Run, home: Path, published: Manifest) -> None:
    later = publish(Lake(f"{home / 'lake'}"), CLOSES, {"part-0.parquet": [close("SYMA", "2")]}, day=date(2020, 8, 7))
    manifests = [
        asdict(found) | {"paths": [f"{home}/lake/{path}" for path in found.paths]} for found in (published, later)
    ]
    files = [path for manifest in manifests for path in manifest["paths"]]

    for days in (["2020-08-05..2020-08-10"], []):
        assert capstone("paths", "eod/closes", *days) == (0, "".join(f"{file}\n" for file in files), "")
        assert json.loads(capstone("paths", "eod/closes", *days, "--json")[1]) == manifests
        assert capstone("show", "eod/closes", *days) == (
            0,
            (
                "trade_dt    symbol  exchange  close_pr\n2020-08-05  SYMA    NYSE      1.250000\n"
                "2020-08-05  SYMB    NYSE      1.250000\n2020-08-07  SYMA    NYSE      2.000000\n3 of 3 rows\n"
            ),
            "",
        )


@pytest.mark.usefixtures("published")
def test_only_the_rows_of_a_symbol_are_shown(capstone: Run) -> None:
    assert capstone("show", "eod/closes", "2020-08-05", "--symbol", "SYMB", "--exchange", "NYSE") == (
        0,
        "trade_dt    symbol  exchange  close_pr\n2020-08-05  SYMB    NYSE      1.250000\n1 row\n",
        "",
    )


@pytest.mark.usefixtures("published")
def test_a_limit_that_leaves_rows_out_is_said(capstone: Run) -> None:
    _, out, _ = capstone("show", "eod/closes", "--exchange", "NYSE", "--limit", "1")

    assert out.splitlines()[2:] == ["there are more rows; --limit shows them"]


@pytest.mark.slow
def test_csv_reaches_a_terminal_without_what_steers_it(home: Path) -> None:
    publish(Lake(f"{home / 'lake'}"), CLOSES, {"part-0.parquet": [close("\x1b]0;title\x07SYM")]})

    written = written_on_a_terminal([CAPSTONE, "show", "eod/closes", "--csv"])

    assert written.splitlines()[1:] == [b'2020-08-05,"\\x1b]0;title\\x07SYM","NYSE",1.250000']


@pytest.mark.parametrize(("limit", "symbols"), [([], ["SYMA", "SYMB"]), (["--limit", "1"], ["SYMA"])])
@pytest.mark.usefixtures("published")
def test_rows_are_printed_as_csv(capstone: Run, limit: list[str], symbols: list[str]) -> None:
    code, out, err = capstone("show", "eod/closes", "--csv", *limit)

    assert (code, err) == (0, "")
    assert list(csv.reader(out.splitlines())) == [
        ["trade_dt", "symbol", "exchange", "close_pr"],
        *(["2020-08-05", symbol, "NYSE", "1.250000"] for symbol in symbols),
    ]


@pytest.mark.parametrize("command", ["show", "paths"])
def test_days_of_which_none_is_published_are_refused(capstone: Run, home: Path, command: str) -> None:
    assert capstone(command, "eod/closes", "2020-08-05..2020-08-06") == (
        1,
        "",
        (
            f"capstone: nothing of eod/closes from 2020-08-05 to 2020-08-06 is published in {home}/lake; "
            "make it with: capstone run 2020-08-05..2020-08-06\n"
        ),
    )


@pytest.mark.parametrize("command", ["show", "paths"])
def test_a_published_file_that_was_deleted_is_named_with_the_command_that_makes_it_again(
    capstone: Run, home: Path, published: Manifest, command: str
) -> None:
    gone = home / "lake" / published.paths[0]
    gone.unlink()

    code, out, err = capstone(command, "eod/closes", "2020-08-05")

    again = "publish eod/closes of 2020-08-05 again: capstone run 2020-08-05 --job preprocessing"
    assert (code, out, err) == (1, "", f"capstone: {gone} is gone; {again}\n")


@pytest.mark.parametrize("command", ["show", "paths"])
def test_an_unknown_table_is_refused_with_the_tables_there_are(capstone: Run, command: str) -> None:
    code, out, err = capstone(command, "eod/prices", "2020-08-05")

    assert (code, out) == (2, "")
    assert usage_error(err) == (
        f"Error: Invalid value for 'TABLE': 'eod/prices' is not a table; the tables are {', '.join(TABLES)}"
    )


@pytest.mark.parametrize("command", ["show", "paths"])
@pytest.mark.parametrize("day", ["2020-8-5", "yesterday", "2020-08-05..tomorrow", ""])
def test_a_wrong_date_is_refused_with_how_to_write_it(capstone: Run, command: str, day: str) -> None:
    code, out, err = capstone(command, "eod/closes", day)

    assert (code, out) == (1, "")
    assert re.match(r"capstone: '.*' is not a date; write yyyy-mm-dd", err)
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", ["show", "paths"])
def test_a_missing_day_is_refused_with_the_command_that_makes_it(capstone: Run, home: Path, command: str) -> None:
    assert capstone(command, "eod/closes", "2020-08-05") == (
        1,
        "",
        f"capstone: eod/closes of 2020-08-05 is not published in {home}/lake; make it with: capstone run 2020-08-05\n",
    )
