"""Mutated lines of both formats, judged by Spark and by a strict model of the contract in plain Python.

The model reads the very bytes of the files with json, decimal, datetime and re, and knows nothing of Spark or of
``spark_code``. ``--rounds`` says how many lines are judged; the seed of a difference is in its message.
"""

import gzip
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Context, Decimal
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pyspark.sql import SparkSession

from capstone_dagster_tests.builders.deliveries import (
    BOM,
    DAY,
    FOLDERS,
    Bare,
    EventRow,
    csv_line,
    deliver,
    fields,
    json_line,
    quote_row,
    reject_row,
    trade_row,
)
from capstone_dagster_tests.builders.line_cases import draft_of
from spark_code.schemas import Reject

# --- the model -----------------------------------------------------------------------------------

HEAD = ("trade_dt", "file_tm", "event_type", "symbol", "event_tm", "event_seq_nb", "exchange")
REQUIRED = {
    "T": (*HEAD, "price", "size"),
    "Q": (*HEAD, "bid_pr", "bid_size", "ask_pr", "ask_size"),
}
KNOWN = {*REQUIRED["T"], *REQUIRED["Q"], "execution_id"}
NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,4})?")
TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]+))?")
EXACT = Context(prec=100_000)
TEXTS = ("symbol", "execution_id")
MOST_KEPT = 128 * 1024


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
        lines = content.removeprefix(BOM).split(b"\n")
        for raw in lines if lines[-1] else lines[:-1]:
            line = raw.removesuffix(b"\r").removeprefix(BOM)
            kept = raw[:MOST_KEPT].removesuffix(b"\r").removeprefix(BOM).decode(errors="replace")
            try:
                record = take_apart(line, exchange)
                unknown |= record.keys() - KNOWN
                verdicts.rows.append(judge(record, exchange))
            except RejectedError as reason:
                verdicts.rows.append(reject_row(exchange, str(reason), source_file, kept))
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


class Nested(str):
    """What stands for an object, an array or a boolean: no scalar that a text or a number could be."""

    __slots__ = ()


def from_json(text: str) -> dict[str, str | None]:
    try:
        record = json.loads(
            text, parse_float=Bare, parse_int=Bare, parse_constant=Bare, object_pairs_hook=no_name_twice
        )
        json.dumps(record, ensure_ascii=False).encode()  # half a surrogate pair cannot be
    except (ValueError, RecursionError):
        raise RejectedError("bad_json") from None
    if not isinstance(record, dict):
        raise RejectedError("bad_json")
    scalars = {
        name: value if value is None or isinstance(value, str) else Nested("{...}") for name, value in record.items()
    }
    if any(isinstance(scalars.get(name), Nested) for name in TEXTS):
        raise RejectedError("bad_json")
    return scalars


