"""Chromium without a window, as an operator's browser: what a person sees, clicks and is told."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

_MISSING = pytest.mark.skipif(not CHROMIUM, reason="needs Chromium: sudo apt-get install -y chromium")


def in_browser(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that opens pages: `make test-browser` runs it, and it is skipped where there is no browser."""
    marked: Callable[..., None] = pytest.mark.browser(_MISSING(test))
    return marked


DESKTOP, PHONE = 1440, 390
_MILLISECONDS = 120_000
_TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"

# A page may take so long to show what it has to: it waits for servers and runs on a busy machine.
expect.set_options(timeout=_MILLISECONDS)


@contextmanager
def chromium(hosts: str = "") -> Iterator[Browser]:
    """A browser of its own; ``hosts`` are rules like ``MAP evil.example 127.0.0.1``."""
    arguments = [
        f"--host-resolver-rules={hosts}",
        # What only people who confirm it get: that a page of the web reaches this machine. Older browsers never ask.
        "--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests",
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments, chromium_sandbox=False)
        yield browser
        browser.close()


def tab(browser: Browser, *, width: int = DESKTOP, dark: bool = False) -> Page:
    """A tab of this width, for a reader who prefers light or dark pages."""
    page = browser.new_page(viewport={"width": width, "height": 1000}, color_scheme="dark" if dark else "light")
    page.set_default_timeout(_MILLISECONDS)
    return page


@contextmanager
def no_errors(page: Page) -> Iterator[None]:
    """Meanwhile the page reports no error to its console, and throws none."""
    errors: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error":
            errors.append(message.text)

    page.on("console", hear)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield
    assert errors == []


def pixels_cut_off(page: Page) -> int:
    """By how much the page is wider than its tab."""
    pixels: int = page.evaluate(_TOO_WIDE)
    return pixels


def barriers(page: Page) -> list[str]:
    """What axe-core finds that keeps people from reading the page: contrast, roles, names, order of headings."""
    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {node['html'][:200]}" for each in found for node in each["nodes"]]
