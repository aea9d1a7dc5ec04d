"""Files dropped into the raw folder while Dagster's real services run: the reports come without a click.

In any order, in parts, with misplaced files and a later correction; every day runs as often as its files demand.
"""

import os
import random
import time
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import dagster as dg
import pytest

from capstone_dagster.run_tags import PARTITION_TAG
from capstone_dagster_tests.servers.dagster_services import Services, services
from capstone_dagster_tests.servers.platform import Platform
from capstone_dagster_tests.servers.processes import eventually
from spark_code.schemas import CLOSES, QUOTE_ANALYTICS, TRADES

FIRST, SECOND = date(2020, 8, 5), date(2020, 8, 6)
CHANCE = random.Random(20200805)  # noqa: S311 -- the same order in every run, and nothing secret

# NYSE never says that its delivery is complete; NASDAQ does.
FILES = {
    "csv/2020-08-05/NYSE/trades.csv": "2020-08-05,2020-08-05 16:15:00,T,IBM,2020-08-05 15:00:00,1,NYSE,100.25,300",
    "csv/2020-08-05/NYSE/quotes.csv": "2020-08-05,2020-08-05 16:15:00,Q,IBM,2020-08-05 10:00:00,2,NYSE,99,100,101,100",
    "json/2020-08-06/NASDAQ/a.json": '{"trade_dt":"2020-08-06","file_tm":"2020-08-06 16:15:00","event_type":"Q",'
    '"symbol":"MSFT","event_tm":"2020-08-06 10:00:00","event_seq_nb":1,"exchange":"NASDAQ",'
    '"bid_pr":51,"bid_size":100,"ask_pr":52,"ask_size":100}',
    "json/2020-08-06/NASDAQ/_SUCCESS": "",
    "csv/2020-09-07/NYSE/trades.csv": "of Labor Day",
    "csv/latest/NYSE/trades.csv": "of no day",
}
LATER_FILES = {
    "json/2020-08-05/NASDAQ/a.json": '{"trade_dt":"2020-08-05","file_tm":"2020-08-05 16:15:00","event_type":"T",'
    '"symbol":"MSFT","event_tm":"2020-08-05 15:59:00","event_seq_nb":1,"exchange":"NASDAQ","price":50,"size":100}',
    "json/2020-08-05/NASDAQ/_SUCCESS": "",
    "csv/2020-08-06/NYSE/1.csv": "2020-08-06,2020-08-06 16:15:00,T,IBM,2020-08-06 09:45:00,1,NYSE,101.10,300",
    "csv/2020-08-06/NYSE/2.csv": "2020-08-06,2020-08-06 16:15:00,Q,IBM,2020-08-06 10:00:00,2,NYSE,101,100,101.5,200",
}
CORRECTION = "csv/2020-08-05/NYSE/later.csv"
CORRECTED = "2020-08-05,2020-08-05 20:30:00,T,IBM,2020-08-05 15:00:00,1,NYSE,102.50,300"


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    made = Platform(tmp_path / "home", FIRST, automation=True)
    made.raw.mkdir(parents=True)
    return made


@pytest.fixture
def instance(platform: Platform) -> Iterator[dg.DagsterInstance]:
    with platform.instance() as instance:
        yield instance


@pytest.fixture
def running(platform: Platform, instance: dg.DagsterInstance, tmp_path: Path) -> Iterator[Services]:
    del instance  # its database is up longer than the services
    with services(platform, tmp_path) as started:
        yield started


def drop(platform: Platform, name: str, content: str, at: float | None = None) -> None:
    """A file as an exchange delivers it: there at once; its time is that of the exchange's clock."""
    path, coming = platform.raw / name, platform.folder / "coming"
    path.parent.mkdir(parents=True, exist_ok=True)
    coming.write_text(content + "\n" if content else "")
    if at:
        os.utime(coming, (at, at))
    coming.rename(path)


