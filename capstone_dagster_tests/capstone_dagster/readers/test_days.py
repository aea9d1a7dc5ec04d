"""The word for each trading day of each exchange, from manifests and from what lies in the raw folder."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from capstone_dagster import days
from capstone_dagster.readers.days import Day, words
from capstone_dagster.settings import Settings
from capstone_dagster.trading_days import trading_days
from capstone_dagster_tests.builders.lakes import deliver, point
from capstone_dagster_tests.builders.manifests import manifest_of
from capstone_dagster_tests.capstone_dagster.deliveries.test_listing import counted, put_many
from spark_code.corporate_actions import FILE, CorporateActions
from spark_code.lake import Lake
from spark_code.raw_files import SOURCES
from spark_code.schemas import BARS, CLOSES, DAILY_SUMMARY, EVENTS, QUALITY, QUOTES, TRADES
from spark_code.storage import Storage

DAY, HALF_DAY = date(2020, 8, 6), date(2020, 11, 27)
NONE: Mapping[str, str] = {}
BEYOND = {"NYSE": ["4 lines rejected", "2 symbols vanished"], "NASDAQ": []}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_mapping({"CAPSTONE_HOME": f"{tmp_path}"})


@pytest.fixture
def lake(settings: Settings) -> Lake:
    return Lake(settings.lake_uri)


def said(settings: Settings, day: date = DAY) -> dict[str, tuple[str, str | None]]:
    return {one.exchange: (one.word, one.reason) for one in words(settings, [day])}


def ingest(lake: Lake, version: str = "e1") -> None:
    point(lake, EVENTS, DAY, version)


def load(lake: Lake, quotes: str = "q1") -> None:
    ingest(lake)
    point(lake, TRADES, DAY, "t1", {EVENTS.path: "e1"})
    point(lake, QUOTES, DAY, quotes, {EVENTS.path: "e1"})


def report(lake: Lake, actions: Mapping[str, str] = NONE) -> None:
    for table in (DAILY_SUMMARY, BARS):
        point(lake, table, DAY, "s1", {TRADES.path: "t1", QUOTES.path: "q1", **actions})


def measure(
    lake: Lake,
    quotes: str = "q1",
    beyond: dict[str, list[str]] | None = None,
    stops: str = "",
    actions: Mapping[str, str] = NONE,
) -> None:
    facts: dict[str, Any] = {
        "beyond_limits": {"NYSE": [], "NASDAQ": []} if beyond is None else beyond,
        "stops": stops and [stops],
    }
    inputs = {EVENTS.path: "e1", TRADES.path: "t1", QUOTES.path: quotes, **actions}
    known = replace(manifest_of(DAY, "m1", inputs), facts=facts)
    lake.storage.write(f"{QUALITY.path}/_published/{DAY}.json", known.to_json())


def test_a_day_whose_measures_are_as_expected_is_available(settings: Settings, lake: Lake) -> None:
    load(lake)
    report(lake)
    measure(lake)

    assert list(words(settings, [DAY])) == [
        Day(DAY, exchange, "available", None, "2020-08-06T23:00:00.000+00:00", "s1") for exchange in ("NYSE", "NASDAQ")
    ]


def test_a_measure_beyond_its_limit_degrades_the_day_of_its_exchange(settings: Settings, lake: Lake) -> None:
    load(lake)
    report(lake)
    measure(lake, beyond=BEYOND)

    assert said(settings) == {
        "NYSE": ("degraded", "4 lines rejected; 2 symbols vanished"),
        "NASDAQ": ("available", None),
    }


@pytest.mark.parametrize(
    ("made", "word", "reason"),
    [
        ([load], "pending", "it is ingested, and its report is not published yet"),
        *(
            ([load, report, measure, after], "pending", "a correction is ingested, and its report is not published yet")
            for after in (
                lambda lake: load(lake, "q2"),
                lambda lake: ingest(lake, "e2"),
                lambda lake: point(lake, BARS, DAY, "s0", {TRADES.path: "t0", QUOTES.path: "q1"}),
            )
        ),
        (
            [load, lambda lake: measure(lake, stops="half of all lines rejected")],
            "pending",
            "it is beyond limits that stop it: half of all lines rejected",
        ),
        (
            [load, report, measure, lambda lake: lake.storage.delete([f"{EVENTS.path}/_published/{DAY}.json"])],
            "degraded",
            "its events are no longer published",
        ),
        ([load, report], "degraded", "its quality is not measured: capstone run 2020-08-06 --job analytical"),
        (
            [load, report, lambda lake: measure(lake, "q0")],
            "degraded",
            "its quality is not measured: capstone run 2020-08-06 --job analytical",
        ),
    ],
)
def test_a_day_that_is_under_way_says_at_what_it_is(
    settings: Settings, lake: Lake, made: Sequence[Callable[[Lake], None]], word: str, reason: str
) -> None:
    for make in made:
        make(lake)

    assert said(settings) == dict.fromkeys(("NYSE", "NASDAQ"), (word, reason))


def test_of_what_is_not_ingested_the_raw_folder_says_whether_it_is_delivered(settings: Settings) -> None:
    deliver(Path(settings.raw_uri), DAY, sources=[source for source in SOURCES if source.exchange == "NYSE"])

    assert said(settings) == {
        "NYSE": ("pending", "it is delivered, and not ingested yet"),
        "NASDAQ": ("missing", None),
    }


def test_a_raw_folder_that_cannot_be_read_is_a_reason_and_hides_no_day(settings: Settings) -> None:
    deliver(Path(settings.raw_uri), DAY)
    Path(settings.raw_uri, SOURCES[0].folder(DAY), "x.csv.zst").touch()

    word, reason = said(settings)["NYSE"]

    assert (word, said(settings)["NASDAQ"][0]) == ("pending", "pending")
    assert str(reason).startswith("whether it is delivered cannot be seen: ")


def test_which_of_many_days_are_delivered_takes_a_few_calls_of_s3(
    s3_uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = Settings.from_mapping({"CAPSTONE_RAW_URI": f"{s3_uri}/raw", "CAPSTONE_LAKE_URI": f"{s3_uri}/lake"})
    calendar = trading_days(settings.first_trading_day)
    delivered = calendar.parse("2020-08-05..2020-08-14")
    put_many(settings.raw_uri, delivered, files=3)
    wanted = calendar.parse("2020-08-05..2020-12-31")
    list(words(settings, wanted[:2]))
    with counted(caplog) as calls_for_two:
        list(words(settings, wanted[:2]))

    with counted(caplog) as calls:
        found = list(words(settings, wanted))

    assert {one.trade_dt for one in found if one.word == "pending"} == {*delivered}
    assert len(calls) == len(calls_for_two)


def test_a_report_made_with_other_corporate_actions_is_pending(settings: Settings, lake: Lake) -> None:
    load(lake)
    report(lake)
    measure(lake)
    raw = Storage(settings.raw_uri)
    raw.write(FILE, b"ABC,2020-08-06,split,4\nABC,2020-08-07,split,4\n")
    pending = ("pending", "its corporate actions have changed, and its report is not published yet")

    assert said(settings)["NYSE"] == pending
    report(lake, CorporateActions(settings.raw_uri).of(DAY, date(2020, 8, 5)).as_input())
    assert said(settings)["NYSE"] == pending
    measure(lake, actions=CorporateActions(settings.raw_uri).of(DAY, date(2020, 8, 5)).as_input())
    assert said(settings)["NYSE"] == ("available", None)
    raw.delete([FILE])
    assert said(settings)["NYSE"] == pending


def test_a_report_made_with_other_closes_of_the_day_before_or_with_none_is_pending(
    settings: Settings, lake: Lake
) -> None:
    load(lake)
    report(lake)
    measure(lake)
    before = date(2020, 8, 5)
    pending = ("pending", "the closes of 2020-08-05 have changed, and its report is not published yet")
    assert said(settings)["NYSE"] == ("available", None)

    point(lake, CLOSES, before, "c1")
    assert said(settings)["NYSE"] == pending
    report(lake, {CLOSES.path: "c1"})
    assert said(settings)["NYSE"] == pending
    measure(lake, actions={CLOSES.path: "c1"})
    assert said(settings)["NYSE"] == ("available", None)
    point(lake, CLOSES, before, "c2")
    assert said(settings)["NYSE"] == pending


def test_a_file_of_actions_that_cannot_be_read_hides_no_word(settings: Settings, lake: Lake) -> None:
    load(lake)
    report(lake)
    measure(lake)
    Storage(settings.raw_uri).write(FILE, b" " * 10_000_001)

    assert said(settings)["NYSE"] == ("available", None)


def test_a_day_of_which_a_table_was_rolled_back_is_degraded_and_says_why(settings: Settings, lake: Lake) -> None:
    load(lake)
    report(lake)
    measure(lake)
    why = {"by": "ann on desk", "reason": "wrong prices", "withdrawn": "c2", "files": {}}
    closes = replace(manifest_of(DAY, "c1"), rolled_back=why)
    lake.storage.write(f"{CLOSES.path}/_published/{DAY}.json", closes.to_json())

    assert said(settings)["NYSE"] == ("degraded", "eod/closes was rolled back by ann on desk: wrong prices")


def test_before_the_first_trading_day_there_are_no_words(settings: Settings) -> None:
    assert list(words(settings, [])) == []


def test_a_day_on_which_the_exchange_closes_early_says_so(settings: Settings) -> None:
    assert said(settings, HALF_DAY)["NYSE"] == ("missing", "closes at 13:00")


def test_days_are_an_arrow_table_of_trading_days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPSTONE_HOME", f"{tmp_path}")

    found = days("2020-08-07", date(2020, 8, 10))

    assert found.column_names == ["trade_dt", "exchange", "word", "reason", "since", "version"]
    assert found["trade_dt"].to_pylist() == [date(2020, 8, 7)] * 2 + [date(2020, 8, 10)] * 2
    assert set(found["word"].to_pylist()) == {"missing"}
    assert days()["trade_dt"][0].as_py() == date(2020, 8, 5)
