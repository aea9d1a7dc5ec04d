"""Delivered lines to ``ingested/events``: one row of hard data per rule of the contract.

All single lines are judged together, one file per exchange in one Spark job, and each case looks
up its own row. Random mixtures are compared with a model in ``test_raw_to_ingested_model``.
"""

import gzip
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from capstone_dagster_tests.deliveries import (
    BOM,
    DAY,
    FOLDERS,
    Bare,
    EventRow,
    deliver,
    line,
    ordered,
    quote_row,
    reject_row,
    trade_row,
)
from spark_code.lake import Attempt, Draft, Lake
from spark_code.raw_files import RawFolder
from spark_code.raw_to_ingested import build
from spark_code.schemas import EVENTS, Reject

Changes = Mapping[str, str | None]

EXCHANGES = ("NYSE", "NASDAQ")
LIMIT = 64 * 1024


def draft_of(spark: SparkSession, raw: Path) -> Draft:
    return build(spark, RawFolder(str(raw)).deliveries(DAY), DAY)


@dataclass(frozen=True)
class Case:
    """One line, and the one row it must become."""

    name: str
    line: bytes
    row: EventRow

    def __str__(self) -> str:
        return f"{self.row[3]}: {self.name}"


def trade(name: str, exchange: str, text: bytes, **columns: Any) -> Case:
    """An accepted trade; its symbol is the name of the case."""
    return Case(name, text, trade_row(exchange, name, **columns))


def quote(name: str, exchange: str, text: bytes, **columns: Any) -> Case:
    """An accepted quote; its symbol is the name of the case."""
    return Case(name, text, quote_row(exchange, name, **columns))


def rejected(name: str, exchange: str, reason: str, text: bytes, kept: str | None = None) -> Case:
    """A reject; it keeps the line as it was delivered, where the case does not say otherwise."""
    row = reject_row(exchange, reason, f"{FOLDERS[exchange]}/lines", text.decode() if kept is None else kept)
    return Case(name, text, row)


# name, kind, fields of the record, columns of the row
ACCEPTED: list[tuple[str, str, Changes, dict[str, Any]]] = [
    ("a trade", "T", {}, {}),
    ("a quote", "Q", {}, {}),
    ("blanks around every text", "T",
     {"symbol": " blanks around every text\t", "event_type": " T\t", "trade_dt": "\t2020-08-06 "}, {}),
    ("blanks around a time", "T",
     {"event_tm": "  2020-08-06 09:59:00.123 ", "file_tm": " 2020-08-06 10:00:00 "}, {}),
    ("blanks around a number", "T", {"price": " 100.25\t", "size": "\t300 ", "event_seq_nb": " 7 "}, {}),
    ("half of the seventh decimal rounds up", "T", {"price": "0.0000005"}, {"trade_pr": "0.000001"}),
    ("half of the seventh decimal rounds away from even", "T", {"price": "1.0000005"}, {"trade_pr": "1.000001"}),
    ("less than half rounds down", "T", {"price": "1.00000049999999999999"}, {"trade_pr": "1.000000"}),
    ("bids and asks round half up", "Q", {"bid_pr": "2.0000025", "ask_pr": "2.0000035"},
     {"bid_pr": "2.000003", "ask_pr": "2.000004"}),
    ("eighteen digits stay exact", "T", {"price": "123456789012.345678"}, {"trade_pr": "123456789012.345678"}),
    ("the greatest price", "T", {"price": "999999999999.9999994"}, {"trade_pr": "999999999999.999999"}),
    ("a price in exponents", "T", {"price": "1e3"}, {"trade_pr": "1000.000000"}),
    ("a price in upper-case signed exponents", "T", {"price": "+12.5E-1"}, {"trade_pr": "1.250000"}),
    ("leading zeros", "T", {"price": "000000000000000000000000000000000000000001.5"}, {"trade_pr": "1.500000"}),
    ("sixty decimals", "T", {"price": "0." + "3" * 60}, {"trade_pr": "0.333333"}),
    ("a size with zero decimals", "T", {"size": "300.000"}, {}),
    ("a size in exponents", "T", {"size": "3e2"}, {}),
    ("the greatest size", "T", {"size": "9223372036854775807"}, {"trade_size": 2**63 - 1}),
    ("a size above the doubles", "T", {"size": "9007199254740993"}, {"trade_size": 9007199254740993}),
    ("sequence number zero", "T", {"event_seq_nb": "0"}, {"event_seq_nb": 0}),
    ("a quote of nothing", "Q", {"bid_pr": "0", "bid_size": "0", "ask_pr": "0.000", "ask_size": "-0"},
     {"bid_pr": "0.000000", "bid_size": 0, "ask_pr": "0.000000", "ask_size": 0}),
    ("a crossed quote", "Q", {"bid_pr": "9", "ask_pr": "8"}, {"bid_pr": "9.000000", "ask_pr": "8.000000"}),
    ("a time without a fraction", "T", {"event_tm": "2020-08-06 09:59:00"}, {"event_tm": datetime(2020, 8, 6, 9, 59)}),
    ("a fraction is cut to microseconds", "T",
     {"event_tm": "2020-08-06 23:59:59.9999999", "file_tm": "2020-08-06 10:00:00.0000019"},
     {"event_tm": datetime(2020, 8, 6, 23, 59, 59, 999_999), "arrival_tm": datetime(2020, 8, 6, 10, 0, 0, 1)}),
    ("a fraction of thirty digits", "T", {"event_tm": "2020-08-06 09:59:00.123456789012345678901234567890"},
     {"event_tm": datetime(2020, 8, 6, 9, 59, 0, 123_456)}),
    ("a time that a zone would skip", "T", {"event_tm": "2020-03-08 02:30:00", "file_tm": "2020-11-01 01:30:00"},
     {"event_tm": datetime(2020, 3, 8, 2, 30), "arrival_tm": datetime(2020, 11, 1, 1, 30)}),
    ("the leap day", "T", {"event_tm": "2020-02-29 00:00:00"}, {"event_tm": datetime(2020, 2, 29)}),
    ("SYM Ä€𝄞 \"q\" 'r' \\", "T", {}, {}),
]  # fmt: skip

