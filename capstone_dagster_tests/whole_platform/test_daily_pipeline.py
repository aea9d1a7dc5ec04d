"""One trading day and the next through the real definitions, in this process."""

from collections.abc import Callable, Mapping
from datetime import date
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import dagster as dg
import pytest
from pyspark.sql import SparkSession

from capstone_dagster_tests.servers.platform import Platform, Rows, failure
from spark_code.lake import Lake
from spark_code.locations import StorageError
from spark_code.manifest import Manifest
from spark_code.schemas import (
    CLOSES,
    DAILY_SUMMARY,
    EVENTS,
    QUOTE_ANALYTICS,
    QUOTES,
    TABLES,
    TRADES,
    Table,
)

# Labor Day lies between: the trading day before the Tuesday is the Friday.
FRIDAY, TUESDAY = date(2020, 9, 4), date(2020, 9, 8)

pytestmark = pytest.mark.usefixtures("spark")


@pytest.fixture(scope="module")
def two_days(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """Both days, run once in order."""
    del spark
    platform = Platform(tmp_path_factory.mktemp("two days"), FRIDAY)
    for day in (FRIDAY, TUESDAY):
        platform.sample(day)
        assert platform.run("daily_pipeline", day).success
    return platform


class Again(NamedTuple):
    """A second run of the second day: the tables before it, those that it published, and what it told Dagster."""

    before: dict[Table, tuple[Manifest, Rows]]
    after: dict[Table, tuple[Manifest, Rows]]
    result: dg.ExecuteInProcessResult


@pytest.fixture(scope="module")
def again(two_days: Platform) -> Again:
    def published() -> dict[Table, tuple[Manifest, Rows]]:
        tables = TABLES.values()
        return {table: (two_days.lake.require(table, TUESDAY), two_days.rows(table, TUESDAY)) for table in tables}

    before, result = published(), two_days.run("daily_pipeline", TUESDAY)
    assert result.success
    return Again(before, published(), result)


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    return Platform(tmp_path, FRIDAY)


def test_every_line_is_accepted_or_rejected(two_days: Platform) -> None:
    for day in (FRIDAY, TUESDAY):
        events = two_days.lake.require(EVENTS, day)
        assert events.rows == 120
        assert events.measures["trades"] + events.measures["quotes"] + events.measures["rejected"] == 120


def test_closes_come_from_the_friday_before_a_holiday_weekend(two_days: Platform) -> None:
    closes = {(row[1], row[2]): row[3] for row in two_days.rows(CLOSES, FRIDAY)}
    used = {(row[1], row[2]): row[11] for row in two_days.rows(QUOTE_ANALYTICS, TUESDAY)}
    assert closes
    assert used == {instrument: closes.get(instrument) for instrument in used}
    assert two_days.lake.require(QUOTE_ANALYTICS, TUESDAY).inputs == {
        table.path: two_days.lake.require(table, day).version
        for table, day in ((TRADES, TUESDAY), (QUOTES, TUESDAY), (CLOSES, FRIDAY))
    }


def test_the_first_day_has_no_previous_closes(two_days: Platform) -> None:
    assert {row[11] for row in two_days.rows(QUOTE_ANALYTICS, FRIDAY)} == {None}


def test_the_report_has_one_row_per_quote(two_days: Platform) -> None:
    for day in (FRIDAY, TUESDAY):
        assert two_days.lake.require(QUOTE_ANALYTICS, day).rows == two_days.lake.require(QUOTES, day).rows > 0


def test_a_second_run_publishes_a_new_version_with_identical_rows(again: Again) -> None:
    for table, (manifest, rows) in again.before.items():
        after, rows_after = again.after[table]
        assert (after.previous_version, after.token > manifest.token) == (manifest.version, True)
        assert rows_after == rows, table.path


def test_the_two_halves_make_what_the_whole_makes(two_days: Platform, platform: Platform) -> None:
    for day in (FRIDAY, TUESDAY):
        platform.sample(day)
        assert platform.run("preprocessing", day).success
        assert platform.manifest(QUOTE_ANALYTICS, day) is None
        assert platform.run("analytical", day).success
    for table in TABLES.values():
        assert platform.rows(table, TUESDAY) == two_days.rows(table, TUESDAY), table.path


def test_every_materialization_says_what_was_published(two_days: Platform, again: Again) -> None:
    by_key = {
        event.asset_key.to_user_string(): event.step_materialization_data.materialization.metadata
        for event in again.result.get_asset_materialization_events()
        if event.asset_key
    }
    assert sorted(by_key) == sorted([*TABLES, "report/index", "report/page"])
    assert by_key["report/page"]["page"].value == (two_days.folder / f"lake/report/page/{TUESDAY}.html").as_uri()
    assert by_key["report/page"]["word"].value in ("available", "degraded")
    assert by_key["report/index"]["days"].value == 2
    for table in TABLES.values():
        metadata, (manifest, _) = by_key[table.path], again.after[table]
        assert metadata["dagster/partition_row_count"].value == manifest.rows
        assert (metadata["version"].value, metadata["files"].value) == (manifest.version, len(manifest.paths))
        assert metadata["bytes"].value == manifest.bytes > 0
        assert isinstance(metadata["seconds"].value, float)
        assert all(version in str(metadata["inputs"].value) for version in manifest.inputs.values())
        schema: Any = metadata["dagster/column_schema"].value
        assert [column.name for column in schema.columns] == table.columns
        preview: Any = metadata["preview"]
        assert len(preview.records) == min(5, manifest.rows)
    events, _ = again.after[EVENTS]
    assert by_key[EVENTS.path]["lines_in"].value == 120
    assert by_key[EVENTS.path]["accepted"].value == 120 - events.measures["rejected"]


def test_the_raw_files_that_were_read_are_observed_with_their_version(again: Again) -> None:
    observed = {
        event.asset_key.to_user_string(): event.asset_observation_data.asset_observation
        for event in again.result.get_asset_observation_events()
        if event.asset_key
    }
    assert sorted(observed) == ["raw/nasdaq", "raw/nyse"]
    inputs = again.after[EVENTS][0].inputs
    assert {key: each.metadata["fingerprint"].value for key, each in observed.items()} == inputs
    assert {key: each.data_version for key, each in observed.items()} == inputs


def test_every_delivered_day_shows_as_a_partition_and_a_correction_as_another_version(platform: Platform) -> None:
    platform.sample(FRIDAY)
    raw = [dg.AssetKey(["raw", exchange]) for exchange in ("nyse", "nasdaq")]
    ingested = dg.AssetKey(["ingested", "events"])
    job = platform.defs.resolve_job_def("preprocessing")
    with dg.DagsterInstance.ephemeral() as instance:

        def tags(key: dg.AssetKey) -> list[Mapping[str, str]]:
            records = instance.fetch_materializations(key, limit=9, ascending=True).records
            return [each.asset_materialization.tags or {} for each in records if each.asset_materialization]

        def recorded() -> list[list[str]]:
            job.execute_in_process(partition_key=f"{FRIDAY}", instance=instance, asset_selection=[ingested])
            return [[each["dagster/data_version"] for each in tags(key)] for key in raw]

        first, again = recorded(), recorded()
        with next(platform.raw.glob("csv/*/NYSE/part*")).open("a") as file:
            file.write("a line more\n")
        corrected = recorded()

        made_from = tags(ingested)[-1]
        days = [instance.get_materialized_partitions(key) for key in raw]
    [[nyse], [nasdaq]] = first
    assert again == first
    assert corrected == [[nyse, corrected[0][-1]], [nasdaq]]
    assert corrected[0][-1] != nyse
    # Dagster hashes the versions of all partitions that a step reads: here of one.
    assert [made_from[f"dagster/input_data_version/raw/{exchange}"] for exchange in ("nyse", "nasdaq")] == [
        sha256(versions[-1].encode()).hexdigest() for versions in corrected
    ]
    assert days == [{f"{FRIDAY}"}] * 2


@pytest.mark.parametrize(
    ("present", "missing"),
    [((), ("NYSE", "NASDAQ")), (("json",), ("NYSE",)), (("csv",), ("NASDAQ",))],
)
def test_a_missing_delivery_fails_before_any_work(
    platform: Platform, present: tuple[str, ...], missing: tuple[str, ...]
) -> None:
    platform.sample(FRIDAY)
    for layout in ("csv", "json"):
        if layout not in present:
            (platform.raw / layout).rename(platform.folder / f"not {layout}")
    reason = failure(platform.run("daily_pipeline", FRIDAY))
    folders = {"NYSE": f"csv/{FRIDAY}/NYSE", "NASDAQ": f"json/{FRIDAY}/NASDAQ"}
    for exchange, folder in folders.items():
        assert (f"{exchange} (looked in {platform.raw}/{folder}/)" in reason) == (exchange in missing)
    assert not list((platform.folder / "lake").rglob("*.*"))


def test_analytics_before_preprocessing_are_refused_and_say_what_to_run(platform: Platform) -> None:
    platform.sample(FRIDAY)
    result = platform.run("analytical", FRIDAY)
    reason = failure(result)
    assert f"eod/trades of {FRIDAY}" in reason
    assert f"eod/quotes of {FRIDAY}" in reason
    assert f"capstone run {FRIDAY} --job preprocessing" in reason
    assert not result.get_asset_materialization_events()
    assert platform.manifest(QUOTE_ANALYTICS, FRIDAY) is None


def test_missing_previous_closes_are_refused_unless_allowed(platform: Platform) -> None:
    platform.sample(TUESDAY)
    assert platform.run("preprocessing", TUESDAY).success
    reason = failure(platform.run("analytical", TUESDAY))
    assert f"eod/closes of {FRIDAY}" in reason
    assert f"capstone run {FRIDAY} --job preprocessing" in reason
    assert "--allow-missing-closes" in reason
    assert platform.manifest(QUOTE_ANALYTICS, TUESDAY) is None

    result = platform.run("analytical", TUESDAY, report_options={"allow_missing_closes": True})
    assert result.success
    assert {row[11] for row in platform.rows(QUOTE_ANALYTICS, TUESDAY)} == {None}
    assert {row[-4] for row in platform.rows(DAILY_SUMMARY, TUESDAY)} == {None}
    checks = {check.check_name: check.passed for check in result.get_asset_check_evaluations()}
    assert checks == {"lines": True, "trades": True, "quotes": True, "prices": True}


def test_allowing_missing_closes_does_not_allow_missing_trades(platform: Platform) -> None:
    reason = failure(platform.run("analytical", TUESDAY, report_options={"allow_missing_closes": True}))
    assert f"eod/trades of {TUESDAY}" in reason
    assert "eod/closes" not in reason


def test_a_report_never_mixes_the_end_of_day_loads_of_two_ingests(two_days: Platform, tmp_path: Path) -> None:
    """As after a preprocessing run that was killed between publishing trades and quotes."""
    pointer = Path(two_days.settings.lake_uri) / TRADES.path / "_published" / f"{TUESDAY}.json"
    kept = tmp_path / "kept.json"
    kept.write_bytes(pointer.read_bytes())
    assert two_days.run("preprocessing", TUESDAY).success
    newest = pointer.read_bytes()
    pointer.write_bytes(kept.read_bytes())
    reason = failure(two_days.run("analytical", TUESDAY))
    assert "come from different ingests" in reason
    assert "run preprocessing" in reason
    pointer.write_bytes(newest)
    assert two_days.run("analytical", TUESDAY).success


def _many_rejects(raw: Path) -> None:
    (raw / f"csv/{FRIDAY}/NYSE/more.csv").write_bytes(b"no trade\n" * 50)


def _new_field(raw: Path) -> None:
    (raw / f"json/{FRIDAY}/NASDAQ/more.json").write_bytes(b'{"venue": 1}\n')


@pytest.mark.parametrize(
    ("spoil", "says"), [(_many_rejects, "rejected"), (_new_field, "fields that the contract does not know: venue")]
)
def test_odd_data_warns_of_its_day_and_stops_nothing(
    platform: Platform, spoil: Callable[[Path], None], says: str
) -> None:
    platform.sample(FRIDAY)
    spoil(platform.raw)
    result = platform.run("daily_pipeline", FRIDAY)
    assert result.success
    evaluations = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert {name for name, check in evaluations.items() if not check.passed} == {"lines"}
    lines = evaluations["lines"]
    assert (lines.severity, lines.partition) == (dg.AssetCheckSeverity.WARN, f"{FRIDAY}")
    assert lines.description
    assert lines.description.startswith(f"{FRIDAY}: ")
    assert says in lines.description


def test_a_check_started_without_a_day_says_what_it_needs(platform: Platform) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        checks = platform.defs.resolve_implicit_global_asset_job_def().get_subset(
            asset_check_selection={dg.AssetCheckKey(dg.AssetKey(["ingested", "events"]), "lines")}
        )
        result = checks.execute_in_process(instance=instance, raise_on_error=False)
    assert failure(result) == "these checks look at one trading day: choose its partition"


def test_a_step_that_could_not_publish_publishes_the_same_rows_at_its_second_try(
    two_days: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = (EVENTS, TRADES, QUOTES, CLOSES)
    before = {table: (two_days.lake.require(table, TUESDAY).version, two_days.rows(table, TUESDAY)) for table in tables}
    point_to = Lake._point_to
    broken: list[Table] = []

    def break_once(self: Lake, table: Table, day: date, manifest: Manifest) -> Manifest:
        if table == QUOTES and not broken:
            broken.append(table)
            raise StorageError("the pointer cannot be replaced") from ConnectionResetError()
        return point_to(self, table, day, manifest)

    monkeypatch.setattr(Lake, "_point_to", break_once)
    result = two_days.run("preprocessing", TUESDAY, retries={"first_seconds": 0.001})

    assert result.success
    assert [event.step_key for event in result.all_events if event.is_step_up_for_retry] == ["eod"]
    after = {table: two_days.lake.require(table, TUESDAY) for table in tables}
    assert [after[table].attempt for table in tables] == [1, 2, 2, 2]
    for table, (version, rows) in before.items():
        assert two_days.rows(table, TUESDAY) == rows, table.path
        # The first try had published the trades: the second replaced those.
        assert (after[table].previous_version == version) == (table != TRADES)


def pipeline_below(folder: str) -> dg.JobDefinition:
    """What Dagster loads to execute a run anew."""
    return Platform(Path(folder), FRIDAY).defs.resolve_job_def("daily_pipeline")


def test_a_run_that_missed_the_previous_closes_is_re_executed_from_its_report_on(
    two_days: Platform, platform: Platform
) -> None:
    platform.sample(TUESDAY)
    job = dg.build_reconstructable_job(__name__, pipeline_below.__name__, (str(platform.folder),))
    with dg.DagsterInstance.ephemeral() as instance:
        tags = {"dagster/partition": TUESDAY.isoformat()}
        with dg.execute_job(job, instance, tags=tags, raise_on_error=False) as failed:
            assert [event.step_key for event in failed.all_events if event.is_step_failure] == ["quality"]
        loaded = {table: platform.manifest(table, TUESDAY) for table in (EVENTS, TRADES, QUOTES, CLOSES)}
        assert all(loaded.values())
        closes = two_days.lake.require(CLOSES, FRIDAY)
        for key in (*closes.paths, f"{CLOSES.path}/_published/{FRIDAY}.json"):
            platform.lake.storage.write(key, two_days.lake.storage.read(key) or b"")

        from_failure = dg.ReexecutionOptions.from_failure(failed.run_id, instance)
        with dg.execute_job(job, instance, tags=tags, reexecution_options=from_failure, raise_on_error=False) as again:
            assert again.success
            begun = [event.step_key for event in again.all_events if event.is_step_start]

    assert set(begun) == {"page", "quality", "report"}
    assert {table: platform.manifest(table, TUESDAY) for table in loaded} == loaded
    assert platform.rows(QUOTE_ANALYTICS, TUESDAY) == two_days.rows(QUOTE_ANALYTICS, TUESDAY)
