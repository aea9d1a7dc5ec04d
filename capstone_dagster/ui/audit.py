"""Who has changed what through the UI: one line of JSON each, in ``logs/ui_audit.log`` of the home and on stderr."""

import json
import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from capstone_dagster.ui.users import User

# Variables and answers may hold anything, also secrets: nothing but the ids of runs and backfills is copied from them.
_ID_KEYS = {"id", "runId", "runIds", "parentRunId", "launchedRunIds", "backfillId", "parentBackfillId"}
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[a-z]{8}")


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
        number = os.open(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(number, "w") as opened:
            opened.write(f"{line}\n")


def ids_in(*texts: Any) -> list[str]:
    """The ids of runs and backfills in variables and answers of GraphQL, each once."""
    return list(dict.fromkeys(found for text in texts for found in _ids(text, "")))


def _ids(value: Any, key: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _ids(each, name)
    elif isinstance(value, list):
        for each in value:
            yield from _ids(each, key)
    elif key in _ID_KEYS and isinstance(value, str) and _ID.fullmatch(value):
        yield value
