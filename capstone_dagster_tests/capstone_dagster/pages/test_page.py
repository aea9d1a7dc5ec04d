"""One day's page: what it says is what the tables hold, whatever they hold."""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from html import unescape
from pathlib import Path
from random import Random
from urllib.parse import unquote

import dagster as dg
import pytest

from capstone_dagster.pages.addresses import page_key
from capstone_dagster.pages.numbers import numbers
from capstone_dagster.pages.publishing import Pages
from capstone_dagster.pages.sources import MixedVersionsError, Sources
from capstone_dagster_tests.builders.html_pages import HtmlPage
from capstone_dagster_tests.builders.page_days import DAY, NEXT_DAY, Stock, publish_day
from capstone_dagster_tests.capstone_dagster.pages.conftest import pages_below
from spark_code.lake import Lake, StaleAttemptError
from spark_code.schemas import DAILY_SUMMARY, Reject

HALF_DAY = date(2020, 11, 27)
BAD = {Reject.BAD_NUMBER: ["a,b,NaN", "a,b,inf"], Reject.BLANK: [""]}


def html_of(lake: Lake, day: date = DAY) -> str:
    return (lake.storage.read(page_key(day)) or b"").decode()


def test_the_numbers_of_a_page_are_those_of_the_tables(lake: Lake, pages: Pages) -> None:
    chance = Random(16)  # noqa: S311 - a day at random, always the same
    stocks = [
        Stock(
            f"S{number}",
            [f"{chance.uniform(5, 50):.2f}" for _ in range(chance.randint(1, 9))],
            prev_close=f"{chance.uniform(5, 50):.2f}",
            size=chance.randint(1, 5000),
        )
        for number in range(12)
    ]
    publish_day(lake, DAY, stocks, BAD, corrections=2)

    pages.publish(DAY)

    page = HtmlPage(html_of(lake))
    summaries = {row["symbol"]: row for row in (stock.summary() for stock in stocks)}
    shown = page.table("Symbol", "Spread, bp")
    assert {row[0] for row in shown} == set(summaries)
    for symbol, _, opened, high, low, close, change, vwap, shares, turnover, trades, quotes, _ in shown:
        row = summaries[symbol]
        prices = [row[name] for name in ("open_pr", "high_pr", "low_pr", "close_pr", "vwap_pr")]
        assert [number(each) for each in (opened, high, low, close, vwap)] == pytest.approx(
            [*map(float, prices)], abs=0
        )
        assert number(change) == pytest.approx(float(row["change_pct"]), abs=0.005)
        assert [number(shares), number(trades), number(quotes)] == [
            *(row["volume"], row["trade_count"], row["quote_count"])
        ]
        assert number(turnover) == round(float(row["vwap_pr"]) * row["volume"])
    assert [number(row[1]) for row in page.table("From", "Median spread, bp")] == [
        sum(stock.size for stock in stocks if len(stock.prices) > place) for place in range(9)
    ]
    lines = 2 * sum(len(stock.prices) for stock in stocks) + 2
    text = " ".join(page.text.split())
    assert (
        f"Lines in{lines + 3}Accepted{lines}Rejected3 {300 / (lines + 3):.2f} %Corrections applied2Late events3" in text
    )
    assert page.table("Reason", "For example") == [["bad number", "2", "", "a,b,NaN"], ["blank", "1", "", "–"]]  # noqa: RUF001


def number(text: str) -> float:
    """What a cell says, without arrows and units."""
    return float(re.sub(r"[^0-9.−]", "", text).replace("−", "-"))  # noqa: RUF001


def test_a_chart_and_the_table_below_it_say_the_same(lake: Lake, pages: Pages) -> None:
    publish_day(lake, DAY, [Stock("SYMA", ["10.00", "10.25", "10.1"], prev_close="9.90", size=300)])

    pages.publish(DAY)

    html = html_of(lake)
    assert HtmlPage(html).table("From", "Quotes") == [
        ["9:30", "9.99", "10.01", "10.00", "10.00", "10.00", "20.0", "300", "1", "1"],
        ["9:35", "10.24", "10.26", "10.25", "10.25", "10.25", "19.5", "300", "1", "1"],
        ["9:40", "10.09", "10.11", "10.10", "10.10", "10.10", "19.8", "300", "1", "1"],
    ]
    assert (
        "<title>9:35 to 9:40\nbid 10.24, ask 10.26\ntrades 10.25 to 10.25\n30-minute average 10.25\n"
        "spread 19.5 basis points\n300 shares</title>" in unescape(html)
    )


