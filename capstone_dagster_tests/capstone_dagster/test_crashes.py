"""A run killed with SIGKILL at any point: readers see whole days only, and a re-run mends everything.

Real processes over the embedded Postgres. The child kills itself at the point it is told, so that
the point is exact; what it runs is the command line people type.
"""

import json
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from capstone_dagster_tests.platform import Platform, Rows
from spark_code.schemas import EVENTS, QUOTE_ANALYTICS, QUOTES, TABLES, TRADES, Table

DAY = date(2020, 8, 5)

# Where the child dies -> the tables that are published by then. The order is that of the run.
POINTS = {
    "before reading": (),
    "while writing ingested/events": (),
    "written, not audited: ingested/events": (),
    "audited, not published: eod/trades": (EVENTS,),
    "published, not tidied up: eod/trades": (EVENTS, TRADES),
    "published, not reported to Dagster: report/quote_analytics": tuple(
        table for table in TABLES.values() if table.name != "daily_summary"
    ),
}

CHILD = """
import os, signal, sys, threading, time
from pathlib import Path

point, table = sys.argv[1].split(": ") if ": " in sys.argv[1] else (sys.argv[1], "")
die = lambda: os.kill(os.getpid(), signal.SIGKILL)

def die_before(owner, name, is_meant):
    real = getattr(owner, name)
    def fake(*args, **kwargs):
        if is_meant(*args):
            die()
        return real(*args, **kwargs)
    setattr(owner, name, fake)

def die_while_writing(data, before):
    while not any(any(version.glob("*/_temporary")) for version in set(data.glob("*")) - before):
        time.sleep(0.001)
    die()

from capstone_dagster import cli, io_managers
from spark_code import lake, raw_files

if point == "before reading":
    die_before(raw_files.RawFolder, "deliveries", lambda *_: True)
elif point == "while writing ingested/events":
    data = Path(os.environ["CAPSTONE_HOME"], "lake/ingested/events/data")
    before = set(data.glob("*"))
    threading.Thread(target=die_while_writing, args=(data, before), daemon=True).start()
elif point == "written, not audited":
    die_before(lake.Lake, "_audit", lambda self, draft, *_: draft.table.path == table)
elif point == "audited, not published":
    die_before(lake.Lake, "_point_to", lambda self, of, *_: of.path == table)
elif point == "published, not tidied up":
    die_before(lake.Lake, "_retire", lambda self, of, *_: of.path == table)
elif point == "published, not reported to Dagster":
    die_before(io_managers, "materialization_metadata", lambda of, *_: of.path == table)
else:
    sys.exit(f"no such point: {point}")
sys.argv[1:] = sys.argv[2:]
cli.main()
"""


def _rows(platform: Platform) -> dict[str, Rows]:
    return {table.path: platform.rows(table, DAY) for table in TABLES.values()}


@contextmanager
def _reading(platform: Platform, table: Table, allowed: list[Rows]) -> Iterator[None]:
    """Read a table over and over: every look must show one of the allowed states."""
    stop, odd, looks = threading.Event(), [], []

    def look() -> None:
        while not stop.is_set():
            rows = platform.rows(table, DAY) if platform.manifest(table, DAY) else []
            looks.append(len(rows))
            if rows not in allowed:
                odd.append(rows)
            time.sleep(0.02)

    reader = threading.Thread(target=look)
    reader.start()
    try:
        yield
    finally:
        stop.set()
        reader.join()
    assert looks
    assert not odd


@pytest.fixture(scope="module")
def clean(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Rows]]:
    """What undisturbed runs make of the first and of the second delivery of the day."""
    del spark
    made = {}
    for seed in (1, 2):
        platform = Platform(tmp_path_factory.mktemp("clean"), DAY)
        platform.sample(DAY, seed=seed)
        assert platform.run("daily_pipeline", DAY).success
        made[seed] = _rows(platform)
    assert all(made[1][path] != made[2][path] for path in made[1])
    return made


def test_a_killed_run_shows_nothing_half_done_and_a_rerun_equals_a_clean_run(
    clean: dict[int, dict[str, Rows]], tmp_path: Path
) -> None:
    platform = Platform(tmp_path / "killed", DAY)
    child = tmp_path / "child.py"
    child.write_text(CHILD)
    platform.sample(DAY, seed=1)

    # Killed on the first delivery: readers see nothing yet.
    for point in ("while writing ingested/events", "audited, not published: ingested/events"):
        killed = platform.capstone(point, "run", DAY.isoformat(), program=(sys.executable, str(child)))
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert not list((tmp_path / "killed" / "lake").rglob("_published/*.json"))

    # Published once, delivered anew, and killed at every point: readers see the old day or the new.
    assert platform.run("daily_pipeline", DAY).success
    assert _rows(platform) == clean[1]
    platform.sample(DAY, seed=2)
    states = [clean[1][QUOTES.path], clean[2][QUOTES.path]]
    for point, published in POINTS.items():
        with _reading(platform, QUOTES, states):
            killed = platform.capstone(point, "run", DAY.isoformat(), program=(sys.executable, str(child)))
        assert killed.returncode == -signal.SIGKILL, f"{point}: {killed.stdout}{killed.stderr}"
        expected = {path: clean[2 if any(table.path == path for table in published) else 1][path] for path in TABLES}
        assert _rows(platform) == expected, point
        # The next point starts from the first day again, as if only this run had been killed.
        platform.sample(DAY, seed=1)
        assert platform.run("daily_pipeline", DAY).success
        assert _rows(platform) == clean[1], point
        platform.sample(DAY, seed=2)

    # A last run of the command line, undisturbed.
    with _reading(platform, QUOTE_ANALYTICS, [clean[1][QUOTE_ANALYTICS.path], clean[2][QUOTE_ANALYTICS.path]]):
        ran = platform.capstone("run", DAY.isoformat())
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert _rows(platform) == clean[2]

    # None of the killed runs is in progress for ever, and the tracker counts them all.
    history = json.loads(platform.capstone("history", f"daily_pipeline_{DAY}", "--json").stdout)
    assert [attempt["status"] for attempt in history] == ["FAILURE"] * (2 + len(POINTS)) + ["SUCCESS"]
    assert all("is gone without a result" in attempt["reason"] for attempt in history[:-1])