# name, reason, kind, fields of the record
REJECTED: list[tuple[str, str, str, Changes]] = [
    *(
        (f"record type {kind!r}", "unknown_record_type", "T", {"event_type": kind})
        for kind in (None, "  ", "B", "X", "t", "q", "TQ", "trade", "0")
    ),
    *(
        (f"{name} {state}", "missing_field", kind, {name: value})
        for kind, names in (
            ("T", ("trade_dt", "file_tm", "symbol", "event_tm", "event_seq_nb", "exchange", "price", "size")),
            ("Q", ("bid_pr", "bid_size", "ask_pr", "ask_size")),
        )
        for name in names
        for state, value in (("missing", None), ("of blanks", " \t "))
    ),
    *(
        (f"{name} {text!r}", "bad_timestamp", "T", {name: text})
        for name, texts in {
            "trade_dt": ("2020-8-6", "20200806", "06.08.2020", "2020-02-30", "2020-08-06 00:00:00", "0000-01-01"),
            "event_tm": (
                "2020-08-06", "2020-08-06T09:59:00", "2020-08-06 9:59:00", "2020-08-06 09:59", "2020-08-06  09:59:00",
                "2020-08-06 24:00:00", "2020-08-06 09:60:00", "2020-08-06 09:59:60", "2020-13-01 00:00:00",
                "2021-02-29 00:00:00", "2020-08-06 09:59:00.", "2020-08-06 09:59:00Z", "2020-08-06 09:59:00+02:00",
                "2020-08-06 09:59:00.1 UTC", "+2020-08-06 09:59:00", "12020-08-06 09:59:00", "1596700740", "noon",
                "٢٠٢٠-08-06 09:59:00",
            ),
            "file_tm": ("2020-08-06 10:00", "now"),
        }.items()
        for text in texts
    ),
    *(
        (f"{name} {text[:24]!r}", "bad_number", "T", {name: text})
        for name, texts in {
            "price": (
                "abc", "NaN", "nan", "Infinity", "-Infinity", "inf", "null", "1.2.3", ".5", "5.", "1e", "e3", "1e1.5",
                "--1", "+", "1 000", "1_000", "$1", "1f", "1d", "0x10", "٣", "1000000000000",
                "999999999999.9999995", "1e12", "1e400", "1e999999999", "9" * 2000,
            ),
            "size": ("100.5", "1e-1", "1.5e0", "9223372036854775808", "1e19", "1e999999999", "NaN", "true", "9" * 40,
                     "100.0000000000000000001"),
            "event_seq_nb": ("1.5", "6e-22", "seven", "-9223372036854775809"),
        }.items()
        for text in texts
    ),
    *((f"quote of a {name}", "bad_number", "Q", {name: "?"}) for name in ("bid_pr", "bid_size", "ask_pr", "ask_size")),
    *(
        (f"{kind} of {name} {text}", "out_of_range", kind, {name: text})
        for kind, name, text in (
            ("T", "price", "0"), ("T", "price", "0.0000"), ("T", "price", "-1"), ("T", "price", "-0.01"),
            # Judged as it would be kept.
            ("T", "price", "0.0000004"),
            ("T", "size", "0"), ("T", "size", "-100"), ("T", "event_seq_nb", "-1"),
            ("Q", "bid_pr", "-0.01"), ("Q", "ask_pr", "-1e-2"), ("Q", "bid_size", "-1"), ("Q", "ask_size", "-1"),
            ("Q", "event_seq_nb", "-9223372036854775808"),
        )
    ),
    *(
        (f"trade date {day}", "wrong_trade_date", "T", {"trade_dt": day})
        for day in ("2020-08-05", "2020-08-07", "9999-12-31")
    ),
    *((f"exchange {name}", "wrong_exchange", "T", {"exchange": name}) for name in ("LSE", "nyse", "nasdaq")),
]  # fmt: skip

