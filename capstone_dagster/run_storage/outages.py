"""A run outlasts a restart of its run storage: connecting waits for the server, and what was cut off is repeated.

What the server had done already, when it was killed before it could say so, is not done twice.

Dagster tries to connect for about ten seconds, which a failover or an upgrade of the server outlasts, and
gives up a statement that the restart cut off. This is only for runs: any other command fails at once if the
server is down.
"""

import logging
import re
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg2
from sqlalchemy import ColumnElement, Connection, Dialect, Engine, Insert, and_, event, literal, or_, select
from sqlalchemy.dialects.postgresql import Insert as Upsert
from sqlalchemy.engine.cursor import FullyBufferedCursorFetchStrategy
from sqlalchemy.exc import DBAPIError

_log = logging.getLogger(__name__)

OUTAGE_SECONDS = 180.0
_PAUSE_SECONDS = 1.0
_REPEATS = 5  # a statement that itself ends its connection must not be repeated for ever

_Statements = tuple[tuple[Any, Any], ...]


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


class _PersistentConnection(Connection):
    """Repeats what was cut off: a server that is shut down has rolled it back.

    Most of Dagster's connections commit every statement by itself, so that no earlier one is lost with it; where one
    has asked for a real transaction, all of it is repeated. Rows are kept here, because those of an earlier
    statement go with the connection if they are read later.
    """

    _transaction_so_far: _Statements = ()

    def execute(self, *arguments: Any, **options: Any) -> Any:
        statements = (*self._transaction_so_far, (arguments, options))
        result = self._execute_all(statements[-1:], or_else=statements)
        if "isolation_level" in self.get_execution_options():
            self._transaction_so_far = statements
        return result

    def _execute_all(self, statements: _Statements, *, or_else: _Statements, repeats: int = _REPEATS) -> Any:
        try:
            for arguments, options in statements:
                result = super().execute(*arguments, **options)
                if result.returns_rows and result.cursor is not None:
                    result.cursor_strategy = FullyBufferedCursorFetchStrategy(result.cursor)
        except DBAPIError as error:
            if not error.connection_invalidated or not repeats:
                raise
            self._connect_anew()
            done = self._inserted_already(*or_else[0][0]) if len(or_else) == 1 else None
            return done or self._execute_all(or_else, or_else=or_else, repeats=repeats - 1)
        return result

    def _inserted_already(self, statement: Any, parameters: Any = None) -> Any:
        """What an INSERT returns, if its rows are there: the server was killed between commit and answer."""
        is_upsert = isinstance(statement, Upsert) and statement._post_values_clause is not None  # noqa: SLF001
        if is_upsert or not isinstance(statement, Insert):
            return None
        table = statement.table
        rows = or_(*(_same(table.columns, row) for row in _rows(statement, parameters, self.dialect)))
        wanted = select(*(statement._returning or [literal(1)])).where(rows).order_by(*table.primary_key)  # noqa: SLF001
        try:
            found = super().execute(wanted)
        except DBAPIError:
            return None
        found.cursor_strategy = FullyBufferedCursorFetchStrategy(found.cursor)
        return found if found.rowcount else None

    def _connect_anew(self) -> None:
        # It refuses while the transaction of the old connection is not over; that one goes on with the new.
        transaction, self._transaction = self._transaction, None
        try:
            connected = self.connection
        finally:
            self._transaction = transaction
        level = self.get_execution_options().get("isolation_level")
        if level and connected.dbapi_connection:
            self.dialect.set_isolation_level(connected.dbapi_connection, level)


def _rows(statement: Insert, parameters: Any, dialect: Dialect) -> Iterable[Mapping[str, Any]]:
    """The rows of an INSERT, however they were given."""
    given = statement.compile(dialect=dialect).params
    if parameters:
        return [given | row for row in (parameters if isinstance(parameters, list) else [parameters])]
    rows: dict[str, dict[str, Any]] = defaultdict(dict)
    for name, value in given.items():
        column, _, number = name.rpartition("_m") if re.search(r"_m\d+$", name) else (name, "", "0")
        rows[number][column] = value
    return rows.values()


def _same(columns: Any, row: Mapping[str, Any]) -> ColumnElement[bool]:
    return and_(*(columns[name] == value for name, value in row.items() if name in columns))


def keep_log_lines_single() -> None:
    """Let the root logger write only what no other logger has written.

    Dagster warns of a lost connection by ``logging.warning``, which gives a root logger that has no handler one for
    everything: from the first outage on, every line of the daemon would come twice.
    """
    root = logging.getLogger()
    if not root.handlers:
        root.addHandler(logging.StreamHandler())
        root.handlers[0].setLevel(logging.WARNING)  # as Python itself does without a handler
    for handler in root.handlers:
        if type(handler) is logging.StreamHandler and _is_written_by_root_alone not in handler.filters:
            handler.addFilter(_is_written_by_root_alone)


def _is_written_by_root_alone(record: logging.LogRecord) -> bool:
    logger: logging.Logger | None = logging.getLogger(record.name)
    while logger and logger.parent:
        if logger.handlers:
            return False
        logger = logger.parent
    return True


@contextmanager
def outlasting_restarts() -> Iterator[None]:
    """For the duration, this process waits for the server of the run storage, and goes on where it was cut off."""
    keep_log_lines_single()
    connect, connection_class = _Patience().connect, Engine._connection_cls  # noqa: SLF001 - there is no public way
    event.listen(Engine, "do_connect", connect)
    Engine._connection_cls = _PersistentConnection  # noqa: SLF001
    try:
        yield
    finally:
        Engine._connection_cls = connection_class  # noqa: SLF001
        event.remove(Engine, "do_connect", connect)
