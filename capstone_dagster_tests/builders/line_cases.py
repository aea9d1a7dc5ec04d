"""Delivered lines, each with the one row of ``ingested/events`` it must become."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession

from capstone_dagster_tests.builders.deliveries import (
    BOM,
    DAY,
    FOLDERS,
    Bare,
    EventRow,
    line,
    quote_row,
    reject_row,
    trade_row,
)
from capstone_dagster_tests.builders.field_cases import ACCEPTED, FIELD_FAULTS, REJECTED
from spark_code.drafts import Draft
from spark_code.raw_files import RawFolder
from spark_code.raw_to_ingested import build

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
        "half a character": changed("half", symbol=Bare(r'"\ud83d"')),
        "the other half of a character": changed("half", symbol=Bare(r'"\udc00"')),
        "halves the wrong way round": changed("half", symbol=Bare(r'"\ude00\ud83d"')),
        "half a character behind a backslash": changed("half", symbol=Bare(r'"\\\uD83D"')),
        "half a character nobody knows": changed("half of mood", mood=Bare(r'{"":["\udc00"]}')),
        "half a character in a name": changed("half")[:-1] + rb',"\ud83d":1}',
        "an object for a symbol": changed("", symbol=Bare('{"name":"SYMA"}')),
        "an array for a symbol": changed("", symbol=Bare('["SYMA"]')),
        "a boolean for a symbol": changed("", symbol=Bare("true")),
        "an object for an execution id": changed("object", execution_id=Bare('{"id":1}')),
        "a name twice, once with an escape": changed("twice")[:-1] + rb',"symb\u006fl":"X"}',
        "a name twice nobody knows": changed("twice", venue=Bare('[{"id":1,"id":2}]')),
        "a number for a name": changed("name")[:-1] + b",1:2}",
        "a bare plus Infinity": changed("plus Infinity", price=Bare("+Infinity")),
        "a bare INF": changed("INF", price=Bare("INF")),
        "a BOM inside": good.replace(b'"symbol":', b'"symbol":' + BOM),
        "a vertical tab between": good.replace(b'"symbol":', b'"symbol":\x0b'),
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
    for value in ("100.5", "NaN", "9223372036854775808", "1e-1", "1e-9999", f"100.{'0' * 40}1"):
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
        f"1.0000004{'9' * 40}": "1.000000",
        f"1.0000005{'0' * 1200}": "1.000001",
    }.items():
        name = f"bare price of {value}"
        yield trade(name, "NASDAQ", changed(name, price=Bare(value)), trade_pr=price)
    for value, size in {
        "9007199254740993": 9007199254740993,
        "3e2": 300,
        "3.0": 3,
        "1.2345678901E10": 12_345_678_901,
        "1200000000000000000000e-19": 120,
    }.items():
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
        ("a pair of halves", changed("", symbol=Bare(r'"a pair of halves \uD83D\ude00"')), {}),
        ("no half behind two backslashes", changed("", symbol=Bare(r'"\\ud83d"')), {}),
        ("1.50", changed("", symbol=Bare("1.50")), {}),
        ("a name with escapes", changed("a name with escapes").replace(b"symbol", rb"symb\u006fl"), {}),
        ("{a text}", changed("{a text}"), {}),
        ("false", changed("false"), {}),
        ("a tab as an escape", changed("").replace(b'""', rb'"\ta tab as an escape\u0009"'), {}),
        ("order of names", b'{"size":300,' + changed("order of names", size=None)[1:], {}),
        ("a null nobody knows", changed("a null nobody knows", mood=Bare("null")), {}),
        ("an object nobody knows", changed("an object nobody knows", venue=Bare('{"id":[1,{"a":null}]}')), {}),
        ("NaN nobody knows", changed("NaN nobody knows", mood=Bare("NaN"), price=Bare("75.30254839137037")),
         {"trade_pr": "75.302548"}),
        ("bids on a trade", changed("bids on a trade", bid_pr=Bare("1"), ask_size=Bare("-5")), {}),
    ]  # fmt: skip
    for name, text, columns in readable:
        symbol = {"a pair of halves": f"{name} \U0001f600", "no half behind two backslashes": r"\ud83d"}.get(name, name)
        yield trade(symbol, "NASDAQ", text, **columns)
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