# The reasons in the order of the checks, each with fields that give a trade this fault.
FIELD_FAULTS: dict[str, Changes] = {
    "unknown_record_type": {"event_type": "X"},
    "field_count": {"execution_id": "one field too many in a CSV trade"},
    "missing_field": {"symbol": None},
    "bad_timestamp": {"event_tm": "noon"},
    "bad_number": {"size": "many"},
    "out_of_range": {"price": "-1"},
    "wrong_trade_date": {"trade_dt": "2020-08-05"},
    "wrong_exchange": {"exchange": "LSE"},
}
LINE_FAULTS: dict[str, Callable[[bytes], bytes]] = {
    "too_long": lambda text: text + b" " * LIMIT,
    "bad_encoding": lambda text: text + b"\xff",
    "bad_json": lambda text: text + b"}",
}


def precedence(exchange: str) -> Iterator[Case]:
    """For every two faults a line with both: the first names it."""
    only_in_the_other = "bad_json" if exchange == "NYSE" else "field_count"
    line_faults = {reason: fault for reason, fault in LINE_FAULTS.items() if reason != only_in_the_other}
    field_faults = {reason: fault for reason, fault in FIELD_FAULTS.items() if reason != only_in_the_other}
    for first, second in combinations([*line_faults, *field_faults], 2):
        changes = {"symbol": f"{first} and {second}", **field_faults.get(first, {}), **field_faults.get(second, {})}
        text = line(exchange, "T", **changes)
        for reason in (first, second):
            text = line_faults.get(reason, bytes)(text)
        yield rejected(f"{first} before {second}", exchange, first, text, text.decode(errors="replace"))


def padded_to(length: int, exchange: str, symbol: str) -> bytes:
    """A trade of exactly so many bytes, with blanks behind its symbol."""
    short = line(exchange, "T", symbol=symbol)
    return line(exchange, "T", symbol=symbol + " " * (length - len(short)))


