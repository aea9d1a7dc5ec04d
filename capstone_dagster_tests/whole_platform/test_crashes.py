"""A run that is killed or frozen at any point: readers see whole days only, and a re-run mends everything.

Real processes over the embedded Postgres. The child kills itself at the point it is told, so that
the point is exact; what it runs is the command line people type. Others are killed at moments drawn by chance.
"""

import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from capstone_dagster_tests.servers.platform import CAPSTONE, Platform, Rows
from capstone_dagster_tests.servers.processes import eventually, heard
from spark_code.schemas import BARS, DAILY_SUMMARY, EVENTS, QUOTE_ANALYTICS, QUOTES, TABLES, TRADES, Table

_log = logging.getLogger(__name__)

DAY = date(2020, 8, 5)

# Where the child dies -> the tables that are published by then. The order is that of the run.
POINTS = {
    "before reading": (),
    "while writing ingested/events": (),
    "written, not audited: ingested/events": (),
    "audited, not published: eod/trades": (EVENTS,),
    "published, not tidied up: eod/trades": (EVENTS, TRADES),
    "published, not reported to Dagster: report/quote_analytics": tuple(
        table for table in TABLES.values() if table not in (DAILY_SUMMARY, BARS)
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

from capstone_dagster.cli import main
from capstone_dagster.steps import lake_io_manager
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
    die_before(lake_io_manager, "materialization_metadata", lambda of, *_: of.path == table)
else:
    sys.exit(f"no such point: {point}")
sys.argv[1:] = sys.argv[2:]
main.main()
"""


def _rows(platform: Platform) -> dict[str, Rows]:
    return {table.path: platform.rows(table, DAY) for table in TABLES.values()}


@contextmanager
def _reading(platform: Platform, allowed: dict[Table, list[Rows]]) -> Iterator[list[int]]:
    """Read tables over and over: every look must show one of the allowed states, in files of one version."""
    stop, odd, looks, published = threading.Event(), list[object](), list[int](), set[Table]()

    def look() -> None:
        nonlocal published
        while not stop.is_set():
            for table, states in allowed.items():
                before, rows = platform.manifest(table, DAY), list[tuple[object, ...]]()
                try:
                    rows = platform.rows(table, DAY) if before else []
                    is_whole = (
                        all(before.version in path for path in before.paths) if before else table not in published
                    )
                    published |= {table} if before else set()
                except Exception as error:  # noqa: BLE001 -- shown by the assertion below
                    odd.append(error)
                    continue
                if rows not in states or not is_whole:
                    odd.append((table.path, rows))
                looks.append(len(rows))
            time.sleep(0.02)

    reader = threading.Thread(target=look)
    reader.start()
    try:
        yield looks
    finally:
        stop.set()
        reader.join()
    assert looks
    assert not odd


@pytest.fixture(scope="module")
def published(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Platform]:
    """Days as undisturbed runs make them of the first and of the second delivery."""
    del spark
    made = {}
    for seed in (1, 2):
        made[seed] = Platform(tmp_path_factory.mktemp("clean"), DAY)
        made[seed].sample(DAY, seed=seed)
        assert made[seed].run("daily_pipeline", DAY).success
    return made


@pytest.fixture(scope="module")
def clean(published: dict[int, Platform]) -> dict[int, dict[str, Rows]]:
    """Their rows."""
    made = {seed: _rows(platform) for seed, platform in published.items()}
    assert all(made[1][path] != made[2][path] for path in made[1])
    return made


@pytest.fixture
def delivered_again(published: dict[int, Platform], tmp_path: Path) -> Platform:
    """The day of the first delivery, and the second in the raw folder."""
    platform = Platform(tmp_path / "killed", DAY)
    shutil.copytree(published[1].folder, platform.folder)
    platform.sample(DAY, seed=2)
    return platform


def _kill(platform: Platform, point: str) -> None:
    """Run the day, and kill the run at the point."""
    program = (sys.executable, "-c", CHILD)
    killed = platform.capstone(point, "run", DAY.isoformat(), program=program)
    assert killed.returncode == -signal.SIGKILL, killed.stdout + killed.stderr


def _history(platform: Platform) -> list[dict[str, str]]:
    history: list[dict[str, str]] = json.loads(platform.capstone("history", f"daily_pipeline_{DAY}", "--json").stdout)
    return history


@pytest.mark.faults
def test_a_run_of_a_new_day_that_is_killed_shows_nothing_and_is_no_longer_in_progress(tmp_path: Path) -> None:
    platform = Platform(tmp_path / "killed", DAY)
    platform.sample(DAY, seed=1)
    for point in ("while writing ingested/events", "audited, not published: ingested/events"):
        _kill(platform, point)
        assert not list(platform.folder.glob("lake/**/_published/*.json"))
    history = _history(platform)
    assert [attempt["status"] for attempt in history] == ["FAILURE"] * 2
    assert all("is gone without a result" in attempt["reason"] for attempt in history)


@pytest.mark.faults
@pytest.mark.parametrize(("point", "published_by_then"), POINTS.items(), ids=POINTS)
def test_a_killed_run_shows_nothing_half_done_and_a_rerun_equals_a_clean_run(
    clean: dict[int, dict[str, Rows]], delivered_again: Platform, point: str, published_by_then: tuple[Table, ...]
) -> None:
    # Readers see the old day or the new.
    with _reading(delivered_again, {QUOTES: [clean[1][QUOTES.path], clean[2][QUOTES.path]]}):
        _kill(delivered_again, point)
    new = {table.path for table in published_by_then}
    assert _rows(delivered_again) == {path: clean[2 if path in new else 1][path] for path in TABLES}

    assert delivered_again.run("daily_pipeline", DAY).success
    assert _rows(delivered_again) == clean[2]
    (killed,) = _history(delivered_again)  # the other run was of this process, and its storage in memory
    assert killed["status"] == "FAILURE"
    assert "is gone without a result" in killed["reason"]


@pytest.mark.faults
def test_after_a_killed_run_the_command_line_publishes_the_day_and_the_tracker_counts_both(
    clean: dict[int, dict[str, Rows]], delivered_again: Platform
) -> None:
    _kill(delivered_again, "published, not tidied up: eod/trades")
    new = {EVENTS.path, TRADES.path}
    assert _rows(delivered_again) == {path: clean[2 if path in new else 1][path] for path in TABLES}

    with _reading(delivered_again, {QUOTE_ANALYTICS: [clean[seed][QUOTE_ANALYTICS.path] for seed in (1, 2)]}):
        ran = delivered_again.capstone("run", DAY.isoformat())
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert _rows(delivered_again) == clean[2]

    # The killed run is not in progress for ever.
    killed, succeeded = _history(delivered_again)
    assert (killed["status"], succeeded["status"]) == ("FAILURE", "SUCCESS")
    assert "is gone without a result" in killed["reason"]


@contextmanager
def _begun(platform: Platform, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """A command line that works, in a group of processes of its own, as a terminal would start it."""
    with (
        heard(signal.SIGINT),
        subprocess.Popen(
            [CAPSTONE, *arguments],
            env=os.environ | platform.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.faults
def test_whenever_a_run_is_killed_or_interrupted_readers_see_whole_days_and_the_next_command_works(
    clean: dict[int, dict[str, Rows]], tmp_path: Path, rounds: Callable[[int], int]
) -> None:
    platform, drawn, begun = Platform(tmp_path / "killed", DAY), random.Random(5), 0  # noqa: S311 -- of moments
    states = {table: [[], clean[1][table.path], clean[2][table.path]] for table in TABLES.values()}
    seconds = 15.0  # of a run; from the first round on, of the one before
    with platform.instance(), _reading(platform, states) as looks:
        for number in range(rounds(1)):
            seed = 1 + number % 2
            platform.sample(DAY, seed=seed)
            moment, how = drawn.uniform(0, seconds), drawn.choice([signal.SIGKILL, signal.SIGINT])
            with _begun(platform, "run", DAY.isoformat()) as process:
                time.sleep(moment)
                os.killpg(process.pid, how) if how == signal.SIGINT else process.kill()
                output, _ = process.communicate(timeout=120)
            begun += "ingested/events ..." in output
            told = f"{how.name} after {moment:.2f} s: exit {process.returncode}\n{output}"
            if output:  # before that, nothing has begun
                assert "Traceback" not in output, told
                assert process.returncode or "published report/daily_summary" in output, told

            started = time.monotonic()
            ran = platform.capstone("run", DAY.isoformat())
            seconds = time.monotonic() - started
            assert ran.returncode == 0, told + ran.stdout + ran.stderr
            assert _rows(platform) == clean[seed], told
            beside = {path.name for path in (tmp_path / "killed" / "lake").glob("*/*/_published/*")}
            assert beside == {f"{DAY}.json", f".{DAY}.json.lock"}, told
            _log.info("%s; %d looks of the reader", told.split("\n", 1)[0], len(looks))
        history = _history(platform)
    # Every command that had begun is an attempt, and has ended.
    assert {attempt["status"] for attempt in history} <= {"SUCCESS", "FAILURE", "CANCELED"}
    assert begun <= len(history) - rounds(1) <= rounds(1)


@pytest.mark.faults
def test_a_frozen_run_that_was_recorded_as_canceled_publishes_nothing_when_it_wakes(tmp_path: Path) -> None:
    platform, job = Platform(tmp_path / "frozen", DAY), f"preprocessing_{DAY}"
    platform.sample(DAY)
    data = tmp_path / "frozen" / "lake" / "ingested" / "events" / "data"
    with platform.instance() as instance:
        with _begun(platform, "run", DAY.isoformat(), "--job", "preprocessing") as zombie:
            eventually(lambda: list(data.glob("*/*/_temporary")), pause=0.005)
            zombie.send_signal(signal.SIGSTOP)
            (frozen,) = instance.get_runs()
            instance.report_run_canceled(frozen, "Canceled by somebody in the UI.")
            other = platform.capstone("run", DAY.isoformat(), "--job", "preprocessing")
            zombie.send_signal(signal.SIGCONT)
            output, _ = zombie.communicate(timeout=120)
        history = json.loads(platform.capstone("history", job, "--json").stdout)

    assert other.returncode == 0, other.stdout + other.stderr
    assert zombie.returncode == 1, output
    assert "Traceback" not in output
    assert [attempt["status"] for attempt in history] == ["CANCELED", "SUCCESS"]
    manifests = [platform.manifest(table, DAY) for table in (EVENTS, QUOTES, TRADES)]
    assert {manifest and manifest.run_id for manifest in manifests} == {history[1]["run_id"]}
    assert history[0]["reason"].startswith("Canceled by somebody in the UI.; the run was recorded as CANCELED at ")
    assert history[0]["reason"].endswith("; what it has computed since is not published".removeprefix("; "))
