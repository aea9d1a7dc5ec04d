"""The short way of plain lines: which lines are plain, and that the rules make the same rows of them."""

import json
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from random import Random
from typing import Any

import pyarrow as pa
import pytest

from capstone_dagster_tests.builders.deliveries import BOM, DAY, FOLDERS, Bare, fields, json_line, line
from capstone_dagster_tests.fuzz.mutated_lines import content
from spark_code.line_judge import Judge
from spark_code.raw_files import SOURCES

PLAIN = {
    "NYSE": [
        line("NYSE", "T"),
        line("NYSE", "Q"),
        line("NYSE", "T") + b"\r",
        line("NYSE", "Q") + b"\r",
        line("NYSE", "T", price="007.5", symbol="BRK.B", event_tm="2020-08-05 23:59:59"),
    ],
    "NASDAQ": [
        line("NASDAQ", "T"),
        line("NASDAQ", "Q"),
        line("NASDAQ", "T") + b"\r",
        line("NASDAQ", "Q") + b"\r",
        line("NASDAQ", "T", execution_id="a-1"),
        line("NASDAQ", "T", execution_id="a-1") + b"\r",
        json.dumps(json.loads(line("NASDAQ", "T"))).encode(),
        json.dumps(json.loads(line("NASDAQ", "Q"))).encode() + b"\r",
        json.dumps(json.loads(line("NASDAQ", "T", execution_id="a-1"))).encode(),
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
        line("NYSE", "T", size="9223372036854775808"),
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
        line("NASDAQ", "T").replace(b":", b": ", 1),
        json.dumps(json.loads(line("NASDAQ", "Q"))).encode().replace(b", ", b",", 1),
        json_line(dict(reversed(fields("NASDAQ", "T").items()))),
        line("NASDAQ", "T")[:-1] + b',"price":1}',
        line("NASDAQ", "T") + b" ",
    ],
}


class OnlyRules(Judge):
    """Takes no line for a plain one."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._plain = f"SELECT * REPLACE (false AS is_plain) FROM ({self._plain})"  # noqa: S608 - our own


class OnlyPlain(Judge):
    """Leaves out what is not plain."""

    def _judged(self, lines: list[pa.Table]) -> pa.Table:
        return super()._judged(lines).slice(0, 0)


def rows_of(kind: type[Judge], exchange: str, lines: list[bytes]) -> list[dict[str, Any]]:
    source = next(source for source in SOURCES if source.exchange == exchange)
    tables = kind(source, DAY).rows([("part 0", pa.array(lines, pa.binary()))])
    # Only the rules know the file, which counts for rejects.
    rows = [row for table in tables for row in table.to_pylist()]
    return [row | {"unknown_fields": row["unknown_fields"] or None, "source_file": None} for row in rows]


@pytest.mark.parametrize("exchange", FOLDERS)
def test_a_plain_line_is_an_event_without_the_rules(exchange: str) -> None:
    rows = rows_of(OnlyPlain, exchange, PLAIN[exchange])

    assert rows == rows_of(OnlyRules, exchange, PLAIN[exchange])
    assert [row["reject_reason"] for row in rows] == [None] * len(PLAIN[exchange])


@pytest.mark.parametrize("exchange", FOLDERS)
def test_every_other_line_is_left_to_the_rules(exchange: str) -> None:
    assert rows_of(OnlyPlain, exchange, NOT_PLAIN[exchange]) == []
    assert len(rows_of(Judge, exchange, NOT_PLAIN[exchange])) == len(NOT_PLAIN[exchange])


def test_prices_are_rounded_half_up_from_all_of_their_digits() -> None:
    nines = "1.2345674" + "9" * 50
    prices = ["1.2345675", nines, "1.23456750000000000000000000000000000000001", "999999999999.9999994"]

    rows = rows_of(OnlyPlain, "NYSE", [line("NYSE", "T", price=price) for price in prices])

    assert [row["trade_pr"] for row in rows] == [
        Decimal(price) for price in ("1.234568", "1.234567", "1.234568", "999999999999.999999")
    ]


@pytest.mark.parametrize("length", [12_000, 60_000])
def test_long_lines_that_are_not_plain_are_judged_in_little_memory(length: int) -> None:
    depth = Bare(f"[1{',1' * (length // 2)}]")
    lines = [line("NASDAQ", "T", depth=depth)] * (18_000_000 // length)

    rows = Judge(SOURCES[1], DAY).rows([("part 0", pa.array(lines, pa.binary()))])

    assert Counter(kind for table in rows for kind in table["rec_type"].to_pylist()) == {"T": len(lines)}


def test_exponents_cost_no_more_than_their_digits() -> None:
    huge, tiny = (line("NYSE", "Q", bid_pr=f"1{zeros}", ask_size=f"1{zeros}") for zeros in ("e9999", "e-9999"))
    zero = line("NYSE", "Q", bid_pr="0e9999", bid_size="0e9999", ask_pr="-0e-9999", ask_size="0.000e9999")

    rows = rows_of(Judge, "NYSE", [huge, tiny, zero] * 5_000)

    assert Counter(row["reject_reason"] for row in rows) == {"bad_number": 10_000, None: 5_000}


@pytest.mark.parametrize("exchange", FOLDERS)
def test_the_rules_alone_make_the_same_rows(exchange: str, rounds: Callable[[int], int]) -> None:
    lines = content(Random(14), exchange, rounds(5_000)).split(b"\n")  # noqa: S311 - nothing secret is drawn

    with_plain, by_rules = (Counter(str(row) for row in rows_of(kind, exchange, lines)) for kind in (Judge, OnlyRules))

    assert list(with_plain - by_rules)[:5] == list(by_rules - with_plain)[:5] == []
    assert len(rows_of(OnlyPlain, exchange, lines)) > len(lines) // 20
