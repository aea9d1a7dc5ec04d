"""A run storage on a real server with the view job_status, and what psql would show of it."""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import date, timedelta
from itertools import count
from typing import Any
from urllib.parse import quote

import dagster as dg
import psycopg2
import pytest

from capstone_dagster.job_status.view import migrate
from capstone_dagster.run_storage.instance import ready
from capstone_dagster.settings import Settings

Rows = list[tuple[Any, ...]]

_VARIABLES = ("CAPSTONE_POSTGRES_URL", "DAGSTER_HOME", "DAGSTER_COMPUTE_LOGS")


class Database:
    """One for all tests of a file; each has days of its own."""

    def __init__(self, instance: dg.DagsterInstance, url: str) -> None:
        self.instance = instance
        self._url = url
        self._days = (date(2021, 1, 1) + timedelta(days=number) for number in count())

    def next_day(self) -> date:
        """A day that is after all others."""
        return next(self._days)

    def url_of(self, user: str) -> str:
        return self._url.replace("//postgres@", f"//{quote(user)}@")

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
def job_status_database() -> Iterator[Database]:
    """The embedded server below a folder that its user may enter, which is not so of ``tmp_path``."""
    with pytest.MonkeyPatch.context() as environment, tempfile.TemporaryDirectory() as home:
        for variable in _VARIABLES:
            environment.setenv(variable, "")
        with ready(Settings.from_mapping({"CAPSTONE_HOME": home})), dg.DagsterInstance.get() as instance:
            migrate(instance)
            yield Database(instance, os.environ["CAPSTONE_POSTGRES_URL"])
