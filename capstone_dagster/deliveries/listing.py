"""Lists the raw folder day by day with few list calls: on S3 one call brings up to a thousand objects of many days.

The objects become deliveries; those that are part of no delivery are misplaced. ``deliveries.scan`` decides which days
to list.
"""

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from capstone_dagster.deliveries.misplaced_files import Misplaced, beside_deliveries
from spark_code.locations import StorageError
from spark_code.raw_files import Delivery, RawFolder, Source, UnreadableNameError
from spark_code.storage import OddKeyError, Storage, StoredObject


@dataclass(frozen=True)
class Arrival:
    """What one exchange has put into the raw folder for a day."""

    delivery: Delivery
    unreadable: str | None = None
    """Why no run could read it, or None; an unreadable delivery is empty."""


@dataclass(frozen=True)
class RawDay:
    """The raw files of a day."""

    arrivals: Sequence[Arrival]
    """One of every exchange, in the order of the sources."""
    misplaced: Sequence[Misplaced]


class DayReader:
    """Reads days, fastest in chronological order."""

    def __init__(self, raw: RawFolder, day_folders: Mapping[str, Collection[str]]) -> None:
        self.raw = raw
        self._listings = {top: _Listing(raw.storage, top, days) for top, days in day_folders.items()}

    @property
    def list_calls(self) -> int:
        """How many list calls it has made."""
        return sum(listing.calls for listing in self._listings.values())

    def read(self, day: date) -> RawDay:
        """List the raw files of a day."""
        arrivals: dict[Source, Arrival] = {}
        misplaced: list[Misplaced] = []
        for top, listing in self._listings.items():
            sources = [source for source in self.raw.sources if source.format == top]
            try:
                listed = listing.of(day)
            except StorageError as error:
                if not self.raw.storage.is_local and not isinstance(error, OddKeyError):
                    raise
                # A name that the store cannot decode hides all others of its folder; the other days can be read.
                arrivals |= {source: self._unreadable(source, day, error) for source in sources}
            else:
                arrivals |= {source: self._arrival(source, day, listed) for source in sources}
                misplaced += beside_deliveries(self.raw, top, day, listed)
        misplaced += [
            Misplaced(source.folder(day), found.unreadable) for source, found in arrivals.items() if found.unreadable
        ]
        return RawDay([arrivals[source] for source in self.raw.sources], misplaced)

    def _arrival(self, source: Source, day: date, listed: Sequence[StoredObject]) -> Arrival:
        try:
            return Arrival(self.raw.delivery(source, day, listed))
        except UnreadableNameError as error:
            return self._unreadable(source, day, error)

    def _unreadable(self, source: Source, day: date, error: Exception) -> Arrival:
        return Arrival(Delivery(source, day, self.raw.storage, ()), unreadable=str(error))


class _Listing:
    """The objects of one format, a page at a time."""

    def __init__(self, storage: Storage, top: str, day_folders: Collection[str]) -> None:
        self.calls = 0
        self._storage = storage
        self._top = top
        self._day_folders = day_folders
        self._coming: Iterator[list[StoredObject]] = iter(())
        self._page: deque[StoredObject] = deque()
        self._at = ""
        """The folder that was listed last."""
        self._has_ended = False

    def of(self, day: date) -> list[StoredObject]:
        """The objects at any depth below the folder of a day; a folder that does not exist costs no call."""
        folder = f"{self._top}/{day}"
        if f"{day}" not in self._day_folders:
            return []
        if self._storage.is_local:
            return self._storage.objects(folder)
        if not self._reaches(folder):
            self._coming = self._storage.pages(self._top, after=folder)
            self._page.clear()
            self._has_ended = False
        self._at = folder
        try:
            return list(self._below(f"{folder}/"))
        except OddKeyError:  # of this day, or of a later one on the same page
            self._at = ""
            return self._storage.objects(folder)

    def _reaches(self, folder: str) -> bool:
        """Whether the current page reaches the folder; if not, a call that starts there costs no more than the next."""
        is_further_on = self._has_ended or bool(self._page and self._page[-1].key > folder)
        return bool(self._at) and self._at < folder and is_further_on

    def _below(self, folder: str) -> Iterator[StoredObject]:
        while self._page or self._turn():
            stored = self._page[0]
            if stored.key.startswith(folder):
                yield stored
            elif stored.key > folder:
                return
            self._page.popleft()

    def _turn(self) -> bool:
        """Fetch the next page; returns whether there was one."""
        page = next(self._coming, None)
        self.calls += page is not None
        self._has_ended = not page
        self._page.extend(page or ())
        return bool(page)
