"""The first minutes in the UI, by clicks: days are materialized, and what people look at afterwards is there."""

import re
from datetime import date
from pathlib import Path

from playwright.sync_api import Page, expect

from capstone_dagster.pages.addresses import page_key
from capstone_dagster_tests.servers.browser import chromium, in_browser, no_errors, tab
from capstone_dagster_tests.servers.dagster_services import Services, services
from capstone_dagster_tests.servers.platform import Platform

DAYS = [date(2020, 8, 5), date(2020, 8, 6)]
# A person waits for two runs of a day.
RUN_MILLISECONDS = 900_000


@in_browser
def test_two_days_are_materialized_by_clicks_and_seen(tmp_path: Path) -> None:
    platform = Platform(tmp_path / "home", DAYS[0])
    for day in DAYS:
        platform.sample(day)

    with services(platform, tmp_path) as ui, chromium() as browser:
        page = tab(browser)
        with no_errors(page):
            _materialize_all(page, ui)
            _follow_the_backfill(page, ui)
            _look_at_the_summary(page, ui)
            page.goto((platform.folder / "lake" / page_key(DAYS[1])).as_uri())
            expect(page.get_by_role("heading", level=1)).to_contain_text("6 August 2020")


def _materialize_all(page: Page, ui: Services) -> None:
    page.goto(f"http://localhost:{ui.port}/asset-groups")
    page.get_by_role("button", name="Materialize all").first.click()
    page.get_by_text("Show all partitions").click()
    dialog = page.get_by_role("dialog")
    expect(dialog.get_by_text("All time")).to_be_visible()
    chosen = dialog.get_by_role("textbox").first
    chosen.fill(f"[{DAYS[0]}...{DAYS[1]}]")
    chosen.press("Enter")
    expect(dialog.get_by_text("2 partitions")).to_be_visible()
    dialog.get_by_role("button", name=re.compile("^Launch ")).click()
    expect(dialog).to_be_hidden()


def _follow_the_backfill(page: Page, ui: Services) -> None:
    page.goto(f"http://localhost:{ui.port}/runs")
    page.locator("a[href*='/runs/b/']").first.click()
    expect(page.get_by_text("100% completed")).to_be_visible(timeout=RUN_MILLISECONDS)
    expect(page.get_by_text("2 partitions")).to_be_visible()


def _look_at_the_summary(page: Page, ui: Services) -> None:
    page.goto(f"http://localhost:{ui.port}/assets/report/daily_summary?view=partitions&partition={DAYS[1]}")
    for name in ("risers", "fallers", "turnover", "median_spread_bps"):
        expect(page.get_by_text(name, exact=True).first).to_be_visible()
    expect(page.locator("img[src^='data:image/svg']").first).to_be_visible()
