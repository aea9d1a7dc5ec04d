"""The soak itself: its plan, its deliveries, and that its judgement finds what is wrong."""

import os
import subprocess
import sys
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from capstone_dagster.settings import CHECKOUT
from capstone_dagster_tests.builders.published_files import DAY, close, publish
from capstone_dagster_tests.servers.platform import Platform
from capstone_dagster_tests.soak import judgement
from capstone_dagster_tests.soak.deliveries import Vendor
from capstone_dagster_tests.soak.installation import Installation
from capstone_dagster_tests.soak.plan import ON_DISK, ON_S3, Delivery, Fault, Step, days_of, draw
from capstone_dagster_tests.soak.watch import Series
from spark_code.lake import Lake
from spark_code.raw_files import SOURCES, RawFolder
from spark_code.raw_lines import count_lines
from spark_code.schemas import CLOSES, QUALITY, Table

VERSION, KILLED = f"{DAY}-1596700000000000-aaaaaaaa-1", f"{DAY}-1596700000000000-bbbbbbbb-1"


@pytest.mark.parametrize("faults", [ON_DISK, ON_S3], ids=["disk", "s3"])
def test_the_same_seed_draws_the_same_plan_with_every_fault_and_every_delivery(faults: tuple[Fault, ...]) -> None:
    plan = draw(7, 30, 600, faults)

    assert plan == draw(7, 30, 600, faults) != draw(8, 30, 600, faults)
    assert {step.what for step in plan} == {*Delivery, *faults}
    first = {(step.day, step.exchange): step.what for step in reversed(plan) if step.day}
    assert first.keys() == {(day, source.exchange) for day in days_of(30) for source in SOURCES}
    assert {*first.values()} == {Delivery.COMPLETE, Delivery.UNMARKED}
    assert max(step.at for step in plan) < 600


def test_the_vendor_delivers_days_that_can_be_read_and_changes_what_it_corrects(tmp_path: Path) -> None:
    raw = RawFolder(str(tmp_path / "raw"))
    vendor = Vendor(7, tmp_path / "raw", tmp_path / "drafts")
    day = days_of(1)[0]
    seen = []
    for what in (Delivery.COMPLETE, Delivery.CORRECTION, Delivery.REPLACEMENT):
        for source in SOURCES:
            vendor.act(Step(0, what, day, source.exchange))
        found = raw.deliveries(day)
        assert [delivery.has_success for delivery in found] == [True, True]
        seen.append((count_lines(found)[0], [delivery.fingerprint for delivery in found]))

    delivered, corrected, replaced = (lines for lines, _ in seen)
    assert corrected == delivered + 10
    assert replaced < corrected
    assert len({fingerprint for _, both in seen for fingerprint in both}) == 6


@pytest.fixture
def lakes(tmp_path: Path) -> tuple[Lake, Lake]:
    """With the same rows of one table."""
    found = Lake(str(tmp_path / "soaked")), Lake(str(tmp_path / "clean"))
    for lake in found:
        publish(lake, CLOSES, {"part-0.parquet": [close("A"), close("B")]}, VERSION)
    return found


def differences(lakes: tuple[Lake, Lake], table: Table = CLOSES) -> list[str]:
    """What is said about a table that both have."""
    said = judgement.rows(lakes[0].storage.root, lakes[1].storage.root, [DAY])
    return [finding for finding in said if table.path in finding]


def measure(value: str, sentence: str) -> dict[str, str]:
    """A row of ``quality/measures``; only its columns count, and not their types."""
    row = dict.fromkeys((name for name in QUALITY.columns if name != "trade_dt"), "the same")
    return row | {"value": value, "sentence": sentence}


def test_a_doubled_row_a_wrong_price_and_a_missing_day_are_found(lakes: tuple[Lake, Lake]) -> None:
    assert differences(lakes) == []

    publish(lakes[0], CLOSES, {"part-0.parquet": [close("A"), close("A"), close("B")]}, VERSION)
    [doubled] = differences(lakes)
    assert doubled.startswith(f"{DAY}: eod/closes: 1 rows are only in rows0")

    publish(lakes[0], CLOSES, {"part-0.parquet": [close("A"), close("B", "1.260000")]}, VERSION)
    assert len(differences(lakes)) == 2

    lakes[0].storage.delete([f"{CLOSES.path}/_published/{DAY}.json"])
    assert differences(lakes) == [f"eod/closes of {DAY} is not published"]


