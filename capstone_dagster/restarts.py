"""A run outlasts a restart of its run storage: connecting waits for the server to come back.

Dagster tries again for about ten seconds, which a failover or an upgrade of the server outlasts. Only
while a run works: whoever asks with no run at stake shall hear at once that the server is down.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from sqlalchemy import Dialect, Engine, event

_log = logging.getLogger(__name__)

OUTAGE_SECONDS = 180.0
_PAUSE_SECONDS = 1.0


class _Patience:
    """One wait per outage, however many callers ask: after it they fail at once until the server is back."""

    def __init__(self) -> None:
        self._down_since: float | None = None

    def connect(self, dialect: Dialect, record: Any, arguments: Any, options: Any) -> Any:
        del record
        while True:
            try:
                connection = dialect.connect(*arguments, **options)
            except psycopg2.OperationalError:
                now = time.monotonic()
                if self._down_since is None:
                    self._down_since = now
                    _log.warning("the run storage does not answer; waiting for it up to %d s", OUTAGE_SECONDS)
                if now - self._down_since > OUTAGE_SECONDS:
                    raise
                time.sleep(_PAUSE_SECONDS)
            else:
                self._down_since = None
                return connection


@contextmanager
def outlasting_restarts() -> Iterator[None]:
    """For the duration, every connection this process makes to the run storage waits for the server."""
    connect = _Patience().connect
    event.listen(Engine, "do_connect", connect)
    try:
        yield
    finally:
        event.remove(Engine, "do_connect", connect)
