"""Locks in the database of the run storage, between processes on any machine."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from dagster_postgres import PostgresRunStorage
from sqlalchemy import Connection, text
from sqlalchemy.exc import SQLAlchemyError

_LONGEST_WAIT = "60s"  # work under a lock takes milliseconds, an upgrade of the tables perhaps seconds


@contextmanager
def locked(storage: PostgresRunStorage, subject: str) -> Iterator[Connection]:
    """Hold the lock of a subject; the server releases it when the connection ends, also if this process is killed."""
    key = {"subject": subject}
    with storage.connect() as connection:
        connection.execute(text(f"SET lock_timeout = '{_LONGEST_WAIT}'"))
        connection.execute(text("SELECT pg_advisory_lock(hashtextextended(:subject, 0))"), key)
        try:
            yield connection
        finally:
            # Pooled connections outlive this block. A connection that was lost has released its lock.
            with suppress(SQLAlchemyError):
                connection.execute(text("SELECT pg_advisory_unlock(hashtextextended(:subject, 0))"), key)
                connection.execute(text("RESET lock_timeout"))
