"""What the UI shows as out of date, and why: by the versions of deliveries, tables and code, and not by re-runs."""

from collections.abc import Iterator, Mapping
from datetime import date

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest
from pyspark.sql import SparkSession

from capstone_dagster.assets.raw import arrival, record_arrivals
from capstone_dagster_tests.servers.platform import Platform
from spark_code import eod_to_report
from spark_code.raw_files import RawFolder
from spark_code.schemas import QUALITY, TABLES

# Labor Day lies between.
FRIDAY, TUESDAY = date(2020, 9, 4), date(2020, 9, 8)

# What is out of date, and for which reasons.
Causes = Mapping[str, list[str]]
NOTHING: Causes = {}
NEW = "has a new dependency data version"


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Platform:
    del spark
    platform = Platform(tmp_path_factory.mktemp("out of date"), FRIDAY)
    for day in (FRIDAY, TUESDAY):
        platform.sample(day)
    return platform


@pytest.fixture(scope="module")
def instance(platform: Platform) -> Iterator[dg.DagsterInstance]:
    """The run storage in Postgres, whose events Dagster compares; both days have been run."""
    with platform.instance() as instance:
        # As an older release has recorded the deliveries.
        for delivery in RawFolder(platform.settings.raw_uri).deliveries(FRIDAY):
            _, materialization = arrival(delivery)
            instance.report_runless_asset_event(materialization)
        for day in (FRIDAY, TUESDAY):
            run(platform, instance, day)
        yield instance


def run(platform: Platform, instance: dg.DagsterInstance, day: date, job: str = "daily_pipeline") -> None:
    definition = Platform(platform.folder, FRIDAY).defs.resolve_job_def(job)
    assert definition.execute_in_process(partition_key=f"{day}", instance=instance).success


def out_of_date(platform: Platform, instance: dg.DagsterInstance, day: date) -> Causes:
    """As the UI is told: every table has been made, or it would be missing."""
    graph = Platform(platform.folder, FRIDAY).defs.resolve_asset_graph()
    resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
    causes: dict[str, list[str]] = {}
    for path in TABLES:
        key = dg.AssetKey(path.split("/"))
        found = resolver.get_stale_causes(key, f"{day}")
        assert resolver.get_status(key, f"{day}") == (StaleStatus.STALE if found else StaleStatus.FRESH)
        if found:
            of = (
                f" {cause.dependency_asset_key.to_user_string()}" if cause.dependency_asset_key else ""
                for cause in found
            )
            causes[path] = sorted(f"{cause.reason}{dependency}" for cause, dependency in zip(found, of, strict=True))
    return causes


def correct(platform: Platform, instance: dg.DagsterInstance, day: date, line: str) -> None:
    """Another delivery of NYSE, as the sensor records it."""
    with next(platform.raw.glob(f"csv/{day}/NYSE/part*")).open("a") as file:
        file.write(line)
    record_arrivals(instance, RawFolder(platform.settings.raw_uri).deliveries(day))


def trade(day: date, price: str, clock: str = "15:59:59") -> str:
    return f"{day},{day} 16:15:00,T,AAA,{day} {clock},900000001,NYSE,{price},100\n"


def test_a_day_is_up_to_date_until_other_lines_are_delivered_and_again_when_it_has_been_run(
    platform: Platform, instance: dg.DagsterInstance
) -> None:
    assert [out_of_date(platform, instance, day) for day in (FRIDAY, TUESDAY)] == [NOTHING, NOTHING]

    correct(platform, instance, FRIDAY, trade(FRIDAY, "12.5"))
    assert out_of_date(platform, instance, FRIDAY) == {"ingested/events": [f"{NEW} raw/nyse"]}

    run(platform, instance, FRIDAY, "preprocessing")
    reports = ("report/quote_analytics", "report/daily_summary", "report/bars")
    assert out_of_date(platform, instance, FRIDAY) == {
        QUALITY.path: [f"{NEW} eod/trades", f"{NEW} ingested/events"],
        **{report: [f"{NEW} eod/trades"] for report in reports},
    }
    of_closes = {key: [f"{NEW} eod/closes"] for key in (QUALITY.path, *reports)}
    assert out_of_date(platform, instance, TUESDAY) == of_closes

    run(platform, instance, FRIDAY, "analytical")
    run(platform, instance, TUESDAY, "analytical")
    assert [out_of_date(platform, instance, day) for day in (FRIDAY, TUESDAY)] == [NOTHING, NOTHING]

    # The same once more changes nothing.
    run(platform, instance, FRIDAY, "preprocessing")
    assert [out_of_date(platform, instance, day) for day in (FRIDAY, TUESDAY)] == [NOTHING, NOTHING]

    # Another delivery with the same lines: only what reads it is made again.
    part = next(platform.raw.glob(f"csv/{FRIDAY}/NYSE/part*"))
    first, *rest = part.read_text().splitlines(keepends=True)
    part.write_text("".join([*rest, first]))
    correct(platform, instance, FRIDAY, "")
    assert out_of_date(platform, instance, FRIDAY) == {"ingested/events": [f"{NEW} raw/nyse"]}
    run(platform, instance, FRIDAY, "preprocessing")
    assert [out_of_date(platform, instance, day) for day in (FRIDAY, TUESDAY)] == [NOTHING, NOTHING]


def test_a_computation_that_has_changed_shows_at_what_it_makes_alone(
    platform: Platform, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert out_of_date(platform, instance, FRIDAY) == NOTHING
    monkeypatch.setattr(eod_to_report, "CODE_VERSION", "of tomorrow")

    reports = ("report/quote_analytics", "report/daily_summary", "report/bars")
    assert out_of_date(platform, instance, FRIDAY) == {report: ["has a new code version"] for report in reports}
    run(platform, instance, FRIDAY, "analytical")
    assert out_of_date(platform, instance, FRIDAY) == NOTHING