def no_name_twice(members: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(members)
    if len(record) < len(members):
        raise ValueError("a name comes twice")
    return record


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


# --- mutated lines ---------------------------------------------------------------------------------

ODD_NUMBERS_IN_ONE = (
    "0 -0 +0 0e400 0.000e9999 -1 100.5 100.0 1e3 1E+3 1.5e1 1.2345678901E10 1200000000000000000000e-19 12e-1 "
    "1e-9999 1e9999 1e99999 1e-99999 0.0000005 0.0000004 -0.0000005 2.5000005 1.00000049999999999999 "
    "1.0000000000000000001 100.0000000000000000000000000000000000000001 999999999999.9999994 999999999999.9999995 "
    "9223372036854775807 9223372036854775808 -9223372036854775808 9.223372036854775807e18 9.223372036854775808E18 "
    "922337203685477580.7e1 92233720368547758070e-1 1e18 1e19 0.1e19 1e400 NaN Infinity -Infinity +Infinity INF null "
    'true false .5 5. +7 007 1_0 1,0 0x10 1f 1e 1e+ e3 --1 + - 1.2.3 nan \u0663 [1] {} {"a":1} [] "1"'
)
ODD_NUMBERS = ODD_NUMBERS_IN_ONE.split(" ")
ODD_TIMES_IN_ONE = (
    "noon,2020-08-06,2020-08-06T09:30:00,2020-08-06 9:30:00,0000-01-01 00:00:00,2020-02-30 00:00:00,"
    "2020-08-06 24:00:00,"
    "2020-08-06 23:59:59.9999999,2020-08-06 09:30:00.,2020-08-06 09:30:60,9999-12-31 23:59:59,0001-01-01 00:00:00.1,"
    "2020-08-06 09:30:00Z,2020-02-29 00:00:00, 2020-08-06 09:30:00\t,2020-08-06 09:30:00.123456789012345678901"
)
ODD_TIMES = ODD_TIMES_IN_ONE.split(",")
ODD_TEXTS = [
    "",
    " ",
    "\t",
    "BRK.B",
    " SYM A\t",
    "\u00c4\u20ac\U0001d11e",
    "S\rY",
    'S"Y',
    "S\\Y",
    "NULL",
    "{",
    "[x]",
    "1e5",
    "\u00a0X",
]
# Values as they stand in a line of JSON; CSV takes them for texts like others.
ODD_VALUES_IN_ONE = (
    r'"\ud83d" "\udc00" "\uD83D\uDE00" "\ude00\ud83d" "\ud83dx" "\\ud83d" "\\\ud83d" "\u0000" "\t" "\u0009SYM" '
    r'"\u00e4" "\/" "\x" "\u12" "\"" '
    r"""'SYM' ["SYM"] {"symbol":"SYM"} [] {} true false null 12 1.50 1e5 -0.0 NaN -Infinity """
    r'[{"a":[1,{"a":2}]}] {"a":1,"a":2} [{"b":"\udc00"}] {"a":{"b":"}"}} {1:2} [1,] [01] SYM "SYM'
)
ODD_VALUES = [Bare(text) for text in ODD_VALUES_IN_ONE.split(" ")]
ODD_NAMES = [
    "venue",
    "Price",
    "gr\u00f6\u00dfe",
    "price",
    "symbol",
    "",
    " symbol",
    "symb\\u006fl",
    "\\ud83d",
    "end",
    "1",
]
INSERTED = [
    *(bytes([byte]) for byte in b",:\"'{}[]\\ \t\r\n0-.+eEx/#\x0b\x7f"),
    b"\0",
    b"\xff",
    b"\xe2\x82",
    b"\xed\xa0\xbd",
    BOM,
    b"\\u",
]
NUMBERS = ("event_seq_nb", "price", "size", "bid_pr", "bid_size", "ask_pr", "ask_size")


def digits(random: Random, most: int) -> str:
    return "".join(random.choices("0123456789", [5, *[1] * 8, 3], k=random.randint(1, most)))


def number_text(random: Random) -> str:
    match random.randrange(6):
        case 0:
            return random.choice(ODD_NUMBERS)
        case 1:  # as Java prints doubles
            return f"{random.randint(1, 9)}.{digits(random, 16)}E{random.randint(-7, 20)}"
        case 2:  # a whole number whose point or zeros are elsewhere
            whole, zeros = digits(random, 20), random.randint(0, 30)
            moved = f"{whole[:-zeros] or '0'}.{whole[-zeros:].zfill(zeros)}e{zeros}" if zeros else whole
            return random.choice([f"{whole}{'0' * zeros}e-{zeros}", moved, f"{whole}.{'0' * zeros}e0"])
        case 3:  # about the half of the seventh decimal
            half = f"{random.randint(0, 999)}.{random.randint(0, 999_999):06}"
            return half + random.choice(
                ["5", "4" + "9" * random.randint(1, 60), "5" + "0" * random.randint(1, 60) + "1"]
            )
        case 4:
            return f"{random.randint(0, 10**6)}.{digits(random, 4)}"
    sign, mark = random.choice(["", "", "", "+", "-"]), random.choice("eE")
    fraction = f".{digits(random, random.choice([3, 60]))}" if random.random() < 0.6 else ""
    exponent = f"{mark}{random.choice(['', '+', '-'])}{digits(random, random.choice([1, 2, 5]))}"
    return sign + digits(random, random.choice([3, 20, 60])) + fraction + random.choice(["", exponent])


def time_text(random: Random) -> str:
    if random.random() < 0.5:
        return random.choice(ODD_TIMES)
    time = datetime(2020, 8, 6) + timedelta(microseconds=random.randrange(86_400_000_000))
    return time.isoformat(" ", random.choice(["seconds", "milliseconds", "microseconds"]))


def changed_value(random: Random, name: str) -> str | None:
    if random.random() < 0.1:
        return random.choice([None, *ODD_VALUES])
    if name in NUMBERS:
        text = number_text(random)
        return Bare(text) if random.random() < 0.6 else text
    if name in ("event_tm", "file_tm"):
        return time_text(random)
    pools = {
        "trade_dt": ["2020-08-05", "2020-8-6", "2020-02-30", " 2020-08-06\t", "0000-08-06", "2020-08-06 00:00:00"],
        "event_type": ["T", "Q", " T ", "t", "B", "", "TQ"],
        "exchange": ["NYSE", "NASDAQ", "nyse", "LSE", "\tNYSE ", " NASDAQ "],
    }
    return random.choice(pools.get(name, [*ODD_TEXTS, *ODD_VALUES]))


def good_or_changed(random: Random, exchange: str) -> bytes:
    record = fields(exchange, random.choice("TQ"), event_seq_nb=Bare(random.randrange(10**6)))
    if random.random() < 0.8:
        names = list(record) if exchange == "NYSE" else [*record, "execution_id", "price", "ask_size"]
        for name in random.choices(names, k=random.randint(1, 2)):
            record[name] = changed_value(random, name)
    if exchange == "NYSE":
        return csv_line(record)
    members = list(record.items())
    if random.random() < 0.5:  # the others are in the order of the contract, as plain lines are
        random.shuffle(members)
    line = json_line(dict(members))
    if random.random() < 0.15:  # a name that may come twice, or be spelled otherwise
        line = line[:-1] + f',"{random.choice(ODD_NAMES)}":{random.choice(ODD_VALUES)}}}'.encode()
    return line


def damaged(random: Random, line: bytes) -> bytes:
    at, to = sorted(random.randint(0, len(line)) for _ in range(2))
    inserted = random.choice(INSERTED)
    faults = [
        line[:at],
        *[line[:at] + inserted + line[at:]] * 2,
        *[line[:at] + inserted + line[at + 1 :]] * 2,
        line[:at] + bytes([random.randrange(256)]) + line[at + 1 :],
        line[:at] + line[to:],
        line[:to] + line[at:],
        random.choice([line + inserted, inserted + line, line + b" " + line, b"[" + line + b"]"]),
        b" " * random.randint(0, 2),
        BOM + line,
    ]
    if random.random() < 0.01:
        return line + b" " * (65_536 - len(line) + random.randint(-1, 4))
    return random.choice(faults)


def content(random: Random, exchange: str, lines: int) -> bytes:
    """A file of mutated lines with either of the two line ends, the last one perhaps with none."""
    made = []
    for _ in range(lines):
        line = good_or_changed(random, exchange)
        made.append(damaged(random, line) if random.random() < 0.3 else line)
        made.append(random.choice([b"\n", b"\n", b"\r\n"]))
    return random.choice([b"", BOM]) + b"".join(made).removesuffix(random.choice([b"", b"\n"]))


def delivery(random: Random, lines: int) -> dict[tuple[str, str], bytes]:
    """Files of both exchanges; of each, one is packed in parts, and one has a very large line."""
    files = {}
    for exchange in FOLDERS:
        for name, share in {"part 0": 0.6, "part-1.gz": 0.3, "part-2": 0.05, "part-3.gz": 0.05}.items():
            files[exchange, name] = content(random, exchange, max(1, int(lines * share)))
            if name in ("part-2", "part-3.gz"):
                at = files[exchange, name].find(b"\n") + 1
                long = random.choice([b"\0", b"\xc3\xa4", b"{"]) * random.randint(2**19, 2**21)
                files[exchange, name] = files[exchange, name][:at] + long + b"\n" + files[exchange, name][at:]
    return files


def packed(name: str, content: bytes) -> bytes:
    half = len(content) // 2
    return gzip.compress(content[:half]) + gzip.compress(content[half:]) if name.endswith(".gz") else content


@pytest.mark.faults("F6", sample=True)
def test_spark_and_the_model_make_the_same_rows_of_mutated_lines(
    spark: SparkSession, tmp_path_factory: Any, rounds: Callable[[int], int]
) -> None:
    judged, reasons = 0, Counter[str | None]()
    for seed in range(1, 1_000_000):
        raw: Path = tmp_path_factory.mktemp("raw")
        files = delivery(Random(seed), min(10_000, rounds(3_000) // 2))  # noqa: S311 -- nothing secret is drawn
        for (exchange, name), content in files.items():
            deliver(raw, exchange, name, packed(name, content))
        verdicts = judge_files(files)
        wanted = Counter(verdicts.rows)
        draft = draft_of(spark, raw)
        got = Counter(tuple(row) for row in draft.rows.collect())
        # What differs alone: a message of some rows, not of all.
        assert (seed, list(got - wanted)[:5]) == (seed, list(wanted - got)[:5])
        assert draft.expected_rows == got.total()
        assert draft.facts() == {"schema_drift": verdicts.drift}
        judged += got.total()
        reasons.update(row[-3] for row in got.elements())
        if judged >= rounds(3_000):
            break
    print(f"{judged} lines, the last seed {seed}: {dict(reasons)}")  # noqa: T201 -- with -s, the figures of a proof
    assert reasons.keys() >= {None, *Reject}
