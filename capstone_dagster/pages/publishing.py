"""Writes a day's page and the index of all days into the lake, each by replacing one object.

    <lake>/report/page/<D>.html     the page; what it was made from is published at the moment it is written
    <lake>/report/index.html        every page whose day is published, the newest first; those of about a year with
                                    sentence and picture, which are read from the pages, the others as links

A page that was made from versions which no longer count is refused, so an older run never replaces the page of a newer
one. The index is made from the pages as they are while its own object is replaced: whoever writes last has seen all.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from typing import Any

import dagster as dg

from capstone_dagster.assets.page import INDEX, PAGE
from capstone_dagster.pages.addresses import INDEX_KEY, PAGES_FOLDER, address, page_key
from capstone_dagster.pages.entries import Entry, entry_of
from capstone_dagster.pages.numbers import numbers
from capstone_dagster.pages.page import Contents, environment, render
from capstone_dagster.pages.quality import measures_of, quality, word_of
from capstone_dagster.pages.sources import OF_DAY, Sources
from capstone_dagster.settings import Settings
from capstone_dagster.steps.ended_runs import require_wanted
from capstone_dagster.steps.inputs import require_published
from capstone_dagster.trading_days import trading_days
from spark_code.lake import Lake, StaleAttemptError
from spark_code.schemas import DAILY_SUMMARY
from spark_code.storage import at_once

# How many days the index tells of; so many pages are read whenever a day is published.
PICTURED = 260


@dataclass(frozen=True)
class Page:
    """A page that was written."""

    day: date
    address: str
    index_address: str
    bytes: int
    entry: Entry
    versions: dict[str, str]
    days: int
    """How many days the index lists."""
    seconds: float

    def metadata(self) -> dict[dg.AssetKey, dict[str, Any]]:
        """What the UI shows of page and index; browsers follow the links where the lake is served."""
        page = {
            "page": dg.MetadataValue.url(self.address),
            "sentence": self.entry.sentence,
            "word": self.entry.word,
            **({"because": self.entry.reason} if self.entry.reason else {}),
            "bytes": self.bytes,
            "made_from": dg.MetadataValue.json(self.versions),
            "seconds": round(self.seconds, 2),
        }
        return {PAGE: page, INDEX: {"index": dg.MetadataValue.url(self.index_address), "days": self.days}}


class Pages:
    """The pages of the lake that the settings name."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lake = Lake(settings.lake_uri)

    def publish(self, day: date, run_id: str | None = None, require_right: Callable[[], None] = lambda: None) -> Page:
        """Make the page of a published day anew, and then the index.

        ``require_right`` is asked in the moment in which the page is replaced, and raises to refuse it.
        """
        started = time.monotonic()
        require_published(self._lake, [(table, day) for table in OF_DAY], day, "analytical")
        calendar = trading_days(self._settings.first_trading_day)
        previous = calendar.previous(day)
        _, close = calendar.hours(day)
        sources = Sources.published(self._lake, day, previous)
        measures = measures_of(sources)
        contents = Contents(
            day=day,
            previous=previous,
            close=close.hour * 60 + close.minute,
            word=word_of(measures),
            numbers=numbers(sources),
            quality=quality(sources),
            measures=measures,
            manifests=sources.manifests,
            lake=self._lake.storage.root,
            run_url=f"{self._settings.ui_url}/runs/{run_id}" if run_id else None,
            made_at=datetime.now(UTC),
            has_previous_page=previous is not None
            and sources.before is not None
            and self._lake.storage.exists(page_key(previous)),
        )
        html, entry = render(contents)
        content = html.encode()

        def revise(_: bytes | None) -> bytes:
            require_right()
            if not sources.are_published():
                raise StaleAttemptError(
                    f"the page of {day} was not written: tables that it was made from were published anew meanwhile; "
                    "whoever has published them makes the page"
                )
            return content

        self._lake.storage.replace(page_key(day), revise)
        days = self.publish_index()
        index = address(self._settings, INDEX_KEY)
        return Page(
            day=day,
            address=address(self._settings, page_key(day)),
            index_address=index,
            bytes=len(content),
            entry=entry,
            versions=sources.versions,
            days=days,
            seconds=time.monotonic() - started,
        )

    def publish_in_run(self, day: date, run_id: str, instance: dg.DagsterInstance) -> Page:
        """The same for a run of Dagster, unless it was recorded as ended meanwhile."""
        return self.publish(day, run_id, partial(require_wanted, instance, run_id))

    def publish_index(self) -> int:
        """Make the index anew; returns how many days it lists."""
        listed = 0

        def revise(_: bytes | None) -> bytes:
            nonlocal listed
            pages = {*self._lake.storage.names(PAGES_FOLDER)[1]}
            days = [day for day in reversed(self._lake.pointed(DAILY_SUMMARY)) if f"{day}.html" in pages]
            entries = self._entries(days[:PICTURED])
            listed = len(entries) + len(days[PICTURED:])
            index = environment().get_template("index.html")
            return index.render(entries=entries, earlier=days[PICTURED:], listed=listed).encode()

        self._lake.storage.replace(INDEX_KEY, revise)
        return listed

    def _entries(self, days: Sequence[date]) -> list[Entry]:
        found = at_once(lambda day: entry_of(self._lake, page_key(day)), days)
        return [entry for entry in found if entry]
