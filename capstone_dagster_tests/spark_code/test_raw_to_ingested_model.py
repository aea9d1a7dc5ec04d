"""Random deliveries, judged by Spark and by a model of the contract in plain Python.

The model reads the very bytes of the files with json, decimal, datetime and re, and knows nothing
of Spark or of ``spark_code``. Left out are the corners where JSON readers differ by design: names
given twice, lone surrogates, more than 38 digits, exponents behind more than 15 digits.
"""

import gzip
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from capstone_dagster_tests.deliveries import (
    BOM,
    DAY,
    FOLDERS,
    Bare,
    EventRow,
    Fields,
    csv_line,
    deliver,
    fields,
    json_line,
    ordered,
    quote_row,
    reject_row,
    trade_row,
)
from spark_code.raw_files import RawFolder
from spark_code.raw_to_ingested import build

# --- the model -----------------------------------------------------------------------------------

HEAD = ("trade_dt", "file_tm", "event_type", "symbol", "event_tm", "event_seq_nb", "exchange")
REQUIRED = {
    "T": (*HEAD, "price", "size"),
    "Q": (*HEAD, "bid_pr", "bid_size", "ask_pr", "ask_size"),
}
KNOWN = {*REQUIRED["T"], *REQUIRED["Q"], "execution_id"}
NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]+))?")
EXACT = Context(prec=10_000)


class RejectedError(Exception):
    """Carries the reason."""


@dataclass
class Verdicts:
    """What must come of all files together."""

    rows: list[EventRow]
    drift: dict[str, list[str]]


def judge_files(files: Mapping[tuple[str, str], bytes]) -> Verdicts:
    """Judge the unpacked content of files, by exchange and name."""
    verdicts = Verdicts([], {})
    for (exchange, name), content in files.items():
        source_file, unknown = f"{FOLDERS[exchange]}/{name}", set()
        lines = content.split(b"\n")
        for raw in lines if lines[-1] else lines[:-1]:
            line = raw.removesuffix(b"\r").removeprefix(BOM)
            try:
                record = take_apart(line, exchange)
                unknown |= record.keys() - KNOWN
                verdicts.rows.append(judge(record, exchange))
            except RejectedError as reason:
                verdicts.rows.append(reject_row(exchange, str(reason), source_file, line.decode(errors="replace")))
        if unknown:
            verdicts.drift[source_file] = sorted(unknown)
    return verdicts


def take_apart(line: bytes, exchange: str) -> dict[str, str | None]:
    """The fields of a line as texts without blanks; an empty one is None."""
    if len(line) > 65_536:
        raise RejectedError("too_long")
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise RejectedError("bad_encoding") from None
    if "\0" in text:
        raise RejectedError("bad_encoding")
    if not text.strip(" \t"):
        raise RejectedError("blank")
    record = from_csv(text) if exchange == "NYSE" else from_json(text)
    return {name: (value or "").strip(" \t") or None for name, value in record.items()}


def from_csv(text: str) -> dict[str, str]:
    parts = text.split(",")
    kind = parts[2].strip(" \t") if len(parts) > 2 else ""
    if kind in REQUIRED and len(parts) != len(REQUIRED[kind]):
        raise RejectedError("field_count")
    return dict(zip(REQUIRED.get(kind, HEAD), parts, strict=False))


def from_json(text: str) -> dict[str, str | None]:
    try:
        record = json.loads(text, parse_float=Bare, parse_int=Bare, parse_constant=Bare)
    except ValueError:
        raise RejectedError("bad_json") from None
    if not isinstance(record, dict):
        raise RejectedError("bad_json")
    return {name: value if value is None or isinstance(value, str) else "no text" for name, value in record.items()}


