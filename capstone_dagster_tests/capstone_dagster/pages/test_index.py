"""The index of all days: every page that is published, however many are written at once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import boto3
import pytest

from capstone_dagster.pages import publishing
from capstone_dagster.pages.addresses import INDEX_KEY, page_key
from capstone_dagster.pages.publishing import Pages
from capstone_dagster_tests.builders.html_pages import HtmlPage
from capstone_dagster_tests.builders.page_days import DAY, NEXT_DAY, Stock, publish_day
from capstone_dagster_tests.capstone_dagster.pages.conftest import pages_below
from spark_code.lake import Lake
from spark_code.schemas import DAILY_SUMMARY, Reject

DAYS = [date(2020, 8, day) for day in (4, 5, 6, 7, 10)]


def listed(lake: Lake) -> list[str]:
    """The days of the index, in its order."""
    html = (lake.storage.read(INDEX_KEY) or b"").decode()
    links = [given["href"] or "" for tag, given in HtmlPage(html).elements if tag == "a"]
    return [link.removeprefix("page/").removesuffix(".html") for link in links]


def test_it_lists_the_days_with_sentence_word_and_picture_the_newest_first(lake: Lake, pages: Pages) -> None:
    publish_day(lake, NEXT_DAY, [Stock("SYMA", ["10.10"])])
    publish_day(lake, DAY, [Stock("SYMA", ["10.10"])], {Reject.BLANK: [""] * 8})
    pages.publish(NEXT_DAY)
    pages.publish(DAY)

    assert listed(lake) == [f"{NEXT_DAY}", f"{DAY}"]
    page = HtmlPage((lake.storage.read(INDEX_KEY) or b"").decode())
    text = " ".join(page.text.split())
    assert "2 trading days" in text
    assert "moved most: +1.00 %. NYSE: 8 of 8 lines rejected." in text
    assert [given["class"] for tag, given in page.elements if (given.get("class") or "").startswith("word")] == [
        *("word available", "word degraded")
    ]
    assert len([tag for tag, _ in page.elements if tag == "svg"]) == 2


def test_days_of_more_than_a_year_ago_are_links_and_their_pages_are_not_read(
    lake: Lake, pages: Pages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publishing, "PICTURED", 2)
    older = [date(2019, 12, 30), date(2019, 12, 31), date(2020, 1, 2)]
    for day in (*older, DAY, NEXT_DAY):
        publish_day(lake, day, [Stock("SYMA", ["10"])])
        lake.storage.write(page_key(day), b"not read")
    pages.publish(DAY)

    assert pages.publish(NEXT_DAY).days == 5

    assert listed(lake) == [f"{day}" for day in (NEXT_DAY, DAY, date(2020, 1, 2), *older[:2])]
    page = HtmlPage((lake.storage.read(INDEX_KEY) or b"").decode())
    assert "5 trading days" in page.text
    assert "2020 January 2 2019 December 30 31" in " ".join(page.text.split())


def test_days_that_are_made_at_once_are_all_listed(tmp_path: Path, lake: Lake) -> None:
    for day in DAYS:
        publish_day(lake, day, [Stock("SYMA", ["10"])])

    with ThreadPoolExecutor(len(DAYS)) as threads:
        made = list(threads.map(lambda day: pages_below(tmp_path).publish(day), DAYS))

    assert {page.day for page in made} == set(DAYS)
    assert listed(lake) == [f"{day}" for day in reversed(DAYS)]


def test_a_removed_day_is_gone_with_the_next_page(lake: Lake, pages: Pages) -> None:
    for day in DAYS[:3]:
        publish_day(lake, day, [Stock("SYMA", ["10"])])
        pages.publish(day)
    lake.storage.delete([f"{DAILY_SUMMARY.path}/_published/{DAYS[0]}.json", page_key(DAYS[1])])

    assert pages.publish_index() == 1

    assert listed(lake) == [f"{DAYS[2]}"]


def test_another_file_among_the_pages_is_named_and_stops_no_other_day(
    lake: Lake, pages: Pages, caplog: pytest.LogCaptureFixture
) -> None:
    publish_day(lake, DAY, [Stock("SYMA", ["10"])])
    publish_day(lake, NEXT_DAY, [Stock("SYMA", ["10"])])
    lake.storage.write(page_key(DAY), b"<p>notes")

    pages.publish(NEXT_DAY)

    assert listed(lake) == [f"{NEXT_DAY}"]
    assert f"{page_key(DAY)} is no page of a trading day" in caplog.text


def test_an_endless_reason_is_cut_off_and_hides_no_day(lake: Lake, pages: Pages) -> None:
    publish_day(lake, DAY, [Stock("SYMA", ["10"])], sentence='"\u202e' * 70_000)

    pages.publish(DAY)

    assert listed(lake) == [f"{DAY}"]
    assert "\u202e" not in (lake.storage.read(INDEX_KEY) or b"").decode()


def test_on_s3_pages_are_html_for_a_browser(tmp_path: Path, s3_uri: str) -> None:
    lake = Lake(f"{s3_uri}/lake")
    publish_day(lake, DAY, [Stock("SYMA", ["10"])])

    made = pages_below(tmp_path, lake_uri=lake.storage.root).publish(DAY)

    assert made.address == f"{lake.storage.root}/report/page/{DAY}.html"
    assert listed(lake) == [f"{DAY}"]
    bucket, _, prefix = lake.storage.root.removeprefix("s3://").partition("/")
    heads = [boto3.client("s3").head_object(Bucket=bucket, Key=f"{prefix}/{key}") for key in (page_key(DAY), INDEX_KEY)]
    assert [head["ContentType"] for head in heads] == ["text/html; charset=utf-8"] * 2
