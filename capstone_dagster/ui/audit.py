"""Who has changed what through the UI: one line of JSON each, in ``logs/ui_audit.log`` of the home and on stderr.

A full file is renamed to ``ui_audit.log.1``, that to ``ui_audit.log.2``, and so on; the oldest is dropped.
"""

import json
import os
import re
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import click

from capstone_dagster.ui.users import User

# Variables and answers may hold anything, also secrets: nothing but the ids of runs and backfills is copied from them.
_RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Many words look like the id of a backfill: it counts in these places alone.
_BACKFILL_KEYS, _BACKFILL_ID = {"id", "backfillId", "parentBackfillId"}, re.compile(r"[a-z]{8}")
# As large as Spark's logs, but more of them: a million lines in all, so that few are lost to somebody who tries
# passwords for months.
_MOST_BYTES, _OLDER_FILES = 20_000_000, 9


class Audit:
    """Appends lines to a file."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "ui_audit.log"

    def note(self, what: str, user: User | None, address: str, **facts: object) -> None:
        """Write a line; the text of others in it is escaped."""
        line = json.dumps(
            {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "what": what,
                "user": user.name if user else None,
                "role": user.role if user else None,
                "from": address,
                **facts,
            }
        )
        click.echo(line, err=True)
        self._file.parent.mkdir(parents=True, exist_ok=True)
        if self._file.exists() and self._file.stat().st_size >= _MOST_BYTES:
            self._begin_anew()
        number = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(number, "w") as opened:
            opened.write(f"{line}\n")

    def _begin_anew(self) -> None:
        older = [self._file.with_name(f"{self._file.name}.{number}") for number in range(1, _OLDER_FILES + 1)]
        for newer, oldest in reversed([*pairwise([self._file, *older])]):
            if newer.exists():
                newer.replace(oldest)


def ids_in(*texts: Any) -> list[str]:
    """The ids of runs and backfills in variables and answers of GraphQL, each once."""
    found, waiting = [], [("", text) for text in reversed(texts)]
    while waiting:  # not a recursion, which what is nested deeply could break
        key, value = waiting.pop()
        if isinstance(value, dict):
            waiting += reversed(value.items())
        elif isinstance(value, list):
            waiting += [(key, each) for each in reversed(value)]
        elif isinstance(value, str) and (
            _RUN_ID.fullmatch(value) or (key in _BACKFILL_KEYS and _BACKFILL_ID.fullmatch(value))
        ):
            found.append(value)
    return list(dict.fromkeys(found))
