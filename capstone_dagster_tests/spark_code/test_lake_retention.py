"""Retention: which versions of a day stay, and that cleaning up never fails a publish.

What needs no Spark is tested on S3 as well, on versions put there by hand.
"""

import os
import subprocess
import sys
import time
from datetime import date, timedelta
from pathlib import Path

import pytest
from obstore.exceptions import PermissionDeniedError
from pyspark.sql import SparkSession

from capstone_dagster_tests.builders.closes import (
    DATA,
    DAY,
    FIRST,
    NEXT_DAY,
    SECOND,
    closes_in,
    die_half_way,
    point_to,
    publish_closes,
    put_version,
    version_of,
)
from capstone_dagster_tests.builders.lakes import make_old
from capstone_dagster_tests.servers.wrong_clock import needs_wrong_clock, wrong_clock
from spark_code import retention
from spark_code.lake import Lake
from spark_code.schemas import CLOSES
from spark_code.storage import Storage


def publish_by_hand(lake: Lake, token: int, day: date = DAY) -> None:
    """What ``publish`` does once the rows are written and audited."""
    put_version(lake, token, day)
    point_to(lake, token, day)
    lake._retire(CLOSES, day)


def let_a_day_pass(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make everything that lies in the lake by now older than a day."""
    if lake.storage.is_local:
        make_old(Path(lake.storage.root))
    else:
        monkeypatch.setattr(retention, "MIN_AGE_TO_REMOVE", timedelta(0))


def test_the_last_two_versions_of_a_day_stay_however_old(any_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    for token in (1, 2, 3):
        publish_by_hand(any_lake, token)
    put_version(any_lake, 4)
    let_a_day_pass(any_lake, monkeypatch)
    published = point_to(any_lake, 4)
    any_lake._retire(CLOSES, DAY)

    assert any_lake.storage.folders(DATA) == [version_of(3), version_of(4)]
    assert (published.version, published.previous_version) == (version_of(4), version_of(3))


def test_versions_younger_than_a_day_stay_however_many(any_lake: Lake) -> None:
    for token in range(1, 6):
        publish_by_hand(any_lake, token)

    assert any_lake.storage.folders(DATA) == [version_of(token) for token in range(1, 6)]


PUBLISHES = """
import sys
from capstone_dagster_tests.spark_code.test_lake_retention import publish_by_hand
from spark_code.lake import Lake
publish_by_hand(Lake(sys.argv[1]), int(sys.argv[2]))
"""


@pytest.mark.faults("F13", sample=True)
@needs_wrong_clock
def test_a_host_whose_clock_is_ahead_removes_no_young_version(any_lake: Lake) -> None:
    for token in (1, 2, 3):
        publish_by_hand(any_lake, token)

    command = [sys.executable, "-c", PUBLISHES, any_lake.storage.root, "4"]
    subprocess.run(command, env=os.environ | wrong_clock("+3d"), check=True)

    assert any_lake.storage.folders(DATA) == [version_of(token) for token in (1, 2, 3, 4)]


def test_what_killed_attempts_left_behind_goes_after_a_day(any_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_by_hand(any_lake, 1)
    die_half_way(any_lake, 2)
    put_version(any_lake, 3)
    publish_by_hand(any_lake, 4)
    before = any_lake.storage.folders(DATA)
    let_a_day_pass(any_lake, monkeypatch)
    publish_by_hand(any_lake, 5)

    assert before == [version_of(token) for token in (1, 2, 3, 4)]
    assert any_lake.storage.folders(DATA) == [version_of(4), version_of(5)]


def test_other_days_and_tables_are_left_alone(any_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = [put_version(any_lake, token, day=NEXT_DAY) for token in (1, 2, 3)]
    any_lake.storage.write(f"eod/trades/data/{version_of(1)}/trade_dt={DAY}/part-0.parquet", b"rows")
    put_version(any_lake, 1)
    let_a_day_pass(any_lake, monkeypatch)
    publish_by_hand(any_lake, 4)

    assert any_lake.storage.folders(DATA) == [version_of(4), *kept]
    assert any_lake.storage.folders("eod/trades/data") == [version_of(1)]


@pytest.mark.parametrize(
    ("age", "stays"), [(timedelta(hours=23), True), (timedelta(hours=25), False)], ids=["23 hours", "25 hours"]
)
def test_a_version_goes_only_when_all_its_files_are_older_than_a_day(
    local_lake: Lake, age: timedelta, stays: bool
) -> None:
    publish_by_hand(local_lake, 1)
    put_version(local_lake, 1, file="part-1.parquet")
    publish_by_hand(local_lake, 2)
    root = Path(local_lake.storage.root)
    make_old(root)
    then = time.time() - age.total_seconds()
    os.utime(root / DATA / version_of(1) / f"trade_dt={DAY}" / "part-1.parquet", (then, then))
    publish_by_hand(local_lake, 3)

    assert (version_of(1) in local_lake.storage.folders(DATA)) == stays
    assert [stored.key for stored in local_lake.storage.objects(f"{DATA}/{version_of(1)}")] == [
        f"{DATA}/{version_of(1)}/trade_dt={DAY}/part-{number}.parquet" for number in (0, 1) if stays
    ]


def test_a_version_that_was_replaced_today_stays_however_old_it_is(any_lake: Lake) -> None:
    publish_by_hand(any_lake, 1)
    if any_lake.storage.is_local:
        make_old(Path(any_lake.storage.root))
    for token in (2, 3):
        publish_by_hand(any_lake, token)

    assert any_lake.storage.folders(DATA) == [version_of(token) for token in (1, 2, 3)]


def test_a_publish_removes_the_old_version_with_everything_spark_left_there(
    local_lake: Lake, spark: SparkSession
) -> None:
    publish_closes(local_lake, spark, FIRST, token=1)
    publish_by_hand(local_lake, token=2)
    make_old(Path(local_lake.storage.root))
    publish_closes(local_lake, spark, SECOND, token=3)

    versions = sorted(path.name for path in (Path(local_lake.storage.root) / DATA).iterdir())
    assert versions == [version_of(2), version_of(3)]
    assert closes_in(local_lake.read(spark, CLOSES, DAY).rows) == SECOND


class RefusingStorage(Storage):
    """A store whose owner has taken away one right."""

    def __init__(self, uri: str, refused: str, error: Exception) -> None:
        super().__init__(uri)
        self.refused, self.error = refused, error
        self.refusals = 0

    def delete_folder(self, prefix: str) -> None:
        self._refuse("delete")
        super().delete_folder(prefix)

    def folders(self, prefix: str) -> list[str]:
        self._refuse("list")
        return super().folders(prefix)

    def _refuse(self, right: str) -> None:
        if right == self.refused:
            self.refusals += 1
            with self._explaining(right):
                raise self.error


@pytest.mark.parametrize("right", ["delete", "list"])
@pytest.mark.parametrize("error", [PermissionDeniedError("403"), OSError("read-only")], ids=["s3", "local"])
def test_a_store_that_refuses_to_clean_up_does_not_fail_the_publish(
    any_lake: Lake,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    right: str,
    error: Exception,
) -> None:
    for token in (1, 2):
        publish_by_hand(any_lake, token)
    let_a_day_pass(any_lake, monkeypatch)
    refusing = any_lake.storage = RefusingStorage(any_lake.storage.root, right, error)
    publish_by_hand(any_lake, 3)

    manifest = any_lake.manifest(CLOSES, DAY)
    assert (manifest and manifest.version, refusing.refusals) == (version_of(3), 1)
    reason = f"{refusing.uri(right)}: {type(error).__name__}: {error}"
    assert [record.getMessage() for record in caplog.records if record.name == "spark_code.lake"] == [
        f"old versions of eod/closes of 2020-08-05 were not all removed: {reason}"
    ]


def test_a_whole_publish_survives_a_store_that_refuses_to_clean_up(local_lake: Lake, spark: SparkSession) -> None:
    for token in (1, 2):
        put_version(local_lake, token)
    make_old(Path(local_lake.storage.root))
    local_lake.storage = RefusingStorage(local_lake.storage.root, "delete", PermissionDeniedError("403"))

    manifest = publish_closes(local_lake, spark, FIRST, token=3)

    assert local_lake.manifest(CLOSES, DAY) == manifest
    assert closes_in(local_lake.read(spark, CLOSES, DAY).rows) == sorted(FIRST)
