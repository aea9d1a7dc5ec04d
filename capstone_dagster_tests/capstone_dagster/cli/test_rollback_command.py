"""``capstone rollback`` and ``gc`` with a real run storage: what people see of them, and what they refuse."""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from pyspark.sql import SparkSession

from capstone_dagster_tests.builders.closes import DATA, DAY, FIRST, NEXT_DAY, SECOND, publish_closes, version_of
from capstone_dagster_tests.builders.command_line import Run, usage_error
from capstone_dagster_tests.builders.lakes import make_old, point
from capstone_dagster_tests.builders.run_histories import STARTED, STARTING, SUCCESS, Histories
from capstone_dagster_tests.servers.platform import Platform
from spark_code.lake import Lake
from spark_code.schemas import CLOSES, QUOTE_ANALYTICS

WHY = ("--reason", "wrong\x1b[31m prices")


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with tempfile.TemporaryDirectory(prefix="rollback ") as home:
        yield Platform(Path(home), DAY)


@pytest.fixture(scope="module")
def instance(platform: Platform) -> Iterator[dg.DagsterInstance]:
    with platform.instance() as instance:
        yield instance


@pytest.fixture
def lake(
    platform: Platform, instance: dg.DagsterInstance, spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> Lake:
    """Closes that were published twice, and the report of the next day that was made from the second ones."""
    for name, value in platform.environment.items():
        if name != "CAPSTONE_POSTGRES_URL":
            monkeypatch.setenv(name, value)
    platform.lake.storage.delete_folder("eod")
    for run in instance.get_runs():
        instance.delete_run(run.run_id)
    for rows, token in ((FIRST, 1), (SECOND, 5)):
        publish_closes(platform.lake, spark, rows, token)
    point(platform.lake, QUOTE_ANALYTICS, NEXT_DAY, inputs={CLOSES.path: version_of(5)})
    return platform.lake


def test_the_version_before_counts_and_what_is_stale_is_named(
    capstone: Run, lake: Lake, instance: dg.DagsterInstance
) -> None:
    assert capstone("rollback", "eod/closes", f"{DAY}", *WHY) == (
        0,
        (
            f"eod/closes of 2020-08-05: version {version_of(1)} with 2 rows is restored; "
            f"{version_of(5)} with 1 row is withdrawn\n"
            "  report/quote_analytics of 2020-08-06 was computed from the withdrawn version; "
            "to do so again: capstone run 2020-08-06 --job analytical\n"
        ),
        "",
    )

    (run,) = instance.get_runs()
    manifest = lake.require(CLOSES, DAY)
    assert (run.status, manifest.version, manifest.run_id) == (dg.DagsterRunStatus.SUCCESS, version_of(1), run.run_id)
    assert manifest.rolled_back
    assert manifest.rolled_back["reason"] == "wrong\\x1b[31m prices"
    assert manifest.rolled_back["withdrawn"] == version_of(5)
    event = instance.get_latest_materialization_event(dg.AssetKey(["eod", "closes"]))
    assert event
    assert event.asset_materialization
    assert (event.run_id, event.asset_materialization.partition) == (run.run_id, f"{DAY}")
    assert event.asset_materialization.metadata["rolled_back"].value == manifest.rolled_back


def test_the_tracker_says_who_and_why_and_counts_no_attempt(
    capstone: Run, lake: Lake, instance: dg.DagsterInstance
) -> None:
    Histories(instance).run("preprocessing", STARTING, STARTED, SUCCESS, day=DAY)
    assert capstone("rollback", "eod/closes", f"{DAY}", *WHY)[0] == 0

    code, out, _ = capstone("history", f"preprocessing_{DAY}")

    run_id = lake.require(CLOSES, DAY).run_id
    attempt, note = out.splitlines()
    assert (code, attempt.split()[:2]) == (0, ["1", "SUCCESS"])
    said = (
        rf" +no attempt: run {run_id} of eod/closes, eod/quotes, eod/trades alone: SUCCESS; "
        r"eod/closes was rolled back by .+ on .+: wrong\\x1b\[31m prices"
    )
    assert re.fullmatch(said, note)


def test_while_a_run_works_on_the_day_it_is_refused(capstone: Run, lake: Lake, instance: dg.DagsterInstance) -> None:
    run_id = Histories(instance).run("preprocessing", STARTING, STARTED, day=DAY)

    code, out, err = capstone("rollback", "eod/closes", f"{DAY}", *WHY)

    assert (code, out) == (1, "")
    assert err.startswith(f"capstone: {DAY} is being worked on by preprocessing_{DAY} (STARTED")
    assert [run.run_id for run in instance.get_runs()] == [run_id]
    assert lake.require(CLOSES, DAY).version == version_of(5)


def test_without_a_version_before_there_is_no_run(capstone: Run, lake: Lake, instance: dg.DagsterInstance) -> None:
    assert capstone("rollback", "report/quote_analytics", f"{NEXT_DAY}", *WHY) == (
        1,
        "",
        (
            "capstone: report/quote_analytics of 2020-08-06 was published once: there is no previous version "
            "to restore\n"
        ),
    )
    code, _, err = capstone("rollback", "eod/closes", f"{DAY}", "--reason", " ")
    assert (code, usage_error(err)) == (2, "Error: Invalid value for --reason: say why, in some words")
    assert list(instance.get_runs()) == []
    assert lake.require(CLOSES, DAY).version == version_of(5)


def test_gc_says_what_it_would_remove_and_then_removes_it(
    capstone: Run, lake: Lake, spark: SparkSession, instance: dg.DagsterInstance
) -> None:
    publish_closes(lake, spark, FIRST, token=7)
    lake.storage.write(f"{DATA}/mine.parquet", b"mine")
    make_old(Path(lake.storage.root))
    foreign = f"left       {lake.storage.uri(f'{DATA}/mine.parquet')}: it does not belong to this platform\n"
    old = lake.storage.uri(f"{DATA}/{version_of(1)}")
    size = sum(stored.size for stored in lake.storage.objects(f"{DATA}/{version_of(1)}"))

    planned, done = capstone("gc", "--dry-run"), capstone("gc")

    assert (planned[0], done[0]) == (0, 0)
    assert planned[1].startswith(f"{foreign}to remove  {old}  {size:,} bytes\nto remove 1 item, ")
    assert done[1].startswith(f"{foreign}removed    {old}  {size:,} bytes\nremoved 1 item, ")
    assert lake.storage.folders(DATA) == [version_of(5), version_of(7)]
    assert list(instance.get_runs()) == []


def test_gc_leaves_a_day_that_a_run_works_on(
    capstone: Run, lake: Lake, spark: SparkSession, instance: dg.DagsterInstance
) -> None:
    publish_closes(lake, spark, FIRST, token=7)
    make_old(Path(lake.storage.root))
    Histories(instance).run("preprocessing", STARTING, STARTED, day=DAY)

    code, out, _ = capstone("gc")

    assert (code, out.splitlines()[-1]) == (0, "removed 0 items, 0 objects, 0 bytes")
    assert f"{version_of(1)}: a run works on its day, or waits for it\n" in out
