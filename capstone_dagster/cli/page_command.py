"""``capstone open``: the page of a trading day, or the index of all days, in a browser."""

import os
import sys
import webbrowser

import click

from capstone_dagster.pages.addresses import INDEX_KEY, address, page_key
from capstone_dagster.settings import Settings
from capstone_dagster.trading_days import parse_day, trading_days
from capstone_dagster.wording import say
from spark_code.errors import ExpectedError
from spark_code.storage import Storage


class NoPageError(ExpectedError):
    """The page that was asked for does not exist."""


@click.command("open")
@click.argument("day", metavar="[DATE]", required=False)
@click.option("--print", "only_print", is_flag=True, help="Print the address, and open nothing.")
def open_(day: str | None, only_print: bool) -> None:
    """Print the address of a trading day's page, or without DATE of the index of all days, and open it in a browser.

    It is a file, or an address below CAPSTONE_PAGES_URL if that is set. Where there is no browser it is only printed.
    """
    settings = Settings.from_environment()
    key, of, run = INDEX_KEY, "any day", "DATE"
    if day is not None:
        wanted = trading_days(settings.first_trading_day).require(parse_day(day))
        key, of, run = page_key(wanted), f"{wanted}", f"{wanted}"
    if not Storage(settings.lake_uri).exists(key):
        raise NoPageError(f"there is no page of {of} in {settings.lake_uri}; make it with: capstone run {run}")
    found = address(settings, key)
    say(found)
    if found.startswith("s3://"):
        say("set CAPSTONE_PAGES_URL to the address where the lake is served, and a browser can open it", err=True)
    elif not only_print and _has_browser():
        webbrowser.open(found)


def _has_browser() -> bool:
    """Whether a person sees what is opened: in a terminal on Linux without a display, a text browser would start."""
    has_display = sys.platform == "darwin" or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    if not has_display and not os.environ.get("BROWSER"):
        return False
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True
