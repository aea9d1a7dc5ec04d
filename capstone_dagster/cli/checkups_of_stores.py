"""What ``capstone doctor`` looks at in databases and storages: whether they answer, and let us do what we must.

In the lake it writes, replaces and deletes one object of its own, and changes nothing else.
"""

import time
import uuid
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path

import psycopg2
from botocore.config import Config

from capstone_dagster.cli.checkups import Finding
from capstone_dagster.run_storage.instance import without_password
from capstone_dagster.run_storage.postgres_server import PostgresServer
from capstone_dagster.settings import Settings
from spark_code.locations import shown
from spark_code.raw_files import SOURCES
from spark_code.schemas import TABLES
from spark_code.storage import Storage

_CONNECT_SECONDS = 5
_PATIENCE = Config(connect_timeout=_CONNECT_SECONDS, read_timeout=_CONNECT_SECONDS, retries={"total_max_attempts": 2})
# Tokens and ages are told by clocks: attempts at a day are seconds apart, and versions younger than a day stay.
_CLOCK_WARNING, _CLOCK_WRONG = 5.0, 120.0
_SET_CLOCK = "let NTP set the clock of this machine: timedatectl set-ntp true"
_PROBE = ".capstone_doctor_"


def database(settings: Settings) -> Finding:
    """Whether the run storage answers, has the tables of this release, and the time of this machine."""
    url, server = settings.postgres_url, PostgresServer(settings.home.resolve())
    if not url or url == server.url:
        if not server.is_alive():
            return Finding("ok", "the embedded Postgres is not running; the commands that need it start it")
        url = server.url
    try:
        with closing(psycopg2.connect(url, connect_timeout=_CONNECT_SECONDS)) as connection:
            cursor = connection.cursor()
            cursor.execute("SELECT extract(epoch FROM clock_timestamp())::float8")
            [(theirs,)] = cursor.fetchall()
            ahead = time.time() - theirs
    except psycopg2.Error as error:
        return Finding(
            "wrong",
            f"the run storage cannot be used: {_reason(url, error)}",
            "start the server, or fix CAPSTONE_POSTGRES_URL",
        )
    return _of_clock(ahead, "the database's") or _of_tables(url)


def _reason(url: str, error: psycopg2.Error) -> str:
    """In words, or only of which kind: what is said about a URL that cannot be parsed quotes parts of it."""
    return shown(without_password(url, error)) if isinstance(error, psycopg2.OperationalError) else type(error).__name__


def _of_tables(url: str) -> Finding:
    from dagster_postgres import PostgresRunStorage  # noqa: PLC0415 - takes 0.7 s, when a server answers

    current, newest = PostgresRunStorage(url, should_autocreate_tables=False).alembic_version()
    if current == newest:
        return Finding("ok", f"the run storage answers, and has the tables of this release ({newest})")
    verdict = "it has no tables of Dagster yet" if current is None else f"its tables are of another release ({current})"
    return Finding("warning" if current is None else "wrong", f"the run storage answers; {verdict}", "capstone migrate")


def warehouse(settings: Settings) -> Finding:
    """Whether the database of the warehouse answers, if it has one of its own."""
    url = settings.warehouse_url
    if not settings.warehouse or not url:
        where = "in the database of the run storage" if settings.warehouse else "switched off"
        return Finding("ok", f"the warehouse is {where}")
    try:
        psycopg2.connect(url, connect_timeout=_CONNECT_SECONDS).close()
    except psycopg2.Error as error:
        return Finding(
            "wrong",
            f"the warehouse cannot be used: {_reason(url, error)}",
            "start its server, fix CAPSTONE_WAREHOUSE_URL, or switch it off: CAPSTONE_WAREHOUSE=false",
        )
    return Finding("ok", "the warehouse answers")


def raw_files(settings: Settings) -> Finding:
    """Whether the raw folder can be listed, and has days of every exchange."""
    storage = Storage(settings.raw_uri)
    storage.require_bucket(_PATIENCE)
    days = {source.exchange: len(storage.folders(source.format)) for source in SOURCES}
    found = ", ".join(f"{exchange} {number}" for exchange, number in days.items())
    if not all(days.values()):
        return Finding(
            "warning",
            f"{shown(storage.root)} has no days of {' and '.join(name for name in days if not days[name])}",
            "see that CAPSTONE_RAW_URI names the folder above csv and json, and that the exchanges deliver",
        )
    return Finding("ok", f"{shown(storage.root)} can be listed; folders of days: {found}")


def lake(settings: Settings) -> Finding:
    """Whether this machine may list, write, replace and delete in the lake, and whose clock is right."""
    return of_lake(Storage(settings.lake_uri))


def of_lake(storage: Storage) -> Finding:
    """The same of any storage."""
    storage.require_bucket(_PATIENCE)
    if storage.is_local and not Path(storage.root).exists():
        return Finding("ok", f"{shown(storage.root)} does not exist yet; the first day that is published makes it")
    published = sum(len(storage.names(f"{path}/_published")[1]) for path in TABLES)
    probe = f"{_PROBE}{uuid.uuid4().hex}"
    try:
        storage.write(probe, b"written")
        now, written = datetime.now(UTC), storage.find(probe)
        ahead = (now - written.last_modified).total_seconds() if written else 0.0
        if not _refuses_a_late_writer(storage, probe):
            return Finding(
                "wrong",
                f"{shown(storage.root)} lets two writers replace one object at the same time: it ignores If-Match",
                "use a store with conditional puts, as S3 has them",
            )
    finally:
        storage.delete([probe])
        if storage.is_local:
            with suppress(OSError):
                Path(storage.uri(f".{probe}.lock")).unlink(missing_ok=True)
    return _of_clock(ahead, "the lake's storage's") or Finding(
        "ok",
        f"{shown(storage.root)} can be listed, written, replaced and deleted; {published:,} published days of tables",
    )


def _refuses_a_late_writer(storage: Storage, probe: str) -> bool:
    """Whether a replace notices that somebody has written in between; a local path has a lock for that."""
    asked = 0

    def revise(_: bytes | None) -> bytes:
        nonlocal asked
        asked += 1
        if asked == 1 and not storage.is_local:
            storage.write(probe, b"of somebody else")
        return b"replaced"

    storage.replace(probe, revise)
    return storage.is_local or asked > 1


def _of_clock(ahead: float, whose: str) -> Finding | None:
    """A finding if the clock of this machine is not right; positive seconds are ahead."""
    if abs(ahead) < _CLOCK_WARNING:
        return None
    found = f"the clock of this machine is {abs(ahead):,.0f} s {'ahead of' if ahead > 0 else 'behind'} {whose}"
    return Finding("wrong" if abs(ahead) >= _CLOCK_WRONG else "warning", found, _SET_CLOCK)
