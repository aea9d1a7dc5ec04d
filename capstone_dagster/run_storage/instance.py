"""Dagster's home and run storage, which must be ready before Dagster starts.

The storage is the server that CAPSTONE_POSTGRES_URL names, or the embedded one. Enter ``ready`` before you open a
Dagster instance; it also sets the environment so that child processes (``dagster dev``, ``dg``) find the same storage.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg2
from psycopg2.extensions import parse_dsn

from capstone_dagster.run_storage.embedded_postgres import exclusive, is_of, serve_to_the_end, serving
from capstone_dagster.run_storage.private_folders import own_folder, own_home
from capstone_dagster.settings import CHECKOUT, Settings
from spark_code.errors import ExpectedError
from spark_code.storage import Storage

_CONNECT_SECONDS = 5
_LIBPQ = {
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "host": "PGHOST",
    "port": "PGPORT",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "options": "PGOPTIONS",
}


class RunStorageError(ExpectedError):
    """The server that the setting names cannot be used; the message contains no password."""


@contextmanager
def ready(settings: Settings) -> Iterator[None]:
    """Provide Dagster's home and a reachable Postgres for the duration."""
    with ExitStack() as stack:
        own_home(settings.home)
        own_folder(settings.log_dir)
        url = settings.postgres_url
        is_embedded = not url or is_of(settings.home, url)
        if is_embedded or not url:
            url = stack.enter_context(serving(settings.home))
        else:
            _check(url)
        os.environ["CAPSTONE_POSTGRES_URL"] = url
        # Dagster writes times with a zone into columns without one, and reads them as UTC.
        os.environ["PGTZ"] = "UTC"
        os.environ["DAGSTER_HOME"] = str(_dagster_home(settings.home))
        os.environ["DAGSTER_COMPUTE_LOGS"] = str(settings.log_dir / "runs")
        with _errors_as_sentences():
            if is_embedded:
                _make_tables(settings.home, url)
            yield


def keep_up(settings: Settings) -> None:
    """In a process that Dagster has started: keep the embedded server, if that is the storage, running to the end.

    The server was already up, but the processes that use it may end before this one, and Dagster records the run's
    result after the last step.
    """
    if settings.postgres_url and is_of(settings.home, settings.postgres_url):
        serve_to_the_end(settings.home)


def _make_tables(home: Path, url: str) -> None:
    """Let Dagster create all its tables in the embedded server before anybody reads them.

    It commits each table by itself, and creates none if the first one exists. So after an interruption, start over.
    """
    all_made = home / "postgres" / ".tables_made"
    if all_made.exists():
        return
    with exclusive(home):
        if all_made.exists():
            return
        _drop_unused_tables(url)
        from dagster import DagsterInstance  # noqa: PLC0415 - takes 0.5 s, once in the life of a home

        with DagsterInstance.get():
            all_made.touch()


def _drop_unused_tables(url: str) -> None:
    """Drop the tables unless a run was recorded: earlier releases did not note that their tables are complete."""
    with closing(psycopg2.connect(url, connect_timeout=_CONNECT_SECONDS)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('runs') IS NOT NULL")
        [(has_table,)] = cursor.fetchall()
        if has_table:
            cursor.execute("SELECT FROM runs LIMIT 1")
            if cursor.fetchall():
                return
        cursor.execute("SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'")
        for (table,) in cursor.fetchall():
            cursor.execute(f"DROP TABLE {table} CASCADE")
        connection.commit()


@contextmanager
def _errors_as_sentences() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        from dagster_postgres.utils import DagsterPostgresException  # noqa: PLC0415 - takes 0.7 s, after an error
        from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - the same

        if not isinstance(error, DagsterPostgresException | SQLAlchemyError):
            raise
        cause = " ".join(str(error.__cause__ or error).split())
        raise RunStorageError(f"the run storage failed; what was published stays, try again: {cause}") from error


def libpq_environment(url: str | None = None) -> dict[str, str]:
    """The environment variables of libpq with which psql and similar programs reach a database, or the run storage."""
    given: dict[str, str] = parse_dsn(url or os.environ["CAPSTONE_POSTGRES_URL"])
    return {_LIBPQ[name]: value for name, value in given.items() if name in _LIBPQ}


def _dagster_home(home: Path) -> Path:
    folder = home / "dagster"
    own_folder(folder)
    # Replaced atomically: a Dagster that starts at this moment must not read half of it.
    Storage(str(folder)).write("dagster.yaml", (CHECKOUT / "deploy" / "dagster.yaml").read_bytes())
    return folder


def _check(url: str) -> None:
    try:
        psycopg2.connect(url, connect_timeout=_CONNECT_SECONDS).close()
    except psycopg2.OperationalError as error:
        reason = without_password(url, error)
        raise RunStorageError(f"CAPSTONE_POSTGRES_URL: the server cannot be used: {reason}") from None
    except psycopg2.Error:
        # The driver could not read the URL, and its message would repeat it, including the password.
        raise RunStorageError(
            "CAPSTONE_POSTGRES_URL: the driver cannot read this URL; escape special characters of user and password "
            "(% is %25, @ is %40) and check the options behind ?"
        ) from None


def without_password(url: str, error: Exception) -> str:
    """The message of the server or the network; it names host, port, user and database."""
    reason = " ".join(str(error).split())
    for secret in {urlsplit(url).password, unquote(urlsplit(url).password or "")} - {None, ""}:
        reason = reason.replace(str(secret), "***")
    return reason
