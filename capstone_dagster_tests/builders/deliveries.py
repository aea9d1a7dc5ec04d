"""Raw files and lines as the exchanges deliver them, and the rows of ``ingested/events`` they become.

Lines and rows have defaults that belong together: ``line("NYSE", "T")`` becomes ``trade_row("NYSE")``.
Names and order of fields and columns are written out from the contract, not taken from the code.
"""

import json
from collections.abc import Iterable
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

DAY = date(2020, 8, 6)
FOLDERS = {"NYSE": f"csv/{DAY}/NYSE", "NASDAQ": f"json/{DAY}/NASDAQ"}
BOM = "\ufeff".encode()

EventRow = tuple[Any, ...]
Fields = dict[str, str | None]


class Bare(str):
    """A JSON value that stands in its line exactly so, without quotes."""

    __slots__ = ()


def deliver(raw: Path, exchange: str, name: str, content: bytes) -> str:
    """Write one file of an exchange; returns what rejects name as their source_file."""
    path = raw / FOLDERS[exchange] / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return f"{FOLDERS[exchange]}/{name}"


def fields(exchange: str, kind: str, /, **changes: str | None) -> Fields:
    """The fields of a good record in CSV order, with changes; None is a field that is not there."""
    head: Fields = {
        "trade_dt": "2020-08-06",
        "file_tm": "2020-08-06 10:00:00.000",
        "event_type": kind,
        "symbol": "SYMA",
        "event_tm": "2020-08-06 09:59:00.123",
        "event_seq_nb": Bare("7"),
        "exchange": exchange,
    }
    trade: Fields = {"price": Bare("100.25"), "size": Bare("300")}
    quote: Fields = {
        "bid_pr": Bare("100.2"),
        "bid_size": Bare("100"),
        "ask_pr": Bare("100.3"),
        "ask_size": Bare("200"),
    }
    return head | (trade if kind == "T" else quote) | changes


def csv_line(record: Fields) -> bytes:
    return ",".join(value or "" for value in record.values()).encode()


def json_line(record: Fields) -> bytes:
    members = (
        f"{_json(name)}:{value if isinstance(value, Bare) else _json(value)}"
        for name, value in record.items()
        if value is not None
    )
    return f"{{{','.join(members)}}}".encode()


def _json(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def line(exchange: str, kind: str, /, **changes: str | None) -> bytes:
    """A line in the format of its exchange; good as long as nothing is changed."""
    encode = csv_line if exchange == "NYSE" else json_line
    return encode(fields(exchange, kind, **changes))


def trade_row(
    exchange: str,
    symbol: str = "SYMA",
    event_tm: datetime = datetime(2020, 8, 6, 9, 59, 0, 123_000),
    event_seq_nb: int = 7,
    arrival_tm: datetime = datetime(2020, 8, 6, 10),
    trade_pr: str = "100.250000",
    trade_size: int = 300,
    execution_id: str | None = None,
) -> EventRow:
    head = (DAY, "T", symbol, exchange, event_tm, event_seq_nb, arrival_tm)
    return (*head, Decimal(trade_pr), trade_size, execution_id, *[None] * 7)


def quote_row(
    exchange: str,
    symbol: str = "SYMA",
    event_tm: datetime = datetime(2020, 8, 6, 9, 59, 0, 123_000),
    event_seq_nb: int = 7,
    arrival_tm: datetime = datetime(2020, 8, 6, 10),
    bid_pr: str = "100.200000",
    bid_size: int = 100,
    ask_pr: str = "100.300000",
    ask_size: int = 200,
) -> EventRow:
    head = (DAY, "Q", symbol, exchange, event_tm, event_seq_nb, arrival_tm)
    return (*head, None, None, None, Decimal(bid_pr), bid_size, Decimal(ask_pr), ask_size, None, None, None)


def reject_row(exchange: str, reason: str, source_file: str, text: str) -> EventRow:
    return (DAY, "B", None, exchange, *[None] * 10, reason, source_file, text)


def ordered(rows: Iterable[EventRow]) -> list[EventRow]:
    """Rows as plain tuples in one order, to compare whole results whose order means nothing.

    Plain equality and not assertDataFrameEqual: that lets decimals differ by a hundred-thousandth.
    """
    return sorted((tuple(row) for row in rows), key=repr)
