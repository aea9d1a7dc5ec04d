"""``capstone open``: the address of a page, and a browser where there is one."""

from datetime import date
from pathlib import Path

import pytest

from capstone_dagster_tests.builders.command_line import Run

pytestmark = pytest.mark.usefixtures("home")

DAY = date(2020, 8, 5)


@pytest.fixture(autouse=True)
def _no_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def pages(home: Path) -> Path:
    """A page and an index; what is in them is not read."""
    folder = home / "lake" / "report"
    (folder / "page").mkdir(parents=True)
    (folder / "index.html").write_text("all days")
    (folder / "page" / f"{DAY}.html").write_text("a day")
    return folder


def test_it_prints_where_the_page_or_the_index_is(capstone: Run, pages: Path) -> None:
    assert capstone("open", f"{DAY}") == (0, f"file://{pages}/page/{DAY}.html\n", "")
    assert capstone("open") == (0, f"file://{pages}/index.html\n", "")


@pytest.mark.usefixtures("pages")
def test_it_prints_where_the_lake_is_served(capstone: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPSTONE_PAGES_URL", "https://market.example.com/lake/")

    assert capstone("open", f"{DAY}") == (0, f"https://market.example.com/lake/report/page/{DAY}.html\n", "")


def test_it_opens_the_page_in_a_browser_unless_told_not_to(
    capstone: Run, pages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\necho "$1" >>{opened}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{browser} %s")

    assert capstone("open", "--print")[0] == 0
    assert not opened.exists()

    assert capstone("open", f"{DAY}")[0] == 0
    assert opened.read_text() == f"file://{pages}/page/{DAY}.html\n"


@pytest.mark.parametrize(
    ("day", "reason"),
    [
        ("2020-08-06", "there is no page of 2020-08-06 in {lake}; make it with: capstone run 2020-08-06"),
        ("2020-08-08", "2020-08-08 cannot be run: the NYSE is closed on Saturdays"),
        ("yesterday", "'yesterday' is not a date; write yyyy-mm-dd"),
    ],
)
@pytest.mark.usefixtures("pages")
def test_a_day_without_a_page_is_an_error_that_says_why(capstone: Run, home: Path, day: str, reason: str) -> None:
    assert capstone("open", day) == (1, "", f"capstone: {reason.format(lake=home / 'lake')}\n")


def test_an_empty_lake_has_no_index(capstone: Run, home: Path) -> None:
    reason = f"there is no page of any day in {home / 'lake'}; make it with: capstone run DATE"
    assert capstone("open") == (1, "", f"capstone: {reason}\n")