def raw_lines(exchange: str) -> Iterator[Case]:
    """What concerns a line as bytes, in both formats."""
    good = line(exchange, "T")
    for name, before, after in (
        # ä has two bytes: bytes are counted, not characters.
        ("64 KiB with ä", b"", b""),
        ("64 KiB and CR", b"", b"\r"),
        ("64 KiB behind BOM", BOM, b""),
        ("64 KiB between BOM and CR", BOM, b"\r"),
    ):
        yield trade(name, exchange, before + padded_to(LIMIT, exchange, name) + after)
        too_long = padded_to(LIMIT + 1, exchange, name)
        yield rejected(f"one byte more than {name}", exchange, "too_long", before + too_long + after, too_long.decode())
    yield rejected("64 KiB and one blank", exchange, "too_long", b" " * (LIMIT + 1))
    yield rejected("64 KiB of NUL and one", exchange, "too_long", b"\0" * (LIMIT + 1))
    yield trade("BOM", exchange, BOM + line(exchange, "T", symbol="BOM"))
    yield quote("CR", exchange, line(exchange, "Q", symbol="CR") + b"\r")
    for name, broken in {
        "a lone continuation byte": b"\x80",
        "Latin-1": "ä".encode("latin-1"),
        "a cut euro": b"\xe2\x82",
        "an overlong slash": b"\xc0\xaf",
        "a surrogate": b"\xed\xa0\x80",
        "beyond Unicode": b"\xf4\x90\x80\x80",
    }.items():
        text = good.replace(b"SYMA", b"SY" + broken + b"MA " + name.encode())
        yield rejected(name, exchange, "bad_encoding", text, text.decode(errors="replace"))
    yield rejected("NUL", exchange, "bad_encoding", good.replace(b"SYMA", b"SY\0MA"))
    yield rejected("NUL among blanks", exchange, "bad_encoding", b" \0 ")
    yield rejected("UTF-16", exchange, "bad_encoding", "T".encode("utf-16-be"))
    yield rejected("a cut euro before the CR", exchange, "bad_encoding", b"\xe2\x82\r", "\ufffd")
    yield rejected("nothing", exchange, "blank", b"")
    yield rejected("a blank", exchange, "blank", b" ")
    yield rejected("blanks and a CR", exchange, "blank", b" \t \r", " \t ")
    yield rejected("64 KiB of blanks", exchange, "blank", b" " * LIMIT)


def csv_lines() -> Iterator[Case]:
    """What only CSV can get wrong."""
    good_trade, good_quote = line("NYSE", "T"), line("NYSE", "Q")
    header = b"trade_dt,file_tm,event_type,symbol,event_tm,event_seq_nb,exchange,price,size"
    yield rejected("a header", "NYSE", "unknown_record_type", header)
    yield rejected("one word", "NYSE", "unknown_record_type", b"hello")
    yield rejected("only commas", "NYSE", "unknown_record_type", b",,,,,,,,")
    yield rejected("JSON among CSV", "NYSE", "unknown_record_type", line("NASDAQ", "T"))
    yield rejected("semicolons", "NYSE", "unknown_record_type", good_trade.replace(b",", b";"))
    yield rejected("a trade too short", "NYSE", "field_count", good_trade.rpartition(b",")[0])
    yield rejected("a trade with a comma at its end", "NYSE", "field_count", good_trade + b",")
    yield rejected("a trade with commas and blanks at its end", "NYSE", "field_count", good_trade + b", ,")
    yield rejected("a quote too short", "NYSE", "field_count", good_quote.rpartition(b",")[0])
    yield rejected("a quote too long", "NYSE", "field_count", good_quote + b",1")
    yield rejected("a trade that says it is a quote", "NYSE", "field_count", line("NYSE", "T", event_type="Q"))
    yield rejected("a quote that says it is a trade", "NYSE", "field_count", line("NYSE", "Q", event_type="T"))
    yield rejected("a quoted comma", "NYSE", "field_count", good_trade.replace(b"SYMA", b'"SY,MA"'))
    yield rejected("a comma in a price", "NYSE", "field_count", good_trade.replace(b"100.25", b"100,25"))
    yield rejected("two trades with a lone CR between", "NYSE", "field_count", good_trade + b"\r" + good_trade)
    yield rejected(
        "a size with the first of two CRs", "NYSE", "bad_number", good_trade + b"\r\r", f"{good_trade.decode()}\r"
    )
    yield rejected(
        "an exponent that would take gigabytes", "NYSE", "bad_number", good_trade.replace(b"100.25", b"1e-999999999")
    )


