"""A run that is killed before each of its writes, one after the other. A run in peace shows which there are."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from capstone_dagster_tests.fault_report import Tally
from capstone_dagster_tests.servers.dying_capstone import DATABASE, published_by, writes_of
from capstone_dagster_tests.servers.platform import Platform, Rows
from capstone_dagster_tests.whole_platform.faults.conftest import DAY
from spark_code.schemas import TABLES

PAGES = ("report/page", "report/index.html")


@pytest.fixture(scope="module")
def writes(published: dict[int, Platform], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Those of a run that nobody disturbs."""
    platform = Platform(tmp_path_factory.mktemp("noted") / "home", DAY)
    shutil.copytree(published[1].folder, platform.folder)
    platform.sample(DAY, seed=2)
    return writes_of(platform, DAY)


def number_of_writes(writes: list[str], below: str) -> int:
    keys = [write.partition(" ")[2] for write in writes]
    return sum(key == below or key.startswith(f"{below}/") for key in keys)


def test_every_table_is_written_by_rows_a_manifest_and_a_pointer(writes: list[str]) -> None:
    """What is found is what there is: else no kill would mean anything."""
    for path in TABLES:
        kinds = [write.partition(" ")[0] for write in writes if f" {path}/" in write]
        assert kinds.count("rows") == 1, path
        assert kinds.count("put") == 2, path
    assert all(number_of_writes(writes, page) for page in PAGES)
    assert number_of_writes(writes, DATABASE) > len(TABLES)


@pytest.mark.faults("F1")
@pytest.mark.parametrize("below", [*TABLES, *PAGES])
def test_a_run_killed_before_any_write_leaves_old_or_new_days_and_a_rerun_equals_a_clean_run(
    published: dict[int, Platform],
    clean: dict[int, dict[str, Rows]],
    delivered_again: Platform,
    writes: list[str],
    below: str,
    tally: Tally,
) -> None:
    numbers = range(1, number_of_writes(writes, below) + 1)
    kill_and_run_again(published, clean, delivered_again, below, [*numbers], tally)


@pytest.mark.faults("F1")
def test_a_run_killed_before_any_of_its_words_to_the_database_is_known_as_failed_and_a_rerun_equals_a_clean_run(
    published: dict[int, Platform],
    clean: dict[int, dict[str, Rows]],
    delivered_again: Platform,
    writes: list[str],
    rounds: Callable[[int], int],
    tally: Tally,
) -> None:
    there = number_of_writes(writes, DATABASE)
    drawn = random.sample(range(1, there + 1), min(rounds(4), there))
    kill_and_run_again(published, clean, delivered_again, DATABASE, drawn, tally)


def kill_and_run_again(
    published: dict[int, Platform],
    clean: dict[int, dict[str, Rows]],
    platform: Platform,
    below: str,
    numbers: list[int],
    tally: Tally,
) -> None:
    """Kill the run of a second delivery before each of these writes, and run the day in peace after each kill."""
    lake = Path(platform.settings.lake_uri)
    with platform.instance():
        for number in numbers:
            shutil.rmtree(lake)
            shutil.copytree(published[1].settings.lake_uri, lake)

            until_then = writes_of(platform, DAY, below, number)

            new = published_by(until_then, DAY)
            for path, rows in platform.rows_of_all_tables(DAY).items():
                tally.compare(rows, clean[2 if path in new else 1][path])
            assert platform.run("daily_pipeline", DAY).success, until_then[-1]
            for path, rows in platform.rows_of_all_tables(DAY).items():
                tally.compare(rows, clean[2][path])
            beside = {path.name for path in lake.glob("*/*/_published/*")}
            assert beside == {f"{DAY}.json", f".{DAY}.json.lock"}, until_then[-1]
            tally.survive()
        history = json.loads(platform.capstone("history", f"daily_pipeline_{DAY}", "--json").stdout)
    # A run that was killed before its first word to the database is none.
    assert {attempt["status"] for attempt in history} <= {"FAILURE"}
    assert len(numbers) - 1 <= len(history) <= len(numbers)
    assert all("is gone without a result" in attempt["reason"] for attempt in history)
