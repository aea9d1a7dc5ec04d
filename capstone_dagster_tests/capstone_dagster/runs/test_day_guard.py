"""Which runs may begin: sentences for those that may not, and whatever text is given as a partition."""

import random
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import exchange_calendars
import pytest
from dagster_pyspark import LazyPySparkResource
from pyspark.sql import SparkSession

from capstone_dagster.assets.jobs import LANDED
from capstone_dagster.run_tags import PARTITION_TAG, RANGE_TAGS
from capstone_dagster.runs.day_guard import why_refused
from capstone_dagster.runs.failure_reasons import run_reason
from capstone_dagster.steps.lake_io_manager import LakeIOManager, ReportOptions
from capstone_dagster.steps.retries import Retries
from capstone_dagster.tracker import Tracker
from capstone_dagster.trading_days import trading_days
from capstone_dagster_tests.servers.job_status_database import Database
from capstone_dagster_tests.servers.platform import Platform, failure
from spark_code.drafts import Draft
from spark_code.few_rows import few_rows
from spark_code.schemas import CLOSES, TABLES

FIRST = date(2020, 8, 5)
SATURDAY = date(2020, 8, 8)
START, END = RANGE_TAGS
_EVENTS = dg.AssetKey(["ingested", "events"])
_ALL_RUNS = "__ASSET_JOB"


def refusal(tags: Mapping[str, str], job: str = "daily_pipeline", **what: object) -> str | None:
    return why_refused(dg.DagsterRun(job_name=job, tags=tags, **what), FIRST)  # type: ignore[arg-type]


def cannot(day: str, why: str) -> str:
    return f"{day} cannot be run: {why}"


@pytest.mark.parametrize(
    ("partition", "sentence"),
    [
        ("2020-08-06", None),
        ("2020-08-08", cannot("2020-08-08", "the NYSE is closed on Saturdays")),
        ("2020-09-07", cannot("2020-09-07", "the NYSE is closed on Labor Day")),
        (
            "2020-08-04",
            cannot("2020-08-04", "it is before the first trading day 2020-08-05 (CAPSTONE_FIRST_TRADING_DAY)"),
        ),
        ("2041-01-02", cannot("2041-01-02", "the calendar ends with 2040-12-31")),
        ("2020-02-30", "'2020-02-30' is not a date: day is out of range for month; write yyyy-mm-dd"),
        ("2020-8-6", "'2020-8-6' is not a date; write yyyy-mm-dd"),
        ("20200806", "'20200806' is not a date; write yyyy-mm-dd"),
        ("", "'' is not a date; write yyyy-mm-dd"),
        (" 2020-08-06", "' 2020-08-06' is not a date; write yyyy-mm-dd"),
        ("2020-08-06\n", r"'2020-08-06\n' is not a date; write yyyy-mm-dd"),
        ("2020-08-06|x", "'2020-08-06|x' is not a date; write yyyy-mm-dd"),
        (
            "\u0662\u0660\u0662\u0660-\u0660\u0668-\u0660\u0666",
            "'\u0662\u0660\u0662\u0660-\u0660\u0668-\u0660\u0666' is not a date; write yyyy-mm-dd",
        ),
        ("9" * 1000, f"'{'9' * 40}...' is not a date; write yyyy-mm-dd"),
    ],
)
def test_a_partition_is_refused_by_the_sentence_that_says_why_it_is_no_trading_day(
    partition: str, sentence: str | None
) -> None:
    assert refusal({PARTITION_TAG: partition}) == sentence
    assert refusal({PARTITION_TAG: partition}, _ALL_RUNS, asset_selection=frozenset({_EVENTS})) == sentence
    assert refusal({START: partition, END: partition}) == sentence


