"""What the UI shows of a published day: the numbers of its page, movers, a picture, and how good it is."""

import re
from base64 import b64decode
from datetime import timedelta
from typing import Any
from xml.etree import ElementTree as ET

import dagster as dg
import pytest

from capstone_dagster.pages.charts import Hours
from capstone_dagster.pages.day_metadata import day_metadata
from capstone_dagster.pages.numbers import Moment
from capstone_dagster.pages.picture import picture, picture_in_markdown
from capstone_dagster.trading_days import trading_days
from capstone_dagster_tests.builders.page_days import DAY, Stock, publish_day
from spark_code.lake import Lake
from spark_code.schemas import BARS, DAILY_SUMMARY, EVENTS, QUALITY, Reject, Table

BAD = {Reject.BAD_NUMBER: ["a,b,NaN", "a,b,inf"], Reject.BLANK: [""]}
STOCKS = [
    Stock("SYMA", ["10.00", "11.00"], "10.00", size=200),
    Stock("SYMB", ["20.00", "19.00", "19.00"], "20.00"),
    Stock("SYMC", ["5.00"], "5.00"),
    Stock("SYMD", ["1.00"], None, is_traded=False),
]
SYMBOLS = ("![x](http://evil.example/x.svg)", "<script>alert(1)</script>", "[a](http://evil.example)", "A|B\nC\x1b")


def shown(lake: Lake, table: Table = DAILY_SUMMARY, warnings: tuple[str, ...] = ()) -> dict[str, Any]:
    """The metadata of the published version, tables as lists of rows; the warnings begin like these."""
    heard: list[str] = []
    found = day_metadata(trading_days(DAY), lake, table, lake.require(table, DAY), heard.append)
    assert [text[: len(begin)] for text, begin in zip(heard, warnings, strict=True)] == [*warnings]
    return {name: rows_of(value) for name, value in found.items()}


def rows_of(value: object) -> object:
    if isinstance(value, dg.TableMetadataValue):
        return [tuple(record.data.values()) for record in value.records]
    return value.value if isinstance(value, dg.TextMetadataValue) else value


def test_a_summary_has_the_headline_numbers_and_the_movers(lake: Lake) -> None:
    publish_day(lake, DAY, STOCKS, BAD)

    found = shown(lake)

    del found["volume_by_time"]
    assert found == {
        "risers": [("SYMA", "NYSE", "11.00", "+10.00 %")],
        "fallers": [("SYMB", "NYSE", "19.00", "−5.00 %")],  # noqa: RUF001
        "turnover": 10500.0,
        "shares": 800,
        "trades": 6,
        "quotes": 7,
        "symbols": 3,
        "advancers": 1,
        "decliners": 1,
        "unchanged": 1,
        "median_spread_bps": 19.048,
        "rejected_percent": 18.75,
        "late_events": 3,
    }


def test_a_day_without_trades_has_neither_movers_nor_a_picture(lake: Lake) -> None:
    publish_day(lake, DAY, [Stock("SYMA", is_traded=False)])

    found = shown(lake)

    assert (found["risers"], found["fallers"], found["turnover"]) == ("none", "none", 0.0)
    assert not found.keys() & {"volume_by_time", "median_spread_bps"}


def test_a_symbol_is_text_in_a_table_and_nowhere_else(lake: Lake) -> None:
    publish_day(lake, DAY, [Stock(symbol, ["10.00", f"{20 + n}.00"]) for n, symbol in enumerate(SYMBOLS)])

    found = shown(lake)

    markdown = found["volume_by_time"].md_str
    assert re.fullmatch(r"!\[volume through the day\]\(data:image/svg\+xml;base64,[A-Za-z0-9+/=]+\)", markdown)
    assert not [symbol for symbol in SYMBOLS if symbol.encode() in b64decode(markdown.split(",")[1][:-1])]
    assert {row[0] for row in found["risers"]} == {*SYMBOLS[:3], "A|B C\\x1b"}


def test_bars_of_another_load_give_no_picture_and_lines_of_another_ingest_no_numbers(lake: Lake) -> None:
    publish_day(lake, DAY, STOCKS, BAD)
    newer = Lake(f"{lake.storage.root}_newer")
    for table, manifest in publish_day(newer, DAY, STOCKS, BAD, version="v2").items():
        if table in (BARS, EVENTS):
            lake.storage.write(f"{table.path}/_published/{DAY}.json", manifest.to_json())

    found = shown(lake)

    assert found["shares"] == 800
    assert not found.keys() & {"volume_by_time", "rejected_percent", "late_events"}


def test_what_cannot_be_read_is_a_warning_and_stops_nothing(lake: Lake) -> None:
    manifest = publish_day(lake, DAY, STOCKS)[DAILY_SUMMARY]
    lake.storage.delete(manifest.paths)

    assert shown(lake, warnings=("the numbers of report/daily_summary are not shown: ",)) == {}


def test_measures_are_counted_by_table_and_verdict_and_those_beyond_their_limits_are_shown(lake: Lake) -> None:
    publish_day(lake, DAY, STOCKS, sentence="![x](http://evil.example/x.svg)")

    found = shown(lake, QUALITY)

    assert [row[0] for row in found["verdicts"]] == ["ingested/events", "eod/trades", "eod/quotes", "eod/closes"]
    assert [row[-1] for row in found["not_as_expected"]] == [
        "![x](http://evil.example/x.svg)",
        "quotes without a close of the day before",
    ]


def test_other_tables_have_no_more_than_their_manifests_say(lake: Lake) -> None:
    publish_day(lake, DAY, STOCKS)

    assert shown(lake, BARS) == {}


@pytest.mark.parametrize("hours", [Hours(570, 960), Hours(570, 780), Hours(565, 965), Hours(0, 1440), Hours(240, 1200)])
def test_the_ui_shows_the_picture_without_a_click_whatever_the_hours_are(hours: Hours) -> None:
    moments = [Moment(minute, 10 + minute % 7, None, 1, 1, None) for minute in range(*hours, 5)]
    moments[0] = moments[0]._replace(shares=30)

    markdown = picture_in_markdown(moments, hours)

    assert len(markdown) < 1000  # the UI's limit
    drawn = ET.fromstring(b64decode(markdown.split(",")[1][:-1]))  # noqa: S314 - drawn here
    assert [text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")] == [
        str(timedelta(minutes=minute))[:-3] if minute < 1440 else "24:00" for minute in hours
    ]


def test_the_picture_has_a_bar_for_every_five_minutes_as_high_as_their_volume() -> None:
    moments = [Moment(570, 100, None, 1, 1, None), Moment(580, 50, None, 1, 1, None)]

    drawn = picture(moments, Hours(570, 590))

    assert 'd="M0 28V0h1V28h1V14h1V28h1V28Z"' in drawn
    assert 'transform="scale(39 1)"' in drawn
