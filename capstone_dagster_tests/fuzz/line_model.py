"""What must become of delivered lines: a strict model of the contract in plain Python.

It reads the very bytes of files with json, decimal, datetime and re, and knows nothing of Spark or of ``spark_code``.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

from capstone_dagster_tests.builders.deliveries import (
    BOM,
    DAY,
    FOLDERS,
    Bare,
    EventRow,
    quote_row,
    reject_row,
    trade_row,
)

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


class NoNumber(Bare):
    """``NaN`` or ``Infinity``, which no text can be either."""


def from_json(text: str) -> dict[str, str | None]:
    try:
        record = json.loads(
            text, parse_float=Bare, parse_int=Bare, parse_constant=NoNumber, object_pairs_hook=no_name_twice
        )
        json.dumps(record, ensure_ascii=False).encode()  # half a surrogate pair cannot be
    except (ValueError, RecursionError):
        raise RejectedError("bad_json") from None
    if not isinstance(record, dict):
        raise RejectedError("bad_json")
    scalars = {
        name: value if value is None or isinstance(value, str) else Nested("{...}") for name, value in record.items()
    }
    if any(isinstance(scalars.get(name), Nested | NoNumber) for name in TEXTS):
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
