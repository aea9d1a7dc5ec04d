"""What is wrong at the end of a soak: each finding is a sentence, and there must be none."""

import json
import time
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast
from unittest.mock import patch

import psutil

from benchmarks.day.same_rows import differences, published
from capstone_dagster.trading_days import trading_days
from capstone_dagster_tests.soak.installation import Installation, processes_of, role_of
from capstone_dagster_tests.soak.plan import FIRST_DAY
from spark_code import garbage, retention
from spark_code.lake import Lake
from spark_code.lake_places import day_folder, kept_manifest, pointer
from spark_code.retention import needed_versions
from spark_code.schemas import QUALITY, TABLES, Table

_HALVES = ("preprocessing", "analytical")
# What is usual, as it was known when the day was published: of days before it that come later, nobody knows.
_OF_DAYS_BEFORE = ("expected_low", "expected_high", "verdict", "sentence")
_BESIDES = {QUALITY.path: _OF_DAYS_BEFORE}
_WAREHOUSE = {"daily_summary": "*", "bars_30m": "*", "quality_measures": "trade_dt, subject, exchange, measure, value"}
# What the server does for a client that has forgotten its transaction.
_FORGOTTEN = """
SELECT count(*) FROM pg_stat_activity
WHERE state LIKE 'idle in transaction%%' AND state_change < now() - interval '30 seconds'
"""
_ADVISORY = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
_CLAIMED = "SELECT count(*) FROM concurrency_slots WHERE run_id IS NOT NULL"
_UNFINISHED = "SELECT run_id, status FROM runs WHERE status NOT IN ('SUCCESS', 'FAILURE', 'CANCELED')"


def rows(soaked: str, clean: str, days: Sequence[date]) -> Iterator[str]:
    """Tables of the one lake that are not those of the other."""
    for day in days:
        with TemporaryDirectory() as copies:
            these, those = published(soaked, day, Path(copies, "soaked")), published(clean, day, Path(copies, "clean"))
            for name in TABLES:
                if name not in these:
                    yield f"{name} of {day} is not published"
                if name not in those:
                    yield f"{name} of {day} is not published by the clean run"
            yield from (f"{day}: {difference}" for difference in differences(these, those, _BESIDES))


def warehouse(soaked: Installation, clean: Installation) -> Iterator[str]:
    """Tables of the one warehouse that are not those of the other."""
    for table, columns in _WAREHOUSE.items():
        sql = f"SELECT {columns} FROM warehouse.{table}"  # noqa: S608 - names of our own
        these, those = (Counter(of.query(sql)) for of in (soaked, clean))
        if these != those:
            yield f"warehouse.{table}: {list((these - those) + (those - these))[:2]} is in only one of both"


def pages(lake: Lake, days: Sequence[date]) -> Iterator[str]:
    """Days whose page does not show what is published."""
    index = (lake.storage.read("report/index.html") or b"").decode()
    for day in days:
        page = (lake.storage.read(f"report/page/{day}.html") or b"").decode()
        manifest = lake.manifest(TABLES["report/daily_summary"], day)
        if manifest and manifest.version not in page:
            yield f"report/page of {day} does not name the version of report/daily_summary that is published"
        if f"page/{day}.html" not in index:
            yield f"report/index does not list {day}"


def statuses(installation: Installation, days: Sequence[date]) -> Iterator[str]:
    """Halves of days that have not succeeded, by the view of the job tracker.

    A daily_pipeline may have failed for lack of the closes of the day before: its halves are made by other runs then.
    """
    found = installation.query("SELECT job_id, status, error FROM job_status")
    by_id = {job_id: (status, error) for job_id, status, error in found}
    for job_id in (f"{job}_{day}" for day in days for job in _HALVES):
        status, error = by_id.get(job_id, ("not recorded", None))
        if status != "SUCCESS":
            yield f"{job_id} is {status}: {error}"


def first_failed_day(installation: Installation) -> date | None:
    """The first day of which a half has failed."""
    sql = "SELECT min(trading_day) FROM job_status WHERE status = 'FAILURE' AND job = ANY(%s)"
    [(day,)] = installation.query(sql, list(_HALVES))
    return cast("date | None", day)


