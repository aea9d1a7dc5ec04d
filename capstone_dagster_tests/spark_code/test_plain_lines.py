"""The short way: which lines take it, and that it makes the rows of the rules, which judge every other line."""

import json
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from random import Random

import pytest
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from capstone_dagster_tests.builders.deliveries import BOM, DAY, FOLDERS, Bare, deliver, fields, json_line, line
from capstone_dagster_tests.builders.line_cases import draft_of
from capstone_dagster_tests.spark_code.test_raw_to_ingested_model import content
from spark_code import plain_lines, raw_lines
from spark_code.raw_files import SOURCES, Delivery, RawFolder
from spark_code.storage import Storage

PLAIN = {
    "NYSE": [
        line("NYSE", "T"),
        line("NYSE", "Q"),
        line("NYSE", "Q") + b"\r",
        line("NYSE", "T", price="007.5", symbol="BRK.B", event_tm="2020-08-05 23:59:59"),
    ],
    "NASDAQ": [
        line("NASDAQ", "T"),
        line("NASDAQ", "Q"),
        line("NASDAQ", "Q") + b"\r",
        line("NASDAQ", "T", execution_id="a-1"),
        json.dumps(json.loads(line("NASDAQ", "Q"))).encode(),
    ],
}
NOT_PLAIN = {
    "NYSE": [
        b"",
        BOM + line("NYSE", "T"),
        line("NYSE", "T") + b"\r\r",
        line("NYSE", "T", symbol="\u00c4"),
        line("NYSE", "T") + b"\xff",
        line("NYSE", "T").replace(b"SYMA", b"SY\0A"),
        line("NYSE", "T", price="0"),
        line("NYSE", "T", price="0.0000001"),
        line("NYSE", "T", price="1e2"),
        line("NYSE", "Q", bid_pr="-1"),
        line("NYSE", "Q", bid_pr="999999999999.9999999"),
        line("NYSE", "T", event_tm="2020-02-30 10:00:00"),
        line("NYSE", "T", trade_dt="2020-08-05"),
        line("NYSE", "T", exchange="NASDAQ"),
        line("NYSE", "T") + b",",
    ],
    "NASDAQ": [
        b"{",
        b"[" + line("NASDAQ", "T") + b"]",
        line("NASDAQ", "T", price=Bare("01")),
        line("NASDAQ", "T", price="1"),
        line("NASDAQ", "T", symbol="S\\Y"),
        line("NASDAQ", "T", venue="X"),
        json_line(dict(reversed(fields("NASDAQ", "T").items()))),
        line("NASDAQ", "T")[:-1] + b',"price":1}',
        line("NASDAQ", "T") + b" ",
    ],
}


def typed(spark: SparkSession, exchange: str, lines: list[bytes]) -> list[Row]:
    source = next(source for source in SOURCES if source.exchange == exchange)
    delivery = Delivery(source, DAY, Storage("nowhere"), files=())
    frame = spark.createDataFrame([(text, "part 0") for text in lines], "value binary, file_name string").coalesce(1)
    return plain_lines.typed(frame, delivery).select("event", F.col("value").cast("binary"), "file_name").collect()


@pytest.mark.parametrize("exchange", FOLDERS)
def test_a_plain_line_is_an_event_and_nothing_else(spark: SparkSession, exchange: str) -> None:
    rows = typed(spark, exchange, PLAIN[exchange])

    assert len(rows) == len(PLAIN[exchange])
    assert [row for row in rows if row.event is None or row.value is not None or row.file_name is not None] == []


@pytest.mark.parametrize("exchange", FOLDERS)
def test_every_other_line_stays_as_it_came(spark: SparkSession, exchange: str) -> None:
    rows = typed(spark, exchange, NOT_PLAIN[exchange])

    assert [(row.event, bytes(row.value), row.file_name) for row in rows] == [
        (None, text, "part 0") for text in NOT_PLAIN[exchange]
    ]


def test_prices_are_rounded_half_up_from_all_of_their_digits(spark: SparkSession) -> None:
    nines = "1.2345674" + "9" * 50
    prices = ["1.2345675", nines, "1.23456750000000000000000000000000000000001", "999999999999.9999994"]

    rows = typed(spark, "NYSE", [line("NYSE", "T", price=price) for price in prices])

    assert [row.event.trade_pr for row in rows] == [
        Decimal(price) for price in ("1.234568", "1.234567", "1.234568", "999999999999.999999")
    ]


def test_the_rules_alone_make_the_same_rows(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rounds: Callable[[int], int]
) -> None:
    random, raw = Random(14), tmp_path / "raw"  # noqa: S311 - nothing secret is drawn
    for exchange in FOLDERS:
        deliver(raw, exchange, "lines", content(random, exchange, rounds(2_000)))
    short = Counter(tuple(row) for row in draft_of(spark, raw).rows.collect())
    plain = [
        raw_lines.read_records(spark, delivery).where("event IS NOT NULL").count()
        for delivery in RawFolder(str(raw)).deliveries(DAY)
    ]
    monkeypatch.setattr(plain_lines, "WORTH_BYTES", 2**63)

    by_rules = Counter(tuple(row) for row in draft_of(spark, raw).rows.collect())

    assert list(short - by_rules)[:5] == list(by_rules - short)[:5] == []
    assert min(plain) > rounds(2_000) // 20
