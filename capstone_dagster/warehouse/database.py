"""Connections to the database of the warehouse, whose errors tell what passes by itself from what people must mend."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import psycopg2

from capstone_dagster.run_storage.instance import without_password
from spark_code.errors import ExpectedError

# Who may read the warehouse, and nothing else.
READER = "warehouse_reader"

_CONNECT_SECONDS = 10
# What a URL may also say of its user behind the question mark.
_OF_THE_OWNER = ("user", "password", "passfile", "sslpassword")
# Longer than any load of a day waits for another load of the same day. A lost client's locks are released when the
# server misses it: by these keepalives after about two minutes, and at once where its process was killed.
_SESSION = """
SET lock_timeout = '15min'; SET client_encoding = 'UTF8'; SET tcp_keepalives_idle = 60;
SET tcp_keepalives_interval = 15; SET tcp_keepalives_count = 4
"""
# What no second try mends, of what the driver calls operational.
_DISK_FULL, _NO_RIGHT = "53100", "42501"
_GRANT = "; grant it to the user of the database, or switch the warehouse off: CAPSTONE_WAREHOUSE=false"
_FINAL = ("authentication failed", "no password supplied", "does not exist", "pg_hba.conf", "permission denied")


class WarehouseError(ExpectedError):
    """The warehouse refuses something, and people must mend it."""


class WarehouseAwayError(ConnectionError):
    """The database does not answer, or has cut the work off: it is rolled back, and may be tried again."""


def reader_url(url: str) -> str:
    """The same database for the role that only reads; it holds no password."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    kept = [(name, value) for name, value in parse_qsl(parts.query) if name not in _OF_THE_OWNER]
    return urlunsplit(parts._replace(netloc=f"{quote(READER)}@{place}", query=urlencode(kept, safe="/")))


@contextmanager
def connected(url: str | None, **options: Any) -> Iterator[Any]:
    """A connection of psycopg2 for the duration, with errors in sentences that hold no password."""
    if url is None:
        raise WarehouseError(
            "the warehouse has no database: name one in CAPSTONE_WAREHOUSE_URL, or start Dagster by capstone, which "
            "starts the embedded one"
        )
    try:
        with closing(psycopg2.connect(url, connect_timeout=_CONNECT_SECONDS, **options)) as connection:
            # So that what follows a lock sees what its last holder has committed.
            connection.set_session(isolation_level="READ COMMITTED", autocommit=False)
            with connection, connection.cursor() as cursor:
                cursor.execute(_SESSION)
            yield connection
    except (psycopg2.OperationalError, psycopg2.InterfaceError) as error:
        reason = without_password(url, error)
        if error.pgcode == _DISK_FULL or (error.pgcode is None and any(final in reason for final in _FINAL)):
            raise WarehouseError(f"the database of the warehouse cannot be used: {reason}") from None
        raise WarehouseAwayError(f"the database of the warehouse does not answer: {reason}") from None
    except psycopg2.Error as error:
        if error.pgcode is None:  # the driver could not read the URL, and would repeat it
            raise WarehouseError("CAPSTONE_WAREHOUSE_URL: the driver cannot read this URL") from None
        context = error.diag.context or ""
        where = f" ({context})" if context and "inline_code_block" not in context else ""
        what_to_do = _GRANT if error.pgcode == _NO_RIGHT else ""
        raise WarehouseError(f"the warehouse refuses this: {error.diag.message_primary}{where}{what_to_do}") from None
