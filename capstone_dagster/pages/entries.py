"""What the index says of a day: it stands in the head of the day's page, so that the two cannot disagree."""

import json
import logging
from dataclasses import asdict, dataclass
from datetime import date
from html.parser import HTMLParser
from typing import Self

from spark_code.lake import Lake

_log = logging.getLogger(__name__)

META = "capstone-day"
# The entry is among the first elements of a page; it is looked for no further than here.
_HEAD_BYTES = 64 * 1024


@dataclass(frozen=True)
class Entry:
    """One day in the index."""

    day: date
    word: str
    reason: str
    sentence: str
    picture: str

    def to_json(self) -> str:
        """As the page holds it."""
        return json.dumps(asdict(self) | {"day": self.day.isoformat()}, ensure_ascii=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what a page holds; fields of a newer release are ignored."""
        found = {name: value for name, value in json.loads(text).items() if name in cls.__dataclass_fields__}
        return cls(**found | {"day": date.fromisoformat(found["day"])})


def entry_of(lake: Lake, key: str) -> Entry | None:
    """What the page of this key says; None if the page has gone in the meantime, or says nothing of a day.

    So what somebody else has put there, or an older release, is left out of the index, and stops no other day.
    """
    page = lake.storage.open(key, at_once=_HEAD_BYTES)
    if page is None:
        return None
    head = _Head()
    head.feed(page.read(_HEAD_BYTES).decode(errors="replace"))
    try:
        return Entry.from_json(head.content)
    except (ValueError, TypeError, KeyError) as error:
        _log.warning(
            "%s is no page of a trading day, and not in the index: %r; delete it", lake.storage.uri(key), error
        )
        return None


class _Head(HTMLParser):
    """Finds the entry in the head of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.content = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "meta" and given.get("name") == META:
            self.content = self.content or given.get("content") or ""
