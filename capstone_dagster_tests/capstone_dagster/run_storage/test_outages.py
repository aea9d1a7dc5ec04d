"""A server that is really down for a while, and the connections that outlast it."""

import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg2
import pytest
import sqlalchemy
from sqlalchemy import Column, Integer, MetaData, String, Table, event, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import OperationalError, ProgrammingError

from capstone_dagster.run_storage import outages
from capstone_dagster.run_storage.embedded_postgres import serving
from capstone_dagster.run_storage.outages import OUTAGE_SECONDS, outlasting_restarts

# What a daemon does: it sets up Dagster's loggers, loads the launcher when it needs it, and loses a connection.
DAEMON = """
import logging, sys
from dagster._utils.log import configure_loggers
from capstone_dagster.runs.launcher import DayRunLauncher

configure_loggers()
for does in sys.argv[1:]:
    if does == "loads":
        DayRunLauncher()
    else:
        logging.warning("Retrying failed database connection")
logging.getLogger("dagster.daemon").info("Checking for new runs")
logging.getLogger("dagster.daemon").warning("A run is late")
"""

EVENTS = Table(
    "told", MetaData(), Column("id", Integer, primary_key=True), Column("run", String), Column("word", String)
)

WAITS = "the run storage does not answer; waiting for it up to 180 s"


class Server:
    """The embedded server below a home; its client's engine is older than every outage, and as Dagster's are."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._use = ExitStack()
        self.engine = sqlalchemy.create_engine(
            self.start(), poolclass=sqlalchemy.NullPool, isolation_level="AUTOCOMMIT"
        )

    def start(self) -> str:
        return self._use.enter_context(serving(self._home))

    def stop(self) -> None:
        self._use.close()

    def restart(self) -> None:
        """Cuts every connection."""
        self.stop()
        self.start()

    def answer(self) -> int:
        """Over a new connection."""
        with self.engine.connect() as connection:
            answer: int = connection.execute(text("SELECT 42")).scalar_one()
            return answer


class Clock:
    """Stands for ``time``: pauses pass at once, and what was to happen in them happens."""

    def __init__(self) -> None:
        self.now = 0.0
        self.in_the_next_pause: Callable[[], object] | None = None

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        happens, self.in_the_next_pause = self.in_the_next_pause, None
        if happens:
            happens()


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """Not below ``tmp_path``, where the server's user may not go."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture
def server(home: Path) -> Iterator[Server]:
    server = Server(home)
    yield server
    server.stop()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(outages, "time", clock)
    return clock