def test_a_chart_shows_the_adjusted_close_if_the_day_has_one(lake: Lake) -> None:
    for stock, shown in ((Stock("A", prev_close="40", adjusted="10"), 10), (Stock("A", prev_close="40"), 40)):
        publish_day(lake, DAY, [stock])
        (charted,) = numbers(Sources.published(lake, DAY, None)).charted
        assert charted.row.prev_close_pr == shown


def test_headlines_are_compared_with_the_day_before(lake: Lake, pages: Pages) -> None:
    publish_day(lake, DAY, [Stock("SYMA", ["10"], size=100), Stock("SYMB", ["10"], size=100)])
    publish_day(lake, NEXT_DAY, [Stock("SYMA", ["11"], size=300)])
    pages.publish(DAY)

    made = pages.publish(NEXT_DAY)

    text = " ".join(HtmlPage(html_of(lake, NEXT_DAY)).text.split())
    assert "Shares traded 300 +50.0 % from 200" in text
    assert "Turnover $3,300 +65.0 % from 2,000" in text
    assert "← 2020-08-05" in text
    assert (
        made.entry.sentence
        == "1 symbol traded 300 shares for $3,300; 1 rose, none fell, and SYMA moved most: +10.00 %."
    )


@pytest.mark.parametrize(
    ("stocks", "rejects", "sentence", "word"),
    [
        ([], {}, "The exchanges delivered no lines.", "available"),
        ([], BAD, "Nothing was accepted: 3 lines came, and all were rejected.", "degraded"),
        ([Stock("A", is_traded=False)], {}, "Nothing was traded; 1 symbol had 3 quotes.", "available"),
        ([Stock("A", ["5"], None)], {}, "1 symbol traded 100 shares for $500.", "available"),
    ],
    ids=["nothing", "rejects only", "no trades", "no previous close"],
)
def test_a_day_is_said_in_one_sentence_and_a_word(
    lake: Lake, pages: Pages, stocks: Sequence[Stock], rejects: Mapping[Reject, Sequence[str]], sentence: str, word: str
) -> None:
    publish_day(lake, DAY, stocks, rejects)

    entry = pages.publish(DAY).entry

    assert (entry.sentence, entry.word) == (sentence, word)
    assert sentence in HtmlPage(html_of(lake)).text


def test_the_first_trading_day_misses_no_close(tmp_path: Path, lake: Lake) -> None:
    publish_day(lake, DAY, [Stock("SYMA", prev_close=None)])

    entry = pages_below(tmp_path, DAY).publish(DAY).entry

    assert (entry.word, entry.reason) == ("available", "")
    assert "This is the first trading day" in html_of(lake)


def test_a_half_day_ends_early(lake: Lake, pages: Pages) -> None:
    publish_day(lake, HALF_DAY, [Stock("SYMA")])

    pages.publish(HALF_DAY)

    assert "The exchanges closed early, at 13:00." in html_of(lake, HALF_DAY)
    assert ">13:00</text>" in html_of(lake, HALF_DAY)
    assert ">16:00</text>" not in html_of(lake, HALF_DAY)


