"""The measures of a good and of a bad day, and what comes of a measure that stops its day."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from capstone_dagster.readers.rows import arrow_schema
from capstone_dagster_tests.builders.manifests import manifest_of
from capstone_dagster_tests.builders.published_files import publish
from capstone_dagster_tests.builders.rows import DAY, Row, close, event, quote, renamed, trade
from capstone_dagster_tests.spark_code.test_quality_sums import HOURS, rejected
from spark_code.drafts import Draft, Published
from spark_code.few_rows import few_rows
from spark_code.lake import Lake, LakeError
from spark_code.quality import BEYOND, Circumstances, build, require_good
from spark_code.quality_limits import BadDayError, Limits
from spark_code.schemas import CLOSES, EVENTS, QUALITY, QUOTES, TRADES, Reject, Table

PREVIOUS_DAY = date(2020, 8, 5)
SYMBOLS = ("IBM", "MSFT", "ORCL")
TRADE, QUOTE = trade("10:00", "100", seq=1), quote("10:00", "99.5", "100.5", seq=2)


class Day:
    """What was published of a day, of which a test changes some rows."""

    def __init__(self, folder: Path, spark: SparkSession) -> None:
        self.lake, self.spark = Lake(f"{folder}"), spark
        self.trades = self._of_all(TRADE)
        self.quotes = self._of_all(*[(*QUOTE[:4], number, *QUOTE[5:]) for number in range(2, 12)])
        self.closes = [close("99", symbol=symbol, exchange=exchange) for _, symbol, exchange, *_ in self.trades]
        self.bad: list[Row] = []
        self.drift: Mapping[str, list[str]] = {}
        self.superseded: list[Row] = []
        self.eod_from = "v1"
        self.limits = ""

    @staticmethod
    def _of_all(*rows: Row) -> list[Row]:
        return [
            (*renamed(row, symbol)[:2], exchange, *row[3:])
            for symbol in SYMBOLS
            for exchange in ("NYSE", "NASDAQ")
            for row in rows
        ]

    def published(
        self, table: Table, rows: list[Row], day: date = DAY, inputs: Mapping[str, str] | None = None
    ) -> Published:
        named = [dict(zip(table.columns, row, strict=True)) for row in rows]
        known = publish(
            self.lake, table, {"part-0.parquet": named}, "v1", day, inputs=inputs, schema=arrow_schema(table)
        )
        known = replace(known, facts={"schema_drift": self.drift})
        return Published(table, day, few_rows(self.spark, [], table.schema), known, self.lake.storage)

    def draft(self) -> Draft:
        made_from = {EVENTS.path: self.eod_from}
        lines = [*map(event, (*self.trades, *self.quotes, *self.superseded)), *self.bad]
        limits = Limits.parse(self.limits)
        (draft,) = build(
            self.published(EVENTS, lines),
            self.published(TRADES, self.trades, inputs=made_from),
            self.published(QUOTES, self.quotes, inputs=made_from),
            self.published(CLOSES, self.closes, PREVIOUS_DAY),
            Circumstances.of(self.lake, DAY, HOURS, limits),
        )
        return draft

    def beyond(self) -> set[tuple[str, str, str]]:
        rows = self.draft().rows.where("verdict IN ('warn', 'error')").collect()
        return {(row.exchange, row.measure, row.verdict) for row in rows}


@pytest.fixture
def day(tmp_path: Path, spark: SparkSession) -> Day:
    return Day(tmp_path, spark)


def test_no_measure_of_a_good_day_is_beyond_its_limits(day: Day) -> None:
    draft = day.draft()

    assert {row.verdict for row in draft.rows.collect()} == {"ok", "unknown"}
    assert draft.facts() == {
        "totals": {name: {"lines": 33, "trades": 3, "quotes": 30, "volume": 300} for name in ("NYSE", "NASDAQ")},
        BEYOND: {"NYSE": [], "NASDAQ": []},
        "stops": [],
    }
    assert draft.inputs == dict.fromkeys((EVENTS.path, TRADES.path, QUOTES.path, CLOSES.path), "v1")


def test_the_measures_of_a_bad_day_are_beyond_their_limits(day: Day) -> None:
    day.bad = [rejected(Reject.BAD_NUMBER)] * 4
    day.trades[0] = (*day.trades[0][:6], day.trades[0][6] * 2, *day.trades[0][7:])
    day.quotes[0] = (*day.quotes[0][:6], day.quotes[0][8], *day.quotes[0][7:])
    day.quotes[1] = (*day.quotes[1][:6], day.quotes[1][8] + 1, *day.quotes[1][7:])
    day.closes.append(close("5", symbol="GONE", exchange="NASDAQ"))
    day.drift = {f"json/{DAY}/NASDAQ/a.json": ["venue"]}

    assert day.beyond() == {
        ("NYSE", "rejected_ratio", "warn"),
        ("NYSE", "crossed_ratio", "warn"),
        ("NYSE", "jump_at_open", "warn"),
        ("NASDAQ", "vanished_symbols", "warn"),
        ("NASDAQ", "unknown_fields", "warn"),
    }


def test_an_event_that_was_delivered_again_is_counted_as_superseded(day: Day) -> None:
    day.superseded = [day.trades[0]]

    (row,) = day.draft().rows.where("measure = 'superseded' AND exchange = 'NYSE'").collect()

    assert (row.value, row.sentence) == (1, "1 event replaced by a later arrival")


def test_what_is_usual_comes_from_the_manifests_of_the_days_before(day: Day) -> None:
    for back in range(1, 26):
        before = DAY - timedelta(days=back)
        # The days before the last twenty do not count.
        volume = 300 if back <= 11 else 3000 if back <= 20 else 10**9
        facts = {"totals": {"NYSE": {"volume": volume}}}
        known = replace(manifest_of(before), facts=facts)
        day.lake.storage.write(f"{QUALITY.path}/_published/{before}.json", known.to_json())
    day.limits = "volume=2..3"
    day.lake.storage.write(f"{QUALITY.path}/_published/{DAY - timedelta(days=26)}.json", b"damaged")

    rows = {row.exchange: row for row in day.draft().rows.where("measure = 'volume'").collect()}

    assert (rows["NYSE"].expected_low, rows["NYSE"].expected_high, rows["NYSE"].verdict) == (600, 900, "warn")
    assert rows["NASDAQ"].verdict == "unknown"


def test_a_measure_beyond_a_limit_that_stops_lets_no_report_be_made(day: Day) -> None:
    day.bad = [rejected(Reject.BLANK)] * 4
    day.limits = "rejected_ratio=0.1:error"
    draft = day.draft()
    known = replace(manifest_of(DAY), facts=draft.facts())

    with pytest.raises(BadDayError, match=r"2020-08-06 is beyond limits that stop a day .*: 4 of 37 lines rejected"):
        require_good(Published(QUALITY, DAY, draft.rows, known, day.lake.storage))


def test_events_that_the_load_was_not_made_from_are_not_measured(day: Day) -> None:
    day.eod_from = "v0"

    with pytest.raises(LakeError, match=r"eod/trades of 2020-08-06 was made from other rows of ingested/events"):
        day.draft()


def test_the_rows_are_published_like_those_of_every_table(day: Day) -> None:
    draft = day.draft()

    manifest = day.lake.publish(draft, DAY, day.lake.begin(DAY, "run"))

    assert manifest.rows == draft.rows.count()
    assert manifest.measures["measures_unknown"] == 2 * 4
    assert {row.trade_dt for row in day.lake.read(day.spark, QUALITY, DAY).rows.collect()} == {DAY}