def test_a_connection_waits_for_a_server_that_is_down_for_three_seconds(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    server.stop()
    back = threading.Timer(3, server.start)
    back.start()

    try:
        with outlasting_restarts():
            assert server.answer() == 42
    finally:
        back.join()
    assert caplog.messages == [WAITS]


def test_nobody_waits_for_a_server_that_is_up(server: Server, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    with outlasting_restarts():
        assert server.answer() == 42

    assert clock.now == 0
    assert caplog.messages == []


def test_a_server_that_stays_down_is_given_up_once_and_then_fails_at_once(
    server: Server, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    server.stop()

    with outlasting_restarts():
        with pytest.raises(OperationalError, match="No such file or directory"):
            server.answer()
        given_up = clock.now
        with pytest.raises(OperationalError, match="No such file or directory"):
            server.answer()

    assert OUTAGE_SECONDS < given_up < OUTAGE_SECONDS + 10
    assert clock.now == given_up
    assert caplog.messages == [WAITS]


def test_the_outage_that_is_outlasted_can_be_set(server: Server, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outages, "OUTAGE_SECONDS", 5.0)
    server.stop()

    with outlasting_restarts(), pytest.raises(OperationalError):
        server.answer()

    assert 5 < clock.now < 15


def test_a_server_that_was_given_up_is_used_when_it_is_back_and_waited_for_when_it_goes_again(
    server: Server, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    server.stop()

    with outlasting_restarts():
        with pytest.raises(OperationalError):
            server.answer()
        server.start()
        assert server.answer() == 42

        server.stop()
        clock.in_the_next_pause = server.start
        assert server.answer() == 42

    assert caplog.messages == [WAITS, WAITS]


def test_without_a_run_at_stake_a_server_that_is_down_fails_at_once(server: Server, clock: Clock) -> None:
    with outlasting_restarts():
        pass
    server.stop()

    with pytest.raises(OperationalError, match="No such file or directory"):
        server.answer()

    assert clock.now == 0


def test_an_error_of_the_run_ends_the_waiting_too(server: Server, clock: Clock) -> None:
    with pytest.raises(ZeroDivisionError), outlasting_restarts():
        raise ZeroDivisionError
    server.stop()

    with pytest.raises(OperationalError):
        server.answer()

    assert clock.now == 0


def test_a_run_within_another_s_waiting_leaves_that_in_place(server: Server, clock: Clock) -> None:
    with outlasting_restarts():
        with outlasting_restarts():
            assert server.answer() == 42
        server.stop()
        clock.in_the_next_pause = server.start

        assert server.answer() == 42


def test_a_statement_whose_connection_was_cut_off_is_repeated_once(server: Server) -> None:
    with outlasting_restarts(), server.engine.connect() as connection:
        connection.execute(text("CREATE TABLE events (id serial, name text)"))
        connection.execute(text("INSERT INTO events (name) VALUES ('before')"))
        server.restart()
        connection.execute(text("INSERT INTO events (name) VALUES ('after')"))
        server.restart()
        names = connection.execute(text("SELECT name FROM events ORDER BY id")).scalars().all()

    assert names == ["before", "after"]


def test_a_statement_that_is_cut_off_waits_until_the_server_is_back(server: Server, clock: Clock) -> None:
    with outlasting_restarts(), server.engine.connect() as connection:
        server.stop()
        clock.in_the_next_pause = server.start

        assert connection.execute(text("SELECT 42")).scalar_one() == 42


def test_rows_that_were_asked_for_before_a_restart_can_be_read_after_it(server: Server) -> None:
    with outlasting_restarts(), server.engine.connect() as connection:
        asked_before = connection.execute(text("SELECT generate_series(1, 3)"))
        server.restart()
        connection.execute(text("SELECT 1"))

        assert asked_before.scalars().all() == [1, 2, 3]


def test_a_statement_that_is_wrong_fails_at_once(server: Server, clock: Clock) -> None:
    with outlasting_restarts(), server.engine.connect() as connection:
        with pytest.raises(ProgrammingError, match="no_such_table"):
            connection.execute(text("SELECT * FROM no_such_table"))

        assert connection.execute(text("SELECT 42")).scalar_one() == 42
    assert clock.now == 0


def test_without_a_run_at_stake_a_statement_that_was_cut_off_fails(server: Server) -> None:
    with outlasting_restarts():
        pass

    with server.engine.connect() as connection:
        server.restart()
        with pytest.raises(OperationalError, match=r"terminating connection|server closed the connection"):
            connection.execute(text("SELECT 42"))


@pytest.mark.parametrize("cuts", [1, 2])
@pytest.mark.parametrize("is_kept", [True, False], ids=["committed", "rolled back"])
def test_a_transaction_that_was_cut_off_is_repeated_as_a_whole(server: Server, cuts: int, is_kept: bool) -> None:
    with server.engine.connect() as connection:
        connection.execute(text("DROP TABLE IF EXISTS told"))
        connection.execute(text("CREATE TABLE told (word text)"))

    with outlasting_restarts(), server.engine.connect() as plain:
        connection = plain.execution_options(isolation_level="READ COMMITTED")
        with connection.begin() as transaction:
            for number, word in enumerate("abc"):
                if 0 < number <= cuts:
                    server.restart()
                connection.execute(text("INSERT INTO told VALUES (:word)"), {"word": word})
            if not is_kept:
                transaction.rollback()

    with server.engine.connect() as connection:
        kept = connection.execute(text("SELECT word FROM told ORDER BY word")).scalars().all()
    assert kept == (["a", "b", "c"] if is_kept else [])


@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("is_returning", [True, False])
def test_what_was_inserted_before_the_answer_was_lost_is_not_inserted_twice(
    server: Server, rows: int, *, is_returning: bool
) -> None:
    with server.engine.connect() as connection:
        connection.execute(text("DROP TABLE IF EXISTS told"))
        EVENTS.create(connection)
    answers = iter([psycopg2.OperationalError("server closed the connection unexpectedly"), None])

    def lose_the_answer(connection: sqlalchemy.Connection, cursor: object, statement: str, *rest: object) -> None:
        del cursor, rest
        if "INSERT" in statement and (lost := next(answers)):
            connection.connection.close()
            raise lost

    values = [{"run": "one", "word": word} for word in ("begun", None)]
    inserting = EVENTS.insert().values(values[:rows] if rows > 1 else values[0])
    event.listen(server.engine, "after_cursor_execute", lose_the_answer)
    try:
        with outlasting_restarts(), server.engine.connect() as connection:
            result = connection.execute(inserting.returning(EVENTS.c.id) if is_returning else inserting)
            told = [row.id for row in result.fetchall()] if is_returning else None
            connection.execute(EVENTS.insert().values(run="two", word="begun"))  # it is another, and inserted
    finally:
        event.remove(server.engine, "after_cursor_execute", lose_the_answer)

    with server.engine.connect() as connection:
        kept = connection.execute(select(EVENTS).order_by(EVENTS.c.id)).all()
    assert [(row.run, row.word) for row in kept] == [*[("one", "begun"), ("one", None)][:rows], ("two", "begun")]
    assert told is None or told == [row.id for row in kept[:rows]]


@pytest.mark.parametrize("word", ["begun", "ended"])
def test_what_replaces_a_row_is_repeated_when_it_was_cut_off(server: Server, word: str) -> None:
    with server.engine.connect() as connection:
        connection.execute(text("DROP TABLE IF EXISTS told"))
        EVENTS.create(connection)
        connection.execute(EVENTS.insert().values(id=1, run="one", word="begun"))
    replacing = insert(EVENTS).values(id=1, run="one", word=word)

    with outlasting_restarts(), server.engine.connect() as connection:
        server.restart()
        connection.execute(replacing.on_conflict_do_update(index_elements=["id"], set_={"word": word}))
        kept = connection.execute(select(EVENTS)).all()

    assert [(row.id, row.run, row.word) for row in kept] == [(1, "one", word)]


@pytest.mark.parametrize("order", [("loads", "loses"), ("loses", "loads")])
def test_the_lines_of_the_daemon_come_once_also_after_an_outage(order: tuple[str, str]) -> None:
    ran = subprocess.run([sys.executable, "-c", DAEMON, *order], capture_output=True, text=True, check=True)

    lines = (ran.stdout + ran.stderr).splitlines()
    for said in ("Retrying failed database connection", "Checking for new runs", "A run is late"):
        assert sum(said in line for line in lines) == 1, lines
