"""Analytics that start while ingestion runs, has failed, or comes in between: whole versions or nothing."""

import threading
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from capstone_dagster_tests.servers.platform import Platform, failure
from spark_code import eod_to_report
from spark_code.drafts import Draft
from spark_code.lake import Lake
from spark_code.manifest import Attempt, Manifest
from spark_code.schemas import BARS, CLOSES, DAILY_SUMMARY, QUOTE_ANALYTICS, QUOTES, TRADES

DAY = date(2020, 8, 5)

pytestmark = pytest.mark.usefixtures("spark")


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    made = Platform(tmp_path, DAY)
    made.sample(DAY, seed=1)
    return made


def _at_quotes(monkeypatch: pytest.MonkeyPatch, do: Callable[[], None]) -> None:
    """Do something when the trades of a day are published and its quotes are not."""
    publish = Lake.publish

    def interrupted(self: Lake, draft: Draft, day: date, attempt: Attempt) -> Manifest:
        if draft.table == QUOTES:
            do()
        return publish(self, draft, day, attempt)

    monkeypatch.setattr(Lake, "publish", interrupted)


def _refused(platform: Platform) -> str:
    result = platform.run("analytical", DAY)
    assert not result.success
    return failure(result)


@pytest.mark.faults("F12", sample=True)
def test_while_ingestion_runs_nothing_is_published_and_its_job_id_is_named(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    halfway, go_on = threading.Event(), threading.Event()

    def pause() -> None:
        halfway.set()
        assert go_on.wait(120)

    _at_quotes(monkeypatch, pause)
    results: list[Any] = []
    ingestion = threading.Thread(target=lambda: results.append(platform.run("preprocessing", DAY)))
    ingestion.start()
    try:
        assert halfway.wait(120)
        reason = _refused(platform)
    finally:
        go_on.set()
        ingestion.join()

    assert f"not published: eod/quotes of {DAY}" in reason
    assert f"preprocessing_{DAY}" in reason
    assert platform.manifest(QUOTE_ANALYTICS, DAY) is None
    assert results[0].success
    assert platform.run("analytical", DAY).success


@pytest.mark.faults("F12", sample=True)
def test_after_ingestion_has_failed_nothing_is_published(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError("disk full")

    with monkeypatch.context() as broken:
        _at_quotes(broken, fail)
        assert not platform.run("preprocessing", DAY).success
    assert f"preprocessing_{DAY}" in _refused(platform)
    assert platform.manifest(QUOTE_ANALYTICS, DAY) is None


@pytest.mark.faults("F12", sample=True)
def test_after_a_failed_second_ingestion_the_first_report_stays(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert platform.run("daily_pipeline", DAY).success
    before = platform.rows(QUOTE_ANALYTICS, DAY)

    def fail() -> None:
        raise OSError("disk full")

    platform.sample(DAY, seed=2)
    with monkeypatch.context() as broken:
        _at_quotes(broken, fail)
        assert not platform.run("preprocessing", DAY).success
    reason = _refused(platform)

    assert "come from different ingests" in reason
    assert f"preprocessing_{DAY}" in reason
    assert platform.rows(QUOTE_ANALYTICS, DAY) == before


@pytest.mark.faults("F12")
def test_a_report_reads_one_version_throughout_while_the_day_is_ingested_again(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, spark: SparkSession
) -> None:
    del spark
    undisturbed = Platform(tmp_path / "undisturbed", DAY)
    undisturbed.sample(DAY, seed=1)
    assert undisturbed.run("daily_pipeline", DAY).success
    assert platform.run("preprocessing", DAY).success
    first = {table.path: platform.lake.require(table, DAY).version for table in (TRADES, QUOTES)}
    build = eod_to_report.build

    def build_after_the_day_was_ingested_again(*inputs: Any) -> Any:
        platform.sample(DAY, seed=2)
        assert platform.run("preprocessing", DAY).success
        return build(*inputs)

    monkeypatch.setattr(eod_to_report, "build", build_after_the_day_was_ingested_again)
    assert platform.run("analytical", DAY).success

    report = platform.lake.require(QUOTE_ANALYTICS, DAY)
    assert {path: report.inputs[path] for path in first} == first
    assert platform.lake.require(CLOSES, DAY).previous_version is not None
    for table in (QUOTE_ANALYTICS, DAILY_SUMMARY, BARS):
        assert platform.rows(table, DAY) == undisturbed.rows(table, DAY), table.path
