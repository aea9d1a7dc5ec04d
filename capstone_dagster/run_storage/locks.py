"""Locks in the database of the run storage, between processes on whatever machine."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from dagster_postgres import PostgresRunStorage
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

_LONGEST_WAIT = "60s"  # what is done under a lock takes milliseconds, an upgrade of the tables perhaps seconds


@contextmanager
def locked(storage: PostgresRunStorage, subject: str) -> Iterator[Connection]:
    """Hold the lock of a subject; it goes with the connection, also if this process is killed."""
    key = {"subject": subject}
    with storage.connect() as connection:
        connection.execute(text(f"SET lock_timeout = '{_LONGEST_WAIT}'"))
        connection.execute(text("SELECT pg_advisory_lock(hashtextextended(:subject, 0))"), key)
        try:
            yield connection
        finally:
            # Where connections are pooled, they outlive this block. One that was lost took its lock along.
            with suppress(SQLAlchemyError):
                connection.execute(text("SELECT pg_advisory_unlock(hashtextextended(:subject, 0))"), key)
                connection.execute(text("RESET lock_timeout"))
