"""What ``capstone doctor`` looks at on this machine: each check is a function that gives one finding.

Databases and storages are in ``checkups_of_stores``. A check that finds something wrong raises an expected error, or
returns a finding with what to do.
"""

import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from http.client import HTTPConnection, HTTPException
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import psutil
from packaging.requirements import Requirement

from capstone_dagster.cli.prerequisites import require_java, require_python
from capstone_dagster.run_storage.postgres_server import PostgresServer
from capstone_dagster.run_storage.private_folders import recorded_folder
from capstone_dagster.settings import Settings
from capstone_dagster.steps.s3_jars import require_for
from capstone_dagster.trading_days import NEW_YORK, trading_days
from capstone_dagster.wording import few
from spark_code.locations import shown
from spark_code.nyse_calendar import LAST_KNOWN_DAY
from spark_code.wording import counted

Verdict = Literal["ok", "warning", "wrong"]

_GIB = 1 << 30
# Of free disk: a day of some millions of events takes less than the first, and a run needs space for Spark, too.
_LITTLE_DISK, _NO_DISK = 10 * _GIB, 1 * _GIB
_DAYS_OF_CALENDAR = 90
_LEFT_SECONDS = 86_400
_LOCAL = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Finding:
    """What a check has found, in words, and what to do about it."""

    verdict: Verdict
    found: str
    remedy: str = ""


def python_and_java(settings: Settings) -> Finding:
    """Whether both can be used; Spark on EMR brings its own Java."""
    require_python()
    if settings.deployment != "local":
        return Finding("ok", "Python can be used; the cluster has its own Java")
    require_java()
    return Finding("ok", "Python and Java can be used")


def packages(settings: Settings) -> Finding:
    """Whether what is installed is what this release asks for."""
    del settings
    wrong, names = [], []
    for requirement in map(Requirement, requires("capstone") or ()):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
            continue
        names.append(f"{requirement.name} {found}")
        if not requirement.specifier.contains(found, prereleases=True):
            wrong.append(f"{requirement.name} is {found}, and {requirement.specifier} is needed")
    if wrong:
        return Finding("wrong", "; ".join(wrong), "install what this release was made with: make setup")
    first = [name for name in names if name.startswith(("dagster ", "pyspark "))]
    return Finding("ok", f"{' and '.join(first)}, and {len(names) - len(first)} others that fit")


def jars(settings: Settings) -> Finding:
    """Whether Spark on this machine can work on S3, if it must."""
    require_for(settings)
    return Finding("ok", "the jars for s3:// are there" if settings.spark_needs_s3 else "no jars for s3:// are needed")


def calendar(settings: Settings) -> Finding:
    """Whether the calendar knows today and the days to come."""
    first, today = settings.first_trading_day, datetime.now(NEW_YORK).date()
    days = trading_days(first)
    left = (LAST_KNOWN_DAY - today).days
    newer = "install a newer release of this platform"
    if left < 0:
        return Finding("wrong", f"the calendar ends with {LAST_KNOWN_DAY}, and it is {today}", newer)
    if left < _DAYS_OF_CALENDAR:
        return Finding("warning", f"the calendar ends in {counted(left, 'day')}, with {LAST_KNOWN_DAY}", newer)
    if days.first > today:
        return Finding(
            "warning",
            f"the first trading day, {days.first}, is in the future",
            "set CAPSTONE_FIRST_TRADING_DAY to an earlier day",
        )
    return Finding("ok", f"trading days from {days.first} to {LAST_KNOWN_DAY}")