def runs(instance: dg.DagsterInstance) -> list[tuple[str, str, str]]:
    """Job, day and status of every run but what the schedule makes of today, should its time come just now."""
    found = [run for run in instance.get_runs(ascending=True) if "dagster/schedule_name" not in run.tags]
    return [(run.job_name, run.tags[PARTITION_TAG], run.status.value) for run in found]


def wait_until_nothing_is_left(running: Services, instance: dg.DagsterInstance, since: float) -> None:
    """Both sensors have looked after the last file and the last run, and want nothing."""

    def is_at_rest() -> bool:
        records = instance.get_run_records()
        if not records or not all(record.end_time for record in records):
            return False
        last = max(since, *(record.end_time or 0 for record in records))
        newest = [running.newest_tick(sensor) for sensor in ("new_files", "changed_closes")]
        is_done = all(tick["timestamp"] > last and tick["status"] == "SKIPPED" for tick in newest)
        return is_done and newest[0]["skipReason"] == "watching 2 days"

    eventually(is_at_rest, seconds=600, pause=2)


def report(platform: Platform) -> list[tuple[str, Decimal, Decimal]]:
    """Of each quote of the second day: symbol, the close that it is compared with, and how the bid has moved."""
    names = [QUOTE_ANALYTICS.columns.index(name) for name in ("symbol", "close_pr", "bid_pr_mv")]
    return sorted(tuple(row[name] for name in names) for row in platform.rows(QUOTE_ANALYTICS, SECOND))


def test_every_day_is_run_when_it_is_complete_and_again_when_it_changes(
    platform: Platform, running: Services, instance: dg.DagsterInstance
) -> None:
    # In parts, in any order: nothing is run before an exchange that is missing has delivered.
    for name in CHANCE.sample(sorted(FILES), len(FILES)):
        drop(platform, name, FILES[name])
    told = "watching 2 days; 2020-08-05 is waiting for NASDAQ; 2020-08-06 is waiting for NYSE"
    eventually(lambda: running.newest_tick("new_files").get("skipReason") == told, pause=2)
    assert runs(instance) == []

    for name in CHANCE.sample(sorted(LATER_FILES), len(LATER_FILES)):
        drop(platform, name, LATER_FILES[name])

    # If a look came between the two, the later day may be loaded first: its report is made when the closes are there.
    at_once = [("daily_pipeline", "2020-08-05", "SUCCESS"), ("daily_pipeline", "2020-08-06", "SUCCESS")]
    by_halves = [
        ("preprocessing", "2020-08-06", "SUCCESS"),
        ("daily_pipeline", "2020-08-05", "SUCCESS"),
        ("analytical", "2020-08-06", "SUCCESS"),
    ]
    before = eventually(lambda: runs(instance), lambda found: found in (at_once, by_halves), seconds=600, pause=2)
    assert report(platform) == [("IBM", Decimal("100.25"), Decimal("0.75")), ("MSFT", Decimal(50), Decimal(1))]

    # From a machine whose clock is an hour ahead.
    drop(platform, CORRECTION, CORRECTED, at=time.time() + 3600)
    wait_until_nothing_is_left(running, instance, time.time())

    corrected = [("daily_pipeline", "2020-08-05", "SUCCESS"), ("analytical", "2020-08-06", "SUCCESS")]
    assert runs(instance) == before + corrected
    assert report(platform) == [("IBM", Decimal("102.5"), Decimal("-1.5")), ("MSFT", Decimal(50), Decimal(1))]
    inputs = platform.lake.require(QUOTE_ANALYTICS, SECOND).inputs
    assert inputs[CLOSES.path] == platform.lake.require(CLOSES, FIRST).version
    assert inputs[TRADES.path] == platform.lake.require(TRADES, SECOND).version

    # The misplaced files have stopped nothing, and were announced once.
    places = [said.partition(f"{platform.raw}/")[2].partition(":")[0] for said in running.warnings("new_files")]
    assert places == ["csv/2020-09-07", "csv/latest"]