def json_lines() -> Iterator[Case]:
    """What only JSON can get wrong, or right."""
    good = line("NASDAQ", "T")

    def changed(name: str, **changes: str | None) -> bytes:
        return line("NASDAQ", "T", **{"symbol": name, **changes})

    for name, text in {
        "plain words": b"hello",
        "CSV among JSON": line("NYSE", "T"),
        "cut at the end": good[:-1],
        "cut in a text": good[:40],
        "cut in a number": good[: good.index(b"100.25") + 3],
        "an opening brace": b"{",
        "a closing brace too many": good + b" }",
        "a comma behind": good + b",",
        "a word behind": good + b" x",
        "a closing bracket behind": good + b"]",
        "a number behind": good + b"1",
        "a comma before": b"," + good,
        "two objects": good + good,
        "two objects and a comma": good + b"," + good,
        "an array": b"[" + good + b"]",
        "an array of two": b"[" + good + b"," + good + b"]",
        "an empty array": b"[]",
        "a number": b"1",
        "a text": b'"text"',
        "an object within a text": b'"' + good.replace(b'"', b'\\"') + b'"',
        "null": b"null",
        "true": b"true",
        "NaN": b"NaN",
        "single quotes": good.replace(b'"', b"'"),
        "one single quote": good.replace(b'"SYMA"', b"'SYMA'"),
        "a name without quotes": good.replace(b'"symbol"', b"symbol"),
        "a comment": b"/* trade */" + good,
        "a comma before the brace": good.replace(b"}", b",}"),
        "a colon missing": good.replace(b'"symbol":', b'"symbol" '),
        "a bare word": changed("bare word", price=Bare("many")),
        "a bare leading zero": changed("bare leading zero", price=Bare("01")),
        "a bare plus": changed("bare plus", price=Bare("+1")),
        "a bare decimal point first": changed("bare point first", price=Bare(".5")),
        "a bare decimal point last": changed("bare point last", price=Bare("5.")),
        "True of Python": changed("True of Python", price=Bare("True")),
        "a tab in a text": good.replace(b"SYMA", b"SY\tMA"),
        "a wrong escape": good.replace(b"SYMA", b"SY\\xMA"),
        "a no-break space before": "\u00a0".encode() + good,
        "a name twice": changed("a name twice")[:-1] + b',"price":99}',
        "a name twice beside a NaN": changed("twice and NaN", mood=Bare("NaN"))[:-1] + b',"price":99}',
        "nested deeper than any parser goes": changed("deep", x=Bare("[" * 20_000 + "]" * 20_000)),
    }.items():
        yield rejected(name, "NASDAQ", "bad_json", text)
    yield rejected("an empty object", "NASDAQ", "unknown_record_type", b"{}")
    yield rejected("names in capitals", "NASDAQ", "unknown_record_type", line("NASDAQ", "T").upper())
    yield rejected("null for a type", "NASDAQ", "unknown_record_type", changed("N", event_type=Bare("null")))
    yield rejected("null for a price", "NASDAQ", "missing_field", changed("null", price=Bare("null")))
    yield rejected(
        "a price under another name", "NASDAQ", "missing_field", changed("Price", price=None, Price=Bare("1"))
    )
    yield rejected("a trade's prices on a quote", "NASDAQ", "missing_field", changed("T as Q", event_type="Q"))
    for value in ("NaN", "Infinity", "-Infinity", "true", '{"amount":1}', "[1]", "1e400", "1000000000000", "1E+999999"):
        yield rejected(f"bare price {value}", "NASDAQ", "bad_number", changed("price", price=Bare(value)))
    for value in ("100.5", "NaN", "9223372036854775808", "1e-1"):
        yield rejected(f"bare size {value}", "NASDAQ", "bad_number", changed("size", size=Bare(value)))
    yield rejected(
        "bare NaN behind a bad time", "NASDAQ", "bad_timestamp", changed("NaN", event_tm="x", size=Bare("NaN"))
    )
    for value, price in {
        "123456789012.345678": "123456789012.345678",
        "0.1": "0.100000",
        "1e3": "1000.000000",
        "1.5E-3": "0.001500",
        "0.0000005": "0.000001",
        "1.0000005": "1.000001",
        "999999999999.999999": "999999999999.999999",
        "7": "7.000000",
    }.items():
        name = f"bare price of {value}"
        yield trade(name, "NASDAQ", changed(name, price=Bare(value)), trade_pr=price)
    for value, size in {"9007199254740993": 9007199254740993, "3e2": 300, "3.0": 3}.items():
        name = f"bare size of {value}"
        yield trade(name, "NASDAQ", changed(name, size=Bare(value)), trade_size=size)
    readable: list[tuple[str, bytes, dict[str, Any]]] = [
        ("an execution id", changed("an execution id", execution_id="e-1 "), {"execution_id": "e-1"}),
        ("an execution id of blanks", changed("an execution id of blanks", execution_id=" "), {}),
        ("an execution id of null", changed("an execution id of null", execution_id=Bare("null")), {}),
        ("blanks around", b" \t" + changed("blanks around") + b" ", {}),
        ("blanks inside", changed("blanks inside").replace(b":", b" : ", 1).replace(b",", b" ,\t"), {}),
        ("a lone CR inside", changed("a lone CR inside").replace(b',"', b',\r"'), {}),
        ("escapes", changed("escapes").replace(b"escapes", b"\\u0065scape\\u0073"), {}),
        ("order of names", b'{"size":300,' + changed("order of names", size=None)[1:], {}),
        ("a null nobody knows", changed("a null nobody knows", mood=Bare("null")), {}),
        ("an object nobody knows", changed("an object nobody knows", venue=Bare('{"id":[1,{"a":null}]}')), {}),
        ("NaN nobody knows", changed("NaN nobody knows", mood=Bare("NaN"), price=Bare("75.30254839137037")),
         {"trade_pr": "75.302548"}),
        ("bids on a trade", changed("bids on a trade", bid_pr=Bare("1"), ask_size=Bare("-5")), {}),
    ]  # fmt: skip
    for name, text, columns in readable:
        yield trade(name, "NASDAQ", text, **columns)
    name = "a trade's fields on a quote"
    yield quote(name, "NASDAQ", line("NASDAQ", "Q", symbol=name, price=Bare("1"), size="x", execution_id="e"))