def memory(settings: Settings) -> Finding:
    """Whether Spark gets the memory that it is told to take."""
    if settings.deployment != "local":
        return Finding("ok", "Spark runs on the cluster")
    asked = int(settings.driver_memory[:-1]) * (_GIB if settings.driver_memory.endswith("g") else _GIB // 1024)
    machine = psutil.virtual_memory()
    smaller = f"set CAPSTONE_DRIVER_MEMORY to less, such as {max(1, machine.total // _GIB // 2)}g"
    wants = f"CAPSTONE_DRIVER_MEMORY={settings.driver_memory}"
    if asked > machine.total:
        return Finding("wrong", f"{wants} is more than the {machine.total / _GIB:.1f} GiB of this machine", smaller)
    if asked > machine.available:
        return Finding(
            "warning",
            f"{wants} is more than the {machine.available / _GIB:.1f} GiB that are free now",
            f"end other programs, or {smaller}",
        )
    return Finding("ok", f"{wants}, and {machine.available / _GIB:.1f} GiB are free")


def disk(settings: Settings) -> Finding:
    """Whether there is space where this machine writes."""
    places = {settings.home, Path(tempfile.gettempdir())}
    places |= {Path(uri) for uri in (settings.lake_uri, settings.raw_uri) if not uri.startswith("s3://")}
    free = {place: shutil.disk_usage(_existing(place)).free for place in places}
    least = min(free, key=lambda place: free[place])
    found = f"{free[least] / _GIB:.1f} GiB are free below {least}"
    if free[least] >= _LITTLE_DISK:
        return Finding("ok", found)
    return Finding(
        "wrong" if free[least] < _NO_DISK else "warning", found, "make space; capstone gc removes old versions"
    )


def _existing(place: Path) -> Path:
    return next(above for above in (place, *place.parents) if above.exists())


def leftovers(settings: Settings) -> Finding:
    """Whether processes that are gone have left files behind that nobody removes."""
    found = [f"{path}" for path in _left(settings.home)]
    if not found:
        return Finding("ok", "nothing is left of processes that are gone")
    return Finding("warning", f"left by processes that are gone: {shown(few(found, 3, ', '))}", "remove them")


def _left(home: Path) -> Iterator[Path]:
    """What is older than a day, and of this user."""
    server, before = PostgresServer(home.resolve()), time.time() - _LEFT_SECONDS
    recorded = recorded_folder(home / ".postgres.socket")
    temporary = Path(tempfile.gettempdir())
    left = [*home.glob(".postgres.unfinished.*"), *home.glob("spark_code.??????")]
    left += [folder for folder in temporary.glob("capstone-*") if folder != recorded]
    if not server.is_alive():
        left += [home / "postgres" / name for name in ("postmaster.pid", ".s.PGSQL.5432", ".s.PGSQL.5432.lock")]
    for path in left:
        try:
            state = path.lstat()
        except OSError:
            continue
        if state.st_uid == os.geteuid() and state.st_mtime < before and not _is_served(path):
            yield path


def _is_served(folder: Path) -> bool:
    """Whether the database of another home listens in it."""
    for path in folder.glob(".s.PGSQL.*"):
        with socket.socket(socket.AF_UNIX) as client, suppress(OSError):
            client.settimeout(3)
            client.connect(f"{path}")
            return True
    return False


def port(settings: Settings) -> Finding:
    """Whether the UI can listen, or who answers in its place."""
    address = urlsplit(settings.ui_url)
    number = address.port or (443 if address.scheme == "https" else 80)
    if address.hostname not in _LOCAL:
        return Finding("ok", f"the UI is on another machine, or behind a proxy: {settings.ui_url}")
    with socket.socket() as client:
        client.settimeout(3)
        if client.connect_ex(("127.0.0.1", number)):
            return Finding("ok", f"port {number} is free for the UI")
    try:
        with closing(HTTPConnection("127.0.0.1", number, timeout=3)) as asking:
            asking.request("GET", "/server_info")
            is_ours = b'"dagster_webserver_version"' in asking.getresponse().read(10_000)
    except (OSError, HTTPException):
        is_ours = False
    if is_ours:
        return Finding("ok", f"a UI of Dagster answers on port {number}")
    return Finding(
        "warning",
        f"another program listens on port {number}",
        "end it, or use another port: capstone dev --port 3001, and set CAPSTONE_UI_URL",
    )