def judge(record: Mapping[str, str | None], exchange: str) -> EventRow:
    """The row of a record whose fields are known; the rules in the order of the contract."""
    kind = record.get("event_type")
    if kind not in ("T", "Q"):
        raise RejectedError("unknown_record_type")
    values = {name: value for name in REQUIRED[kind] if (value := record.get(name)) is not None}
    if len(values) < len(REQUIRED[kind]):
        raise RejectedError("missing_field")
    day = timestamp(f"{values['trade_dt']} 00:00:00").date()
    arrival_tm, event_tm = timestamp(values["file_tm"]), timestamp(values["event_tm"])
    sequence = whole(values["event_seq_nb"])
    if kind == "T":
        prices, sizes = {"trade_pr": price(values["price"])}, {"trade_size": whole(values["size"])}
    else:
        prices = {name: price(values[name]) for name in ("bid_pr", "ask_pr")}
        sizes = {name: whole(values[name]) for name in ("bid_size", "ask_size")}
    amounts = [*prices.values(), *map(Decimal, sizes.values())]
    if sequence < 0 or min(amounts) < 0 or (kind == "T" and 0 in amounts):
        raise RejectedError("out_of_range")
    if day != DAY:
        raise RejectedError("wrong_trade_date")
    if values["exchange"] != exchange:
        raise RejectedError("wrong_exchange")
    columns: dict[str, Any] = {"event_seq_nb": sequence, "arrival_tm": arrival_tm, "event_tm": event_tm}
    columns |= sizes | {name: str(value) for name, value in prices.items()}
    if kind == "T":
        return trade_row(exchange, values["symbol"], execution_id=record.get("execution_id"), **columns)
    return quote_row(exchange, values["symbol"], **columns)


def timestamp(text: str) -> datetime:
    """Wall-clock time, its fraction cut to microseconds."""
    match = TIME.fullmatch(text)
    if match is None:
        raise RejectedError("bad_timestamp")
    try:
        whole_seconds = datetime.fromisoformat(match[1])
    except ValueError:
        raise RejectedError("bad_timestamp") from None
    return whole_seconds.replace(microsecond=int((match[2] or "0")[:6].ljust(6, "0")))


def price(text: str) -> Decimal:
    """Six decimals, half up."""
    rounded = number(text).quantize(Decimal("0.000001"), ROUND_HALF_UP, EXACT)
    if abs(rounded) >= 10**12:
        raise RejectedError("bad_number")
    return rounded


def whole(text: str) -> int:
    value = number(text)
    if value != int(value) or not -(2**63) <= value < 2**63:
        raise RejectedError("bad_number")
    return int(value)


def number(text: str) -> Decimal:
    if NUMBER.fullmatch(text) is None:
        raise RejectedError("bad_number")
    return Decimal(text)


# --- random deliveries ---------------------------------------------------------------------------

times = st.one_of(
    st.datetimes(datetime(2020, 8, 6), datetime(2020, 8, 6, 23, 59, 59)).map(lambda time: time.isoformat(" ")),
    st.datetimes().map(lambda time: time.isoformat(" ", "milliseconds")),
    st.from_regex(r"2020-(0[0-9]|1[0-3])-[0-3][0-9] [0-2][0-9]:[0-6][0-9]:[0-6][0-9](\.[0-9]{0,9})?", fullmatch=True),
    st.sampled_from(["", " ", "noon", "2020-08-06T09:30:00", "2020-08-06 9:30:00", "0000-01-01 00:00:00"]),
)
plain_numbers = st.from_regex(r"(0|[1-9][0-9]{0,12})(\.[0-9]{1,9})?", fullmatch=True)
exponents = st.from_regex(r"[1-9](\.[0-9]{1,8})?[eE][+-]?[0-9]{1,2}", fullmatch=True)
odd_numbers = st.sampled_from(
    [
        "0",
        "-0",
        "-1",
        "100.5",
        "100.0",
        "0.0000005",
        "0.0000004",
        "2.5000005",
        "999999999999.9999995",
        "9" * 19,
        "1e400",
    ]
)
# Grammatical for the contract or not, but never for JSON: they stand there in quotes.
odd_texts = st.one_of(
    st.sampled_from(
        ["", " ", "NaN", "Infinity", ".5", "5.", "+7", "007", "1_0", "٣", "1e", " 7\t", "-9223372036854775808"]
    ),
    st.from_regex(r"[+-]{0,2}[0-9]{0,3}\.?[0-9]{0,3}[eE]?[+-]?[0-9]{0,2}", fullmatch=True),
)
bare = st.sampled_from([Bare(text) for text in ("NaN", "Infinity", "-Infinity", "null", "true", "[1]", '{"a":"b"}')])
numbers = st.one_of(plain_numbers.map(Bare), plain_numbers, exponents.map(Bare), odd_numbers.map(Bare), odd_texts, bare)
CHANGES: dict[str, st.SearchStrategy[str | None]] = {
    "trade_dt": st.sampled_from(["2020-08-05", "2020-8-6", "2020-02-30", " 2020-08-06\t", "", None]),
    "file_tm": times,
    "event_type": st.sampled_from(["T", "Q", " T ", "t", "B", "", None]),
    "symbol": st.sampled_from(["BRK.B", " SYM A\t", "Ä€𝄞", "S\rY", 'S"Y', "S\\Y", "NULL", " ", "", None]),
    "event_tm": times,
    "exchange": st.sampled_from(["NYSE", "NASDAQ", "nyse", "LSE", "\tNYSE ", " NASDAQ ", "", None]),
    "execution_id": st.sampled_from(["e-1", " e 2 ", "", None]),
    **dict.fromkeys(("event_seq_nb", "price", "size", "bid_pr", "bid_size", "ask_pr", "ask_size"), numbers),
    # JSON alone can bring what nobody knows.
    **dict.fromkeys(("venue", "Price", "größe"), st.sampled_from([Bare("1"), Bare("null"), Bare("[{}]"), "text"])),
}
IN_JSON_ONLY = ("execution_id", "venue", "Price", "größe")