def test_of_measures_the_values_count_and_not_how_many_days_were_published_before(lakes: tuple[Lake, Lake]) -> None:
    for lake, sentence in zip(lakes, ("there are 3 days before", "there are 4 days before"), strict=True):
        publish(lake, QUALITY, {"part-0.parquet": [measure("1", sentence)]}, VERSION)
    assert differences(lakes, QUALITY) == []

    publish(lakes[0], QUALITY, {"part-0.parquet": [measure("2", sentence)]}, VERSION)
    assert len(differences(lakes, QUALITY)) == 2


def test_what_a_killed_attempt_has_left_is_removed_and_all_else_that_no_day_needs_is_found(
    lakes: tuple[Lake, Lake],
) -> None:
    lake, _ = lakes
    lake.storage.write(f"{CLOSES.path}/data/{KILLED}/trade_dt={DAY}/part-0.parquet", b"half")
    assert judgement.orphans(lake) == (1, [])

    left = [f"{CLOSES.path}/data/{VERSION}/trade_dt={DAY}/_temporary/part-9.parquet", f"{CLOSES.path}/notes"]
    for key in left:
        lake.storage.write(key, b"")
    assert judgement.orphans(lake) == (0, [f"{key} is left, and no published day needs it" for key in left])


def test_a_process_that_outlives_the_platform_is_found(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "input()"],
        stdin=subprocess.PIPE,
        env=os.environ | {"CAPSTONE_HOME": f"{tmp_path}"},
        cwd=CHECKOUT,
    ) as leaked:
        installation = Installation(Platform(tmp_path, DAY), {})
        [found] = judgement.living(tmp_path)
        [more] = judgement.more_processes(installation, Counter(), patience=0)
        leaked.kill()

    assert found.startswith(f"process {leaked.pid} ")
    assert more.startswith("1 more of python")
    assert list(judgement.living(tmp_path)) == []


def test_temporary_files_are_found_unless_killed_processes_have_left_them(tmp_path: Path) -> None:
    for name in ("tmpab1", "tmpcd2", "spark-1"):
        (tmp_path / name).touch()

    assert list(judgement.left_behind(tmp_path, 2)) == []
    assert [finding[:24] for finding in judgement.left_behind(tmp_path, 1)] == ["2 temporary files tmp..."]


@pytest.mark.parametrize(
    ("values", "grows"),
    [
        ([100 + 10 * number for number in range(30)], True),
        ([100 + 20 * min(number, 8) for number in range(30)], False),  # the start
        ([100.0, 190.0] * 15, False),
    ],
)
def test_growth_is_found_and_a_start_is_none(values: list[float], grows: bool) -> None:
    series = Series("daemon 1", "MiB", [10.0 * number for number in range(30)], values)

    assert bool(series.growth()) == grows
    assert Series("daemon 1", "MiB", [float(number) for number in range(30)], values).growth() is None


class Answering(Installation):
    """Its run storage answers with these rows."""

    rows: list[tuple[Any, ...]]

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        del sql, values
        return self.rows


def test_a_half_that_has_failed_or_that_nobody_has_made_is_found(tmp_path: Path) -> None:
    installation = Answering(Platform(tmp_path, DAY), {})
    days = [date(2020, 8, number) for number in (3, 4, 5)]
    installation.rows = [
        ("preprocessing_2020-08-03", "SUCCESS", None),
        ("analytical_2020-08-03", "SUCCESS", None),
        ("daily_pipeline_2020-08-03", "FAILURE", "the closes of the day before were missing"),
        ("preprocessing_2020-08-04", "FAILURE", "disk full"),
        ("analytical_2020-08-04", "SUCCESS", None),
        ("preprocessing_2020-08-05", "SUCCESS", None),
    ]

    assert list(judgement.statuses(installation, days)) == [
        "preprocessing_2020-08-04 is FAILURE: disk full",
        "analytical_2020-08-05 is not recorded: None",
    ]


def test_only_a_full_disk_explains_failures_and_those_of_the_days_after(tmp_path: Path) -> None:
    installation = Answering(Platform(tmp_path, DAY), {})
    friday, monday, wednesday = (date(2020, 8, number) for number in (7, 10, 12))
    installation.rows = [
        ("daily_pipeline_2020-08-07", friday, 100.0, 200.0, "no space"),
        ("daily_pipeline_2020-08-10", monday, 210.0, 220.0, "no closes"),
        ("daily_pipeline_2020-08-12", wednesday, 230.0, 240.0, "lost"),
    ]

    assert list(judgement.unexplained_failures(installation, [(150.0, 170.0)])) == [
        "daily_pipeline_2020-08-12 has failed: lost"
    ]
    assert len(list(judgement.unexplained_failures(installation, [(201.0, 209.0)]))) == 3
