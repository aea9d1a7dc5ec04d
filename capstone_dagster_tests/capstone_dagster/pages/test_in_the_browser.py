"""Pages in Chromium: whatever a day holds, nothing is cut off, empty or unreadable, on a desk and on a phone."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from random import Random

import pytest
from playwright.sync_api import Browser, Page

from capstone_dagster.pages.addresses import INDEX_KEY, page_key
from capstone_dagster_tests.builders.page_days import Stock, publish_day
from capstone_dagster_tests.capstone_dagster.pages.conftest import pages_below
from capstone_dagster_tests.servers.browser import (
    DESKTOP,
    PHONE,
    barriers,
    chromium,
    in_browser,
    no_errors,
    pixels_cut_off,
    tab,
)
from spark_code.lake import Lake
from spark_code.schemas import Reject

HOSTILE = ("<script>fetch('http://127.0.0.1:9')</script>", "![x](http://127.0.0.1:9)", "\x1b[31m\u202eLIVE", "W" * 300)
# A chart is drawn if any mark of it has an extent; an area or a line of no points has none.
EMPTY = """charts => charts.filter(chart =>
  chart.getBoundingClientRect().height < 15 ||
  ![...chart.querySelectorAll("path, rect, line")].some(mark => mark.getBBox().width > 0 && mark.getBBox().height > 0)
).map(chart => chart.outerHTML.slice(0, 300))"""

OPEN_ALL = "document.querySelectorAll('details').forEach(each => each.open = true)"


def _stocks(count: int) -> Sequence[Stock]:
    chance = Random(count)  # noqa: S311 -- days at random, always the same
    return [
        Stock(f"S{number}", [f"{chance.uniform(9, 11):.2f}" for _ in range(chance.randint(2, 78))])
        for number in range(count)
    ]


DAYS: Mapping[str, tuple[date, Sequence[Stock], Mapping[Reject, Sequence[str]]]] = {
    "the first day": (date(2020, 8, 4), [Stock("SYMA", prev_close=None)], {}),
    "a usual day": (date(2020, 8, 5), _stocks(12), {Reject.BAD_NUMBER: ["a,b,NaN"], Reject.BLANK: [""]}),
    "many symbols": (date(2020, 8, 6), _stocks(500), {}),
    "one symbol": (date(2020, 8, 7), _stocks(1), {}),
    "no trades": (date(2020, 8, 10), [Stock("SYMA", is_traded=False)], {}),
    "hostile names": (date(2020, 8, 11), [Stock(name) for name in HOSTILE], {Reject.BAD_JSON: HOSTILE}),
    "rejects only": (date(2020, 8, 12), [], {Reject.BLANK: [""] * 8}),
    "a half day": (date(2020, 11, 27), _stocks(3), {}),
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    lake, pages = Lake(f"{folder / 'lake'}"), pages_below(folder)
    for day, stocks, rejects in DAYS.values():
        publish_day(lake, day, stocks, rejects)
        pages.publish(day)
    return folder / "lake"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def _open(browser: Browser, page: Path, *, width: int, dark: bool = False) -> Page:
    opened = tab(browser, width=width, dark=dark)
    with no_errors(opened):
        opened.goto(page.as_uri())
    return opened


@in_browser
@pytest.mark.parametrize("key", [INDEX_KEY, *(page_key(day) for day, _, _ in DAYS.values())], ids=["index", *DAYS])
def test_a_page_is_whole_and_readable_for_everybody(browser: Browser, lake: Path, key: str) -> None:
    for width, dark in ((DESKTOP, False), (PHONE, True)):
        page = _open(browser, lake / key, width=width, dark=dark)
        try:
            charts = page.locator("figure svg, .picture svg")
            assert charts.evaluate_all(EMPTY) == []
            assert barriers(page) == []
            page.evaluate(OPEN_ALL)
            assert pixels_cut_off(page) == 0
        finally:
            page.close()


@in_browser
@pytest.mark.parametrize("dark", [False, True])
def test_the_numbers_below_the_charts_are_readable_for_everybody(browser: Browser, lake: Path, dark: bool) -> None:
    """On a page with few of them: of large tables, axe takes a minute."""
    day, *_ = DAYS["one symbol"]
    page = _open(browser, lake / page_key(day), width=PHONE, dark=dark)
    page.evaluate(OPEN_ALL)
    assert page.locator("details td").count() > 50
    assert barriers(page) == []
    page.close()


@in_browser
def test_the_reader_of_the_index_comes_to_a_day_and_to_the_one_before(browser: Browser, lake: Path) -> None:
    page = _open(browser, lake / INDEX_KEY, width=PHONE)

    page.get_by_role("link", name="6 August").click()
    assert page.locator("figure svg").count() > 2
    page.get_by_role("link", name="2020-08-05").click()

    assert page.get_by_role("heading", level=1).inner_text() == "Wednesday, 5 August 2020"
    page.close()