@st.composite
def records(draw: st.DrawFn, exchange: str) -> Fields:
    """A good record with up to two changed fields."""
    record = fields(exchange, draw(st.sampled_from("TQ")), event_seq_nb=Bare(draw(st.integers(0, 10**6))))
    changeable = list(record) if exchange == "NYSE" else sorted({*record, *IN_JSON_ONLY, "price", "ask_size"})
    for name in draw(st.lists(st.sampled_from(changeable), max_size=2, unique=True)):
        record[name] = draw(CHANGES[name])
    return record


@st.composite
def damages(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """What may happen to a line on its way."""
    at = draw(st.integers(0, 400))
    inserted = draw(
        st.sampled_from([*(bytes([byte]) for byte in b",:\"'{}[]\\ \t\r0-.eEx/"), b"\0", b"\xff", b"\xe2\x82"])
    )
    faults: list[Callable[[bytes], bytes]] = [
        lambda line: line[:at],
        lambda line: line[: at % len(line)] + inserted + line[at % len(line) :],
        lambda line: line[: at % len(line)] + line[at % len(line) + 1 :],
        lambda line: line + inserted,
        lambda line: inserted + line,
        lambda _: b" " * (at % 3),
        lambda line: line + b" " * (65_536 - len(line) + at % 3 - 1),
        lambda line: b"[" + line + b"]",
        lambda line: line + line,
        lambda line: BOM + line,
        lambda _: b"trade_dt,file_tm,event_type,symbol,event_tm,event_seq_nb,exchange,price,size",
    ]
    return draw(st.sampled_from(faults))


@st.composite
def lines(draw: st.DrawFn, exchange: str) -> bytes:
    record = draw(records(exchange))
    if exchange == "NASDAQ" and draw(st.booleans()):
        record = {name: record[name] for name in draw(st.permutations(list(record)))}
    line = csv_line(record) if exchange == "NYSE" else json_line(record)
    return draw(damages())(line) if draw(st.integers(0, 3)) == 0 else line


@st.composite
def contents(draw: st.DrawFn, exchange: str) -> bytes:
    """A file of some lines, each with one of the two line ends, the last one perhaps with none."""
    ends = st.sampled_from([b"\n", b"\r\n"])
    content = b"".join(line + draw(ends) for line in draw(st.lists(lines(exchange), min_size=5, max_size=15)))
    if draw(st.booleans()):
        content = content.removesuffix(b"\n")
    return BOM + content if content and not content.startswith(BOM) and draw(st.booleans()) else content


@st.composite
def days(draw: st.DrawFn) -> dict[tuple[str, str], bytes]:
    names = [(exchange, name) for exchange in FOLDERS for name in ("part 0", "part-1.gz")]
    return {(exchange, name): draw(contents(exchange)) for exchange, name in names}


# Every example is a Spark job of a second, the same ones in every run, and a difference names
# its line: nothing is stored, and nothing is made smaller after a failure.
@settings(max_examples=10, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
@given(files=days())
def test_spark_and_the_model_make_the_same_rows_of_a_random_delivery(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, files: dict[tuple[str, str], bytes]
) -> None:
    raw: Path = tmp_path_factory.mktemp("raw")
    for (exchange, name), content in files.items():
        deliver(raw, exchange, name, gzip.compress(content) if name.endswith(".gz") else content)
    verdicts = judge_files(files)
    wanted = ordered(verdicts.rows)
    draft = build(spark, RawFolder(str(raw)).deliveries(DAY), DAY)
    got = ordered(draft.rows.collect())
    # What differs alone comes first: a message of some rows, not of all.
    assert [row for row in got if row not in wanted] == [row for row in wanted if row not in got]
    assert got == wanted
    assert draft.expected_rows == len(wanted)
    assert draft.facts() == {"schema_drift": verdicts.drift}