@pytest.mark.parametrize(
    ("first", "last", "sentence"),
    [
        ("2020-09-04", "2020-09-08", None),  # a weekend and Labor Day lie between
        ("2020-08-06", "2020-08-06", None),
        ("2020-08-08", "2020-08-10", cannot("2020-08-08", "the NYSE is closed on Saturdays")),
        ("2020-09-04", "2020-09-07", cannot("2020-09-07", "the NYSE is closed on Labor Day")),
        ("2020-08-07", "2020-08-06", "2020-08-07..2020-08-06: 2020-08-07 is after 2020-08-06"),
        ("2020-08-06", "", "'' is not a date; write yyyy-mm-dd"),
    ],
)
def test_a_range_goes_from_one_trading_day_to_another(first: str, last: str, sentence: str | None) -> None:
    assert refusal({START: first, END: last}) == sentence


def test_a_run_is_of_a_day_or_of_a_range_and_names_it_once() -> None:
    day, only = (
        {PARTITION_TAG: "2020-08-06"},
        f"a run must name one day ({PARTITION_TAG}) or a range ({START} and {END})",
    )

    assert refusal({START: "2020-08-06"}) == f"{only}, but this one has the tags {START}"
    assert refusal(
        day | {START: "2020-08-06", END: "2020-08-06"}
    ) == f"{only}, but this one has the tags {END}, {START}, " + (PARTITION_TAG)
    # Dagster would take its partition from the second.
    assert refusal(day | {"dagster/partition/day": "2020-08-08"}) == (
        f"{only}, but this one has the tags {PARTITION_TAG}, dagster/partition/day"
    )


@pytest.mark.parametrize(
    ("facts", "is_whole"),
    [
        ({}, True),
        ({"asset_selection": frozenset({_EVENTS})}, True),
        ({"step_keys_to_execute": ["ingested__events", "eod", "quality", "report"]}, True),
        ({"step_keys_to_execute": ["eod"]}, False),
        ({"asset_check_selection": frozenset({LANDED})}, False),
    ],
)
def test_a_range_is_of_a_whole_job_or_of_assets(facts: dict[str, Any], is_whole: bool) -> None:
    told = refusal({START: "2020-08-05", END: "2020-08-07"}, **facts)

    assert (told is None) == is_whole
    assert is_whole or str(told).endswith("choose ops, steps or checks for one day")


def test_only_what_makes_no_table_needs_no_day() -> None:
    dayless = "this run names no trading day: choose a partition in the UI, or name one, as in --tags "
    dayless += """'{"dagster/partition": "2020-08-06"}'"""
    checks = frozenset({LANDED})

    assert refusal({}) == refusal({}, _ALL_RUNS, asset_selection=frozenset({_EVENTS})) == dayless
    assert refusal({}, _ALL_RUNS) == dayless
    assert refusal({}, _ALL_RUNS, asset_selection=frozenset({_EVENTS}), asset_check_selection=checks) == dayless
    assert refusal({}, _ALL_RUNS, asset_check_selection=checks) is None
    assert refusal({}, _ALL_RUNS, asset_selection=frozenset(), asset_check_selection=checks) is None
    assert (
        refusal({PARTITION_TAG: "x"}, _ALL_RUNS, asset_check_selection=checks) == "'x' is not a date; write yyyy-mm-dd"
    )


# --- whatever text is a partition ---


def partitions(number: int, seed: int) -> Iterator[str]:
    """Dates of any time, and texts that are nearly dates."""
    draw = random.Random(seed)  # noqa: S311
    for _ in range(number):
        around = FIRST + timedelta(days=draw.randint(-4_000, 12_000))
        near = FIRST + timedelta(days=draw.randint(-3, 60))
        day = draw.choice([around, near]).isoformat()
        at = draw.randrange(len(day))
        yield draw.choice(
            [
                day,
                day,
                day,
                draw.choice(["", " ", "\n", "\0", "|", "*", "..", "None", "latest", "0" * 5_000]),
                day[:at]
                + draw.choice(["", "0", "9", " ", "/", "\u0660", "\uff10", "\t", "'", "\x1b[31m"])
                + day[at + 1 :],
                day
                + draw.choice(["\n", " ", "|NYSE", "-00:00", "T00:00", f"..{near}", f"...{near}", f",{near}", "\0"]),
                day.replace("-0", "-"),
                day.replace("-", ""),
                near.strftime("%G-W%V-%u"),
            ]
        )


