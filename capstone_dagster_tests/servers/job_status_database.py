"""A run storage on a real server with the view job_status, and what psql would show of it."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import date, timedelta
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import dagster as dg
import psycopg2
import pytest
from dagster_postgres import PostgresRunStorage

from capstone_dagster.job_status.view import migrate
from capstone_dagster.run_storage.instance import ready
from capstone_dagster.settings import Settings

Rows = list[tuple[Any, ...]]

# The runs first: they refer to other tables, and what refers to them goes with them.
_DELETION = """
SELECT string_agg(format('DELETE FROM %I', tablename), '; ' ORDER BY tablename <> 'runs') FROM pg_tables
WHERE schemaname = 'public' AND tablename NOT IN ('alembic_version', 'instance_info', 'secondary_indexes')
"""
_VARIABLES = ("CAPSTONE_POSTGRES_URL", "DAGSTER_HOME", "DAGSTER_COMPUTE_LOGS")


class Database:
    """One for all tests of a process; each has days of its own."""

    def __init__(self, instance: dg.DagsterInstance, url: str) -> None:
        self.instance = instance
        self._url = url
        [(self._deletion,)] = self.query(_DELETION)
        self._days = (date(2021, 1, 1) + timedelta(days=number) for number in count())

    def wipe(self) -> None:
        """Nothing has happened yet: what ``instance.wipe`` does, in one go."""
        storage = self.instance.run_storage
        assert isinstance(storage, PostgresRunStorage)
        with storage.connect() as connection:
            connection.exec_driver_sql(self._deletion)

    def next_day(self) -> date:
        """A day that is after all others."""
        return next(self._days)

    def url_of(self, user: str) -> str:
        return self._url.replace("//postgres@", f"//{quote(user)}@")

    @contextmanager
    def instance_of(self, user: str, home: Path) -> Iterator[dg.DagsterInstance]:
        """Another instance over the same storage, which this role of the database has opened."""
        named = {"CAPSTONE_HOME": str(home), "CAPSTONE_POSTGRES_URL": self.url_of(user)}
        with _without_variables(), ready(Settings.from_mapping(named)), dg.DagsterInstance.get() as instance:
            yield instance

    def query(self, sql: str, parameters: Sequence[object] = (), *, user: str = "postgres") -> Rows:
        with closing(psycopg2.connect(self.url_of(user))) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            cursor.execute(sql, parameters or None)
            rows: Rows = cursor.fetchall() if cursor.description else []
            return rows

    def jobs_of(self, day: date, *, user: str = "postgres") -> Rows:
        """The first columns of the view's rows of one day."""
        return [row[:5] for row in self.all_of(day, user=user)]

    def all_of(self, day: date, *, user: str = "postgres") -> Rows:
        """The same with all columns."""
        return self.query("SELECT * FROM job_status WHERE trading_day = %s ORDER BY 1", [day], user=user)

    def all_of_newest(self) -> Rows:
        """All columns of the view's rows of the newest day that has any."""
        [(newest,)] = self.query("SELECT max(trading_day) FROM job_status")
        return self.all_of(newest)


@contextmanager
def _without_variables() -> Iterator[pytest.MonkeyPatch]:
    """Those that a ready storage sets; they are as they were when this is undone."""
    with pytest.MonkeyPatch.context() as environment:
        for variable in _VARIABLES:
            environment.setenv(variable, "")
        yield environment


@contextmanager
def job_status_database() -> Iterator[Database]:
    """The embedded server below a folder that its user may enter, which is not so of ``tmp_path``."""
    with (
        _without_variables() as environment,
        tempfile.TemporaryDirectory() as home,
        ready(Settings.from_mapping({"CAPSTONE_HOME": home})),
        dg.DagsterInstance.get() as instance,
    ):
        migrate(instance)
        # As the webserver does: hundreds of runs over one connection.
        instance.optimize_for_webserver(statement_timeout=60_000, pool_recycle=600, max_overflow=10)
        database = Database(instance, os.environ["CAPSTONE_POSTGRES_URL"])
        for setting in ("fsync", "synchronous_commit"):  # nobody needs it after a loss of power
            database.query(f"ALTER SYSTEM SET {setting} TO off")
        database.query("SELECT pg_reload_conf()")
        assert instance.compute_log_manager  # finds its folder in the environment
        environment.undo()  # the tests of this process have homes of their own
        yield database