def cases() -> Iterator[Case]:
    for exchange, other in (EXCHANGES, EXCHANGES[::-1]):
        for name, kind, changes, columns in ACCEPTED:
            expect = trade if kind == "T" else quote
            yield expect(name, exchange, line(exchange, kind, **{"symbol": name, **changes}), **columns)
        for name, reason, kind, changes in REJECTED:
            yield rejected(name, exchange, reason, line(exchange, kind, **changes))
        yield rejected("the other exchange", exchange, "wrong_exchange", line(exchange, "T", exchange=other))
        yield from precedence(exchange)
        yield from raw_lines(exchange)
    yield from csv_lines()
    yield from json_lines()


CASES = list(cases())


@pytest.fixture(scope="module")
def judged(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Mapping[tuple[str, str], list[EventRow]]:
    """The rows of all cases, by exchange and by the line of a reject or the symbol of an event."""
    raw = tmp_path_factory.mktemp("raw")
    for exchange in EXCHANGES:
        lines = [case.line for case in CASES if case.row[3] == exchange]
        deliver(raw, exchange, "lines", b"\n".join(lines) + b"\n")
    rows: dict[tuple[str, str], list[EventRow]] = defaultdict(list)
    for row in draft_of(spark, raw).rows.collect():
        rows[identity(tuple(row))].append(tuple(row))
    return rows


def identity(row: EventRow) -> tuple[str, str]:
    return row[3], row[-1] if row[1] == "B" else row[2]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_line_becomes_the_row_the_contract_says(
    case: Case, judged: Mapping[tuple[str, str], list[EventRow]]
) -> None:
    assert judged.get(identity(case.row)) == [case.row]


def test_no_line_is_dropped_and_none_is_counted_twice(judged: Mapping[tuple[str, str], list[EventRow]]) -> None:
    assert sum(map(len, judged.values())) == len(CASES)


def test_the_cases_cover_every_reason_and_no_two_share_a_row() -> None:
    assert {case.row[-3] for case in CASES} == {None, *Reject}
    assert len({identity(case.row) for case in CASES}) == len(CASES)


def test_the_columns_are_those_of_the_contract(spark: SparkSession, tmp_path: Path) -> None:
    for exchange in EXCHANGES:
        deliver(tmp_path, exchange, "empty", b"")
    assert draft_of(spark, tmp_path).rows.schema.simpleString() == (
        "struct<trade_dt:date,rec_type:string,symbol:string,exchange:string,event_tm:timestamp_ntz,event_seq_nb:bigint,"
        "arrival_tm:timestamp_ntz,trade_pr:decimal(18,6),trade_size:bigint,execution_id:string,"
        "bid_pr:decimal(18,6),bid_size:bigint,ask_pr:decimal(18,6),ask_size:bigint,"
        "reject_reason:string,source_file:string,line:string>"
    )


def packed(first: bytes, second: bytes) -> dict[str, bytes]:
    """The same two lines in every kind of file an exchange may deliver."""
    both = first + b"\n" + second + b"\n"
    windows = both.replace(b"\n", b"\r\n")
    return {
        "plain": both,
        "plain.gz": gzip.compress(both),
        "parts.gz": gzip.compress(first + b"\n") + gzip.compress(second),
        "bom": BOM + both,
        "bom.gz": gzip.compress(BOM + both),
        "windows": windows,
        "windows-bom.gz": gzip.compress(BOM + windows),
        "open-end": both[:-1],
        "open-end.gz": gzip.compress(both[:-1]),
        "open-end-windows": windows[:-1],
        "mixed-ends": first + b"\r\n" + second,
        "joined-files": first + b"\n" + BOM + second,
        "a b+c%20d% [1]{2}*?#ü;.csv": both,
        "a b+c%20d%2B [1]{2}*?#ü;.gz": gzip.compress(both),
    }


@pytest.mark.parametrize("exchange", EXCHANGES)
def test_a_line_is_the_same_however_its_file_is_packed(spark: SparkSession, tmp_path: Path, exchange: str) -> None:
    wanted = []
    for name, content in packed(line(exchange, "T"), b"no record").items():
        wanted += [
            trade_row(exchange),
            reject_row(
                exchange,
                "unknown_record_type" if exchange == "NYSE" else "bad_json",
                deliver(tmp_path, exchange, name, content),
                "no record",
            ),
        ]
    for no_lines in (b"", BOM):
        for name in EXCHANGES:
            deliver(tmp_path, name, f"empty{len(no_lines)}", no_lines)
            deliver(tmp_path, name, f"empty{len(no_lines)}.gz", gzip.compress(no_lines))
    draft = draft_of(spark, tmp_path)
    assert ordered(draft.rows.collect()) == ordered(wanted)
    assert draft.expected_rows == len(wanted)


def test_names_with_underscore_or_dot_and_subfolders_are_no_data(spark: SparkSession, tmp_path: Path) -> None:
    for exchange in EXCHANGES:
        for name in (
            "_SUCCESS",
            "_temporary",
            ".part.crc",
            ".hidden.gz",
            "older/part",
            "_temporary.d/0/part",
            "x=1/part",
        ):
            deliver(tmp_path, exchange, name, line(exchange, "T", symbol=name))
        deliver(tmp_path, exchange, "part_.", line(exchange, "T"))
    draft = draft_of(spark, tmp_path)
    assert ordered(draft.rows.collect()) == [trade_row("NASDAQ"), trade_row("NYSE")]
    assert draft.expected_rows == 2


def test_other_days_and_other_formats_are_left_alone(spark: SparkSession, tmp_path: Path) -> None:
    for exchange in EXCHANGES:
        deliver(tmp_path, exchange, "part", line(exchange, "T"))
    for folder in ("csv/2020-08-05/NYSE", "csv/2020-08-06/NASDAQ", "json/2020-08-06/NYSE", "json/2020-08-07/NASDAQ"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "part").write_bytes(b"not of this delivery")
    assert ordered(draft_of(spark, tmp_path).rows.collect()) == [trade_row("NASDAQ"), trade_row("NYSE")]


@pytest.fixture
def tiny_splits(spark: SparkSession) -> Iterator[None]:
    """Spark reads files in pieces of a few bytes, as it does with large ones in pieces of 128 MB."""
    name = "spark.sql.files.maxPartitionBytes"
    spark.conf.set(name, "97")
    yield
    spark.conf.unset(name)


@pytest.mark.usefixtures("tiny_splits")
def test_lines_across_the_splits_of_a_file_are_read_once(spark: SparkSession, tmp_path: Path) -> None:
    wanted = []
    for exchange in EXCHANGES:
        lines = [line(exchange, "T", event_seq_nb=str(number)) for number in range(1, 13)]
        deliver(tmp_path, exchange, "large", BOM + b"\r\n".join([b"", *lines, b"", b""]) + b"\xff")
        wanted += [trade_row(exchange, event_seq_nb=number) for number in range(1, 13)]
        source = f"{FOLDERS[exchange]}/large"
        wanted += [reject_row(exchange, "blank", source, "")] * 2
        wanted.append(reject_row(exchange, "bad_encoding", source, "\ufffd"))
    draft = draft_of(spark, tmp_path)
    assert draft.rows.rdd.getNumPartitions() > 20
    assert ordered(draft.rows.collect()) == ordered(wanted)
    assert draft.expected_rows == len(wanted)


def test_the_order_of_lines_and_files_never_changes_the_rows(spark: SparkSession, tmp_path: Path) -> None:
    lines = {exchange: [case.line for case in CASES if case.row[3] == exchange][::7] for exchange in EXCHANGES}
    results = []
    for number, files in enumerate((1, 3)):
        raw = tmp_path / str(number)
        for exchange, some in lines.items():
            arranged = (some, some[::-1])[number]
            for file in range(files):
                deliver(raw, exchange, f"part-{file}", b"\n".join(arranged[file::files]) + b"\n")
        where = EVENTS.columns.index("source_file")
        results.append(ordered(row[:where] + row[where + 1 :] for row in draft_of(spark, raw).rows.collect()))
    assert results[0] == results[1]
    assert len(results[0]) == sum(map(len, lines.values()))


def test_unknown_fields_are_reported_once_per_file(spark: SparkSession, tmp_path: Path) -> None:
    def news(**changes: str | None) -> bytes:
        return line("NASDAQ", "T", **changes) + b"\n"

    deliver(tmp_path, "NYSE", "part", line("NYSE", "T"))
    deliver(tmp_path, "NASDAQ", "as agreed", news(execution_id="e") + line("NASDAQ", "Q", price=Bare("1")))
    two = deliver(
        tmp_path, "NASDAQ", "two+2", news(venue="X") * 3 + news(mood=Bare("null")) + news(mood="?", venue="Y")
    )
    rejects = deliver(tmp_path, "NASDAQ", "rejects.gz", gzip.compress(news(price="?", Price="1") + news(lost="x")[:-3]))
    draft = draft_of(spark, tmp_path)
    assert [row[1] for row in ordered(draft.rows.collect())] == ["B"] * 2 + ["Q"] + ["T"] * 7
    assert draft.facts() == {"schema_drift": {two: ["mood", "venue"], rejects: ["Price"]}}


def test_a_published_day_counts_every_line_and_names_what_it_was_made_of(spark: SparkSession, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    deliver(raw, "NYSE", "part", b"\n".join([line("NYSE", "T"), line("NYSE", "Q"), b"", b"header"]))
    drifted = deliver(raw, "NASDAQ", "part.gz", gzip.compress(line("NASDAQ", "Q", venue="X") + b"\r\n{\r\n \r\n"))
    lake = Lake(str(tmp_path / "lake"))
    manifest = lake.publish(draft_of(spark, raw), DAY, Attempt.begin("run-1"))
    assert ordered(lake.read(spark, EVENTS, DAY).rows.collect()) == ordered(
        [
            trade_row("NYSE"),
            quote_row("NYSE"),
            quote_row("NASDAQ"),
            reject_row("NYSE", "blank", "csv/2020-08-06/NYSE/part", ""),
            reject_row("NYSE", "unknown_record_type", "csv/2020-08-06/NYSE/part", "header"),
            reject_row("NASDAQ", "bad_json", "json/2020-08-06/NASDAQ/part.gz", "{"),
            reject_row("NASDAQ", "blank", "json/2020-08-06/NASDAQ/part.gz", " "),
        ]
    )
    assert manifest.rows == 7
    assert {name: count for name, count in manifest.measures.items() if count} == {
        "trades": 1,
        "quotes": 2,
        "rejected": 4,
        "rejected_blank": 2,
        "rejected_bad_json": 1,
        "rejected_unknown_record_type": 1,
    }
    assert manifest.facts == {"schema_drift": {drifted: ["venue"]}}
    fingerprints = {delivery.source.raw_table: delivery.fingerprint for delivery in RawFolder(str(raw)).deliveries(DAY)}
    assert manifest.inputs == fingerprints
    assert fingerprints.keys() == {"raw/nyse", "raw/nasdaq"}