def unexplained_failures(installation: Installation, disk_was_full: Collection[tuple[float, float]]) -> Iterator[str]:
    """Halves of days that failed though the disk was not full, nor the day before had failed: all else must pass."""
    failed = installation.query(
        "SELECT job_id, trading_day, extract(epoch FROM started)::float, extract(epoch FROM ended)::float, error "
        "FROM job_status WHERE status = 'FAILURE' AND job = ANY(%s) ORDER BY trading_day",
        list(_HALVES),
    )
    explained = set[date]()
    for job_id, day, began, ended, error in failed:
        was_full = began and any(start <= ended and began <= end for start, end in disk_was_full)
        if was_full or {day, trading_days(FIRST_DAY).previous(day)} & explained:
            explained.add(day)
        else:
            yield f"{job_id} has failed: {error}"


def run_storage(installation: Installation) -> Iterator[str]:
    """What nobody holds any more at rest."""
    for run_id, status in installation.query(_UNFINISHED):
        yield f"run {run_id} is still {status}"
    for what, sql in {
        "connections have forgotten their transaction": _FORGOTTEN,
        "locks of days are still held": _ADVISORY,
        "slots are still claimed": _CLAIMED,
    }.items():
        [(number,)] = installation.query(sql)
        if number:
            yield f"{number} {what}"


def more_processes(installation: Installation, at_start: Counter[str], patience: float) -> Iterator[str]:
    """Processes that were not there when nothing had happened yet.

    The code starts one with its first run, and keeps it: in it, Python notes what processes share. What ends while you
    are patient, as a process of a sensor does, is no leak.
    """
    usual, deadline = at_start + Counter({"resource tracker": 1}), time.monotonic() + patience
    while (more := installation.roles() - usual) and time.monotonic() < deadline:
        time.sleep(1)
    for role, number in more.items():
        yield f"{number} more of {role} than at the start, among them: {'; '.join(installation.commands(role))}"


def living(home: Path) -> Iterator[str]:
    """Processes that outlive the platform."""
    for process in processes_of(home):
        with suppress(psutil.NoSuchProcess):  # by now it has ended
            yield f"process {process.pid} ({role_of(process)}) still works in {home}"


def left_behind(temp: Path, killed: int) -> Iterator[str]:
    """Temporary files, but for one of each kind that a killed process could not remove."""
    kinds = Counter(_kind(path.name) for path in temp.iterdir())
    for kind, number in kinds.items():
        if number > killed:
            yield f"{number} temporary files {kind}... in {temp}, and {killed} processes were killed"


def _kind(name: str) -> str:
    """Names of one kind begin alike."""
    return "tmp" if name.startswith("tmp") else name.partition("-")[0]


def orphans(lake: Lake) -> tuple[int, list[str]]:
    """How many things were removed as if two days had passed, and what is left that no published day needs."""
    removed = 0
    with (
        patch.object(garbage, "MIN_AGE_TO_REMOVE", timedelta()),
        patch.object(retention, "MIN_AGE_TO_REMOVE", timedelta()),
    ):
        for found in garbage.garbage(lake, lambda _: False):
            if found.is_garbage:
                garbage.remove(lake, found)
                removed += 1
    needed = set(_needed(lake))
    return removed, [
        f"{stored.key} is left, and no published day needs it"
        for stored in lake.storage.objects("")
        if stored.key not in needed and not stored.key.rsplit("/", 1)[-1].startswith(".")
    ]


def _needed(lake: Lake) -> Iterator[str]:
    """The objects of the published versions and of those before them, as docs/data_flow.md lists them."""
    yield "report/index.html"
    for table in TABLES.values():
        for manifest in lake.published(table):
            day = date.fromisoformat(manifest.trade_dt)
            yield pointer(table, day)
            yield f"report/page/{day}.html"
            yield from _objects_of(table, day, manifest.version, manifest.paths)
            for version in needed_versions(manifest, lake.keep_versions)[1:]:
                kept = json.loads(lake.storage.read(kept_manifest(table, version)) or b'{"paths": []}')
                yield from _objects_of(table, day, version, kept["paths"])


def _objects_of(table: Table, day: date, version: str, paths: Sequence[str]) -> Sequence[str]:
    return [*paths, kept_manifest(table, version), f"{day_folder(table, version, day)}/_SUCCESS"]
