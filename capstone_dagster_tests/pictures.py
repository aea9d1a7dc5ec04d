"""Takes the pictures of the documents from the product as it is: `make pictures`."""

import os
import subprocess
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser, FloatRect, expect

from capstone_dagster.pages.addresses import page_key
from capstone_dagster_tests.servers.browser import chromium, tab
from capstone_dagster_tests.servers.dagster_services import ROOT, Services, services
from capstone_dagster_tests.servers.platform import Platform

PICTURES = ROOT / "docs" / "pictures"
# Days whose pictures are the same whenever they are taken.
FIRST, LAST = date(2020, 8, 5), date(2020, 8, 7)
# The graph without navigation and list of assets, on a desktop.
GRAPH = FloatRect(x=542, y=110, width=898, height=890)


def main() -> None:
    """Run the demo in a home of its own, and look at it."""
    with TemporaryDirectory() as folder:
        platform = Platform(Path(folder, "home"), FIRST, warehouse=True)
        demo = platform.environment | {"DAYS": f"{FIRST}..{LAST}"}
        subprocess.run([ROOT / "deploy" / "demo.sh"], env=os.environ | demo, check=True)
        with services(platform, Path(folder)) as ui, chromium() as browser:
            _graph(browser, ui)
            _page(browser, platform)


def _graph(browser: Browser, ui: Services) -> None:
    page = tab(browser)
    page.goto(f"http://localhost:{ui.port}/asset-groups")
    expect(page.get_by_text("daily_summary").first).to_be_visible()
    page.wait_for_load_state("networkidle")
    page.screenshot(path=PICTURES / "graph.png", clip=GRAPH)


def _page(browser: Browser, platform: Platform) -> None:
    page = tab(browser)
    page.goto(Path(platform.folder, "lake", page_key(LAST)).as_uri())
    page.screenshot(path=PICTURES / "page.png")


if __name__ == "__main__":
    main()