def test_hostile_names_and_lines_are_just_text(lake: Lake, pages: Pages) -> None:
    names = ["<script>alert(1)</script>", "\x1b[31mRED", "\u202eDEMROFER", '"><img src=x>', "{{ 7*7 }}", ""]
    publish_day(lake, DAY, [Stock(name) for name in names], {Reject.BAD_JSON: ["<img src=x onerror=alert(1)>\u202e"]})

    pages.publish(DAY)

    html, index = html_of(lake), (lake.storage.read("report/index.html") or b"").decode()
    page = HtmlPage(html)
    assert {tag for tag, _ in [*page.elements, *HtmlPage(index).elements]}.isdisjoint({"script", "img"})
    assert not {"\x1b", "\u202e"}.intersection(html + index)
    shown = [row[0] for row in page.table("Symbol", "Spread, bp")]
    assert sorted(shown) == sorted(
        ["<script>alert(1)</script>", r"\x1b[31mRED", r"\u202eDEMROFER", '"><img src=x>', "{{ 7*7 }}", "(empty)"]
    )
    assert page.table("Reason", "For example")[0][3] == r"<img src=x onerror=alert(1)>\u202e"


def test_a_page_needs_nothing_but_itself(lake: Lake, pages: Pages) -> None:
    publish_day(lake, DAY, [Stock(f"S{number}", ["10", "11"] * 39) for number in range(40)])

    made = pages.publish(DAY, "a-run")

    html = html_of(lake)
    page = HtmlPage(html)
    assert made.bytes == len(html.encode()) < 1_500_000
    assert not [value for _, given in page.elements for name, value in given.items() if name in ("src", "srcset")]
    assert not re.findall(r"url\(|@import", html)
    links = [given["href"] or "" for tag, given in page.elements if tag == "a"]
    assert [link for link in links if "://" in link] == ["http://127.0.0.1:3000/runs/a-run"]
    for link in links:
        if link.startswith("../../"):
            assert lake.storage.exists(unquote(link.removeprefix("../../")))
    # Each of them would be found by its name from everywhere in the page.
    names = [given["id"] for _, given in page.elements if "id" in given]
    assert len(names) == len(set(names))


def test_the_same_tables_give_the_same_page(lake: Lake, pages: Pages) -> None:
    publish_day(lake, DAY, [Stock("SYMA"), Stock("SYMB", ["20", "21", "20.5"], exchange="NASDAQ")])

    def page() -> str:
        pages.publish(DAY)
        return re.sub("Made on .* UTC", "", html_of(lake))

    assert page() == page()


def test_a_page_of_versions_that_count_no_more_is_not_written(lake: Lake, pages: Pages) -> None:
    publish_day(lake, DAY, [Stock("OLD")])
    pages.publish(DAY)
    before = html_of(lake)

    def meanwhile() -> None:
        publish_day(lake, DAY, [Stock("NEW")], version="v2")

    with pytest.raises(StaleAttemptError, match="published anew meanwhile"):
        pages.publish(DAY, require_right=meanwhile)
    assert html_of(lake) == before

    pages.publish(DAY)
    assert "NEW" in html_of(lake)


def test_a_report_whose_tables_come_from_two_loads_has_no_page(lake: Lake, pages: Pages) -> None:
    publish_day(lake, DAY, [Stock("SYMA")])
    summary = lake.storage.read(f"{DAILY_SUMMARY.path}/_published/{DAY}.json") or b""
    publish_day(lake, DAY, [Stock("SYMA")], version="v2")
    lake.storage.write(f"{DAILY_SUMMARY.path}/_published/{DAY}.json", summary)

    with pytest.raises(MixedVersionsError, match=f"capstone run {DAY} --job analytical"):
        pages.publish(DAY)


def test_a_report_of_an_earlier_ingest_says_so(lake: Lake, pages: Pages) -> None:
    publish_day(lake, DAY, [Stock("SYMA")])
    kept = {
        table: lake.storage.read(f"report/{table}/_published/{DAY}.json") or b""
        for table in ("quote_analytics", "daily_summary", "bars")
    }
    publish_day(lake, DAY, [Stock("SYMA")], version="v2")
    for table, pointer in kept.items():
        lake.storage.write(f"report/{table}/_published/{DAY}.json", pointer)

    entry = pages.publish(DAY).entry

    assert entry.word == "degraded"
    assert (
        entry.reason == "the day was ingested again after its quality was measured and reported; run analytical again"
    )


def test_a_day_that_is_not_published_says_what_to_run(pages: Pages) -> None:
    with pytest.raises(dg.Failure, match=f"capstone run {DAY} --job preprocessing"):
        pages.publish(DAY)
