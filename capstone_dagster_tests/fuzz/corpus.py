"""Lines that an earlier version judged wrongly, stopped at or could not read; CHANGELOG.md tells of each group.

The fuzz damages them like other lines. A line that turns out wrong in a fuzz comes here, with what must become of it.
"""

from typing import NamedTuple

from capstone_dagster_tests.builders.deliveries import BOM, Bare, line


class Once(NamedTuple):
    """A line that was once wrong."""

    exchange: str
    line: bytes
    reason: str | None
    """Why it is rejected, or None."""


def _once(reason: str | None, exchange: str, kind: str = "T", /, **changes: str | None) -> Once:
    return Once(exchange, line(exchange, kind, **changes), reason)


CORPUS = [
    # Whole numbers with exponents were refused unless their digits were few, and a zero with a large one did not fit.
    *(
        _once(None, exchange, size=Bare(number))
        for exchange in ("NYSE", "NASDAQ")
        for number in ("1.2345678901E10", "1200000000000000000000e-19", "9.223372036854775807e18", "3e2")
    ),
    *(_once(None, exchange, "Q", bid_pr=Bare("0e400"), bid_size=Bare("0.0e9999")) for exchange in ("NYSE", "NASDAQ")),
    _once("bad_number", "NYSE", size="1e-9999"),
    _once("bad_number", "NYSE", size="6e-22"),
    _once("bad_number", "NYSE", size="100.0000000000000000001"),
    # Writing out such a number took gigabytes.
    _once("bad_number", "NYSE", price="1e-999999999"),
    _once("bad_number", "NASDAQ", price=Bare("1E+999999")),
    # Numbers of JSON went through a double: long ones lost digits, and halves were rounded down.
    _once(None, "NASDAQ", price=Bare("123456789012.345678")),
    _once(None, "NASDAQ", price=Bare("1.0000005")),
    _once(None, "NASDAQ", price=Bare(f"1.0000004{'9' * 40}")),
    _once(None, "NASDAQ", size=Bare("9007199254740993")),
    _once("bad_number", "NASDAQ", size=Bare(f"100.{'0' * 40}1")),
    _once(None, "NASDAQ", price=Bare("75.30254839137037"), mood=Bare("NaN")),
    # Half of a surrogate pair made two symbols one.
    _once("bad_json", "NASDAQ", symbol=Bare(r'"\ud83d"')),
    _once("bad_json", "NASDAQ", symbol=Bare(r'"\ude00\ud83d"')),
    _once("bad_json", "NASDAQ", mood=Bare(r'{"":["\udc00"]}')),
    _once(None, "NASDAQ", symbol=Bare(r'"\\ud83d"')),
    # An object, an array or a boolean passed for a text.
    _once("bad_json", "NASDAQ", symbol=Bare('{"name":"SYMA"}')),
    _once("bad_json", "NASDAQ", symbol=Bare("true")),
    _once("bad_json", "NASDAQ", execution_id=Bare('{"id":1}')),
    # What Python writes for a missing text became the symbol NaN.
    _once("bad_json", "NASDAQ", symbol=Bare("NaN")),
    _once("bad_json", "NASDAQ", symbol=Bare("-Infinity")),
    _once("bad_json", "NASDAQ", execution_id=Bare("Infinity")),
    *(_once(None, "NASDAQ", symbol=name, execution_id="NaN") for name in ("NaN", "Infinity", "-Infinity", "Inf")),
    # A name that comes twice had the first value or the last one, by the parser.
    Once("NASDAQ", line("NASDAQ", "T")[:-1] + b',"price":99}', "bad_json"),
    Once("NASDAQ", line("NASDAQ", "T")[:-1] + rb',"symb\u006fl":"X"}', "bad_json"),
    _once("bad_json", "NASDAQ", venue=Bare('[{"id":1,"id":2}]')),
    # What a parser takes for JSON, and RFC 8259 does not.
    Once("NASDAQ", line("NASDAQ", "T").replace(b"}", b",}"), "bad_json"),
    Once("NASDAQ", line("NASDAQ", "T") + b"}", "bad_json"),
    _once("bad_json", "NASDAQ", price=Bare("INF")),
    Once("NASDAQ", line("NASDAQ", "T").replace(b'"symbol":', b'"symbol":\x0b'), "bad_json"),
    # The parsers give up at different depths.
    _once("bad_json", "NASDAQ", x=Bare("[" * 2_000 + "]" * 2_000)),
    # Bytes that are no UTF-8, whose count differs from that of their replacements.
    Once("NYSE", b"\xe2\x82\r", "bad_encoding"),
    Once("NYSE", line("NYSE", "T").replace(b"SYMA", b"SY\xed\xa0\x80MA"), "bad_encoding"),
    Once("NYSE", line("NYSE", "T").replace(b"SYMA", b"SY\0MA"), "bad_encoding"),
    # A BOM or CR in the middle of a delivery, where files were joined.
    Once("NYSE", BOM + line("NYSE", "T") + b"\r", None),
    Once("NYSE", line("NYSE", "T") + b"\r\r", "bad_number"),
    Once("NYSE", line("NYSE", "T") + b"\r" + line("NYSE", "T"), "field_count"),
    # Times of day that a time zone would skip or that have more digits than a microsecond.
    _once(None, "NYSE", event_tm="2020-03-08 02:30:00"),
    _once(None, "NYSE", event_tm="2020-08-06 23:59:59.9999999"),
    _once("bad_timestamp", "NYSE", event_tm="0000-08-06 09:30:00"),
    _once("bad_timestamp", "NYSE", event_tm="2020-08-06 24:00:00"),
]  # fmt: skip
