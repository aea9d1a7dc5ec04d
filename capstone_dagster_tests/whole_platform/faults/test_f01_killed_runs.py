"""A run that is killed or interrupted at any moment: readers see whole days only, and the next run mends everything.

Real processes over the embedded Postgres, killed at moments drawn by chance, or amid the writing of Spark, which
``test_f01_killed_at_every_write`` does not see.
"""

import json
import logging
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from capstone_dagster_tests.fault_report import Tally
from capstone_dagster_tests.servers.dying_capstone import published_by, writes_of
from capstone_dagster_tests.servers.platform import Platform, Rows
from capstone_dagster_tests.servers.processes import eventually, heard
from capstone_dagster_tests.servers.steady_reader import reading
from capstone_dagster_tests.whole_platform.faults.conftest import DAY
from spark_code.schemas import EVENTS, QUOTE_ANALYTICS, QUOTES, TABLES, TRADES

_log = logging.getLogger(__name__)

# Before a run in peace: what killed runs leave behind adds up.
KILLS_IN_A_ROW = 5


def kill_while_writing(platform: Platform) -> None:
    """Kill a run of the day while Spark writes its first table."""
    data = platform.folder / "lake" / EVENTS.path / "data"
    before = set(data.glob("*"))
    with platform.begun("run", f"{DAY}") as process:
        eventually(
            lambda: any(any(version.glob("*/_temporary")) for version in set(data.glob("*")) - before), pause=0.001
        )
        process.kill()


def history_of(platform: Platform) -> list[dict[str, str]]:
    history: list[dict[str, str]] = json.loads(platform.capstone("history", f"daily_pipeline_{DAY}", "--json").stdout)
    return history


@pytest.mark.faults("F1")
def test_a_run_of_a_new_day_that_is_killed_shows_nothing_and_is_no_longer_in_progress(tmp_path: Path) -> None:
    platform = Platform(tmp_path / "killed", DAY)
    platform.sample(DAY, seed=1)
    kill_while_writing(platform)
    assert not list(platform.folder.glob("lake/**/_published/*.json"))
    writes_of(platform, DAY, f"{EVENTS.path}/_published", 1)
    assert not list(platform.folder.glob("lake/**/_published/*.json"))
    history = history_of(platform)
    assert [attempt["status"] for attempt in history] == ["FAILURE"] * 2
    assert all("is gone without a result" in attempt["reason"] for attempt in history)


@pytest.mark.faults("F1")
def test_a_run_killed_while_spark_writes_leaves_the_old_day_to_readers_and_a_rerun_equals_a_clean_run(
    clean: dict[int, dict[str, Rows]], delivered_again: Platform, tally: Tally
) -> None:
    with reading(delivered_again, DAY, {QUOTES: [clean[1][QUOTES.path]]}, tally):
        kill_while_writing(delivered_again)
    assert delivered_again.rows_of_all_tables(DAY) == clean[1]

    assert delivered_again.run("daily_pipeline", DAY).success
    for path, rows in delivered_again.rows_of_all_tables(DAY).items():
        tally.compare(rows, clean[2][path])
    (killed,) = history_of(delivered_again)  # the other run was of this process, and its storage in memory
    assert killed["status"] == "FAILURE"
    assert "is gone without a result" in killed["reason"]


@pytest.mark.faults("F1")
def test_after_a_killed_run_the_command_line_publishes_the_day_and_the_tracker_counts_both(
    clean: dict[int, dict[str, Rows]], delivered_again: Platform, tally: Tally
) -> None:
    new = published_by(writes_of(delivered_again, DAY, f"{QUOTES.path}/_published", 1), DAY)
    assert {EVENTS.path, TRADES.path} <= new
    assert delivered_again.rows_of_all_tables(DAY) == {path: clean[2 if path in new else 1][path] for path in TABLES}

    states = {QUOTE_ANALYTICS: [clean[seed][QUOTE_ANALYTICS.path] for seed in (1, 2)]}
    with reading(delivered_again, DAY, states, tally):
        ran = delivered_again.capstone("run", DAY.isoformat())
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert delivered_again.rows_of_all_tables(DAY) == clean[2]

    # The killed run is not in progress for ever.
    killed, succeeded = history_of(delivered_again)
    assert (killed["status"], succeeded["status"]) == ("FAILURE", "SUCCESS")
    assert "is gone without a result" in killed["reason"]


@pytest.mark.faults("F1")
def test_whenever_a_run_is_killed_or_interrupted_readers_see_whole_days_and_the_next_command_works(
    clean: dict[int, dict[str, Rows]], tmp_path: Path, rounds: Callable[[int], int], tally: Tally
) -> None:
    platform, drawn = Platform(tmp_path / "killed", DAY), random.Random(5)  # noqa: S311 -- of moments
    states = {table: [[], clean[1][table.path], clean[2][table.path]] for table in TABLES.values()}
    begun, whole_runs = 0, 0
    seconds = 15.0  # of a run; from the first whole one on, of that before
    with platform.instance(), reading(platform, DAY, states, tally) as looks:
        for number in range(1, rounds(1) + 1):
            seed = 1 + number % 2
            platform.sample(DAY, seed=seed)
            moment, how = drawn.uniform(0, seconds), drawn.choice([signal.SIGKILL, signal.SIGINT])
            with heard(signal.SIGINT), platform.begun("run", DAY.isoformat()) as process:
                time.sleep(moment)
                os.killpg(process.pid, how) if how == signal.SIGINT else process.kill()
                output, _ = process.communicate(timeout=120)
            begun += "ingested/events ..." in output
            told = f"{how.name} after {moment:.2f} s: exit {process.returncode}\n{output}"
            if output:  # before that, nothing has begun
                assert "Traceback" not in output, told
                assert process.returncode or "published report/daily_summary" in output, told
            tally.survive()
            _log.info("%s; %d looks of the reader", told.split("\n", 1)[0], len(looks))
            if number % KILLS_IN_A_ROW and number < rounds(1):
                continue

            started, whole_runs = time.monotonic(), whole_runs + 1
            ran = platform.capstone("run", DAY.isoformat())
            seconds = time.monotonic() - started
            assert ran.returncode == 0, told + ran.stdout + ran.stderr
            assert platform.rows_of_all_tables(DAY) == clean[seed], told
            beside = {path.name for path in (tmp_path / "killed" / "lake").glob("*/*/_published/*")}
            assert beside == {f"{DAY}.json", f".{DAY}.json.lock"}, told
        history = history_of(platform)
    # Every command that had begun is an attempt, and has ended.
    assert {attempt["status"] for attempt in history} <= {"SUCCESS", "FAILURE", "CANCELED"}
    assert begun <= len(history) - whole_runs <= rounds(1)