def test_of_two_thousand_texts_exactly_the_trading_days_that_have_begun_may_be_run(
    rounds: Callable[[int], int],
) -> None:
    nyse = exchange_calendars.get_calendar("XNYS", start=f"{FIRST}", end="2040-12-31")
    may_be_run = {f"{day.date()}" for day in nyse.sessions if day.date() < datetime.now(UTC).date()}
    today = {f"{datetime.now(UTC).date()}"}  # begins in New York in the course of it

    accepted, refused = 0, 0
    for text in partitions(rounds(2_000), seed=12):
        if text not in today:
            assert (refusal({PARTITION_TAG: text}) is None) == (text in may_be_run), text
            assert (refusal({START: text, END: text}) is None) == (text in may_be_run), text
            accepted, refused = accepted + (text in may_be_run), refused + (text not in may_be_run)
    assert accepted * 20 > refused > accepted


def test_no_text_but_a_trading_day_gets_a_run_to_its_first_step(
    tmp_path: Path, database: Database, rounds: Callable[[int], int]
) -> None:
    """With the real definitions and Dagster's own executor in place of ours; Spark is never needed."""
    platform = Platform(tmp_path, FIRST)
    platform.sample(FIRST)
    for delivered in platform.raw.glob(f"*/{FIRST}"):
        delivered.rename(delivered.with_name(f"{SATURDAY}"))
    preprocessing = platform.defs.resolve_job_def("preprocessing")
    analytical = platform.defs.resolve_job_def("analytical")
    seed = random.randrange(10**6)  # noqa: S311
    print(f"seed {seed}")  # noqa: T201 -- pytest shows it with a failure
    texts = [f"{SATURDAY}", *partitions(rounds(12), seed)]

    instance = database.instance
    for text in texts:
        for job in (preprocessing, analytical):
            try:
                ran = job.execute_in_process(tags={PARTITION_TAG: text}, instance=instance, raise_on_error=False)
            except ValueError:  # Dagster itself makes no run of what its calendar cannot read
                assert refusal({PARTITION_TAG: text}), text
                continue
            begun = [event.step_key for event in ran.all_events if event.is_step_start]
            sentence = refusal({PARTITION_TAG: text})
            assert not ran.success
            assert bool(begun) == (sentence is None), text
            if sentence:
                assert run_reason(instance, ran.run_id) == sentence
    tracked = {job.job_id.rpartition("_")[2] for job in Tracker(instance).latest(1_000)}
    assert tracked == {text for text in texts if refusal({PARTITION_TAG: text}) is None}
    assert all(platform.lake.days(table) == [] for table in TABLES.values())


# --- below the guard ---


def test_a_step_that_no_guard_has_stopped_publishes_a_day_that_is_none_as_no_other(
    spark: SparkSession, tmp_path: Path
) -> None:
    @dg.asset(key=["eod", "closes"], io_manager_key="lake", partitions_def=trading_days(FIRST).partitions)
    def closes() -> Draft:
        rows = few_rows(spark, [(SATURDAY, "AAA", "NYSE", Decimal("1.25"))], CLOSES.schema)
        return Draft(CLOSES, rows, inputs={})

    manager = LakeIOManager(
        uri=f"{tmp_path}",
        spark=LazyPySparkResource(spark_config={}),
        report_options=ReportOptions(),
        retries=Retries(max_retries=0),
    )
    ran = dg.materialize(
        [closes], tags={PARTITION_TAG: f"{SATURDAY}"}, resources={"lake": manager}, raise_on_error=False
    )

    assert failure(ran) == (
        "eod/closes: the run is of 2020-08-08, and Dagster would record the partition 2020-08-10; not published"
    )
    assert not list(tmp_path.iterdir())
