"""Rows as aligned columns of printable cells, and what a person at a terminal gets of them."""

import os
import subprocess
import sys
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest

from capstone_dagster.cli.text_table import as_text, print_table
from capstone_dagster_tests.builders.terminals import written_on_a_terminal

PRINTED = """
from decimal import Decimal
from capstone_dagster.cli.text_table import print_table
print_table(
    ["word", "price", "volume", "event_seq_nb", "year"],
    [["available", Decimal("9.50"), 1234567, 1234567, 2020], ["\x1b[31mred", None, 5, 8, 2021]],
    ["", "\\n    below"],
)
"""


def test_columns_are_aligned_under_their_names() -> None:
    rows: list[list[Any]] = [
        ["A", Decimal("10.250000"), None, datetime(2020, 8, 5, 9, 30, 0, 123_000)],
        ["LONGER", None, 300, None],
    ]

    assert as_text(["symbol", "price", "n", "event_tm"], rows).splitlines() == [
        "symbol  price      n    event_tm",
        "A       10.250000       2020-08-05 09:30:00.123000",
        "LONGER             300",
    ]


def test_without_rows_there_are_only_the_names() -> None:
    assert as_text(["symbol", "price"], []) == "symbol  price"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param("a|b", "a|b", id="a pipe"),
        pytest.param("a\nb\rc\td", r"a\nb\rc\td", id="line ends and tabs"),
        pytest.param("\x1b[31mred\x07\x00\x9b", r"\x1b[31mred\x07\x00\x9b", id="what steers a terminal"),
        pytest.param("a\u2028b\u202ec\ufeffd", r"a\u2028b\u202ec\ufeffd", id="separators and marks nobody sees"),
        pytest.param("Zürich 株", "Zürich 株", id="other alphabets"),
        pytest.param("x" * 40, "x" * 40, id="as wide as a cell"),
        pytest.param("x" * 41, "x" * 39 + "…", id="wider than a cell"),
        pytest.param("\n" * 70_000, r"\n" * 19 + "\\…", id="a long line of nothing"),
        pytest.param(None, "", id="null"),
    ],
)
def test_a_value_is_one_printable_cell(value: str | None, shown: str) -> None:
    assert as_text(["a", "b"], [[value, "end"]]) == f"{'a'.ljust(len(shown) or 1)}  b\n{shown.ljust(1)}  end"


def printed_on_a_terminal(**variables: str) -> str:
    """What a process prints whose output is a terminal."""
    given = {"PATH": os.defpath, "TERM": "xterm", **variables}
    return written_on_a_terminal([sys.executable, "-c", PRINTED], env=given).decode().replace("\r\n", "\n")


def test_a_person_at_a_terminal_gets_numbers_to_compare_and_colours() -> None:
    assert printed_on_a_terminal().splitlines() == [
        "\x1b[1mword         price     volume  event_seq_nb  year\x1b[0m",
        "\x1b[32mavailable\x1b[0m     9.50  1,234,567       1234567  2020",
        r"\x1b[31mred                 5             8  2021",
        "    below",
    ]


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_who_wants_no_colours_gets_none(variables: dict[str, str]) -> None:
    assert "\x1b" not in printed_on_a_terminal(**variables)


def test_a_pipe_gets_the_same_text_as_ever() -> None:
    ended = subprocess.run([sys.executable, "-c", PRINTED], capture_output=True, text=True, check=True)

    assert ended.stdout.splitlines() == [
        "word         price  volume   event_seq_nb  year",
        "available    9.50   1234567  1234567       2020",
        r"\x1b[31mred         5        8             2021",
        "    below",
    ]


@pytest.mark.parametrize("below", [[], ["", ""]])
def test_a_pipe_gets_rows_of_nulls_too(below: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["a"], [[1], [None]], below)

    assert capsys.readouterr().out == "a\n1\n\n"
