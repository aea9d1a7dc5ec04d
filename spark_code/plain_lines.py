"""The short way of ingestion: plain lines of trades and quotes, typed by DuckDB in the tasks of Spark.

Nearly all lines of a real delivery are plain: just the fields of the contract, in their order, in the simplest
notation. One regular expression recognizes such a line, and what is cast from it needs no further judgement. Every
other line is left to the rules in ``raw_to_ingested``, which would make the same row of a plain line.

A task gives its lines to DuckDB as one stream of Arrow batches; no line becomes a Python object.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date
from typing import TYPE_CHECKING

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from spark_code.raw_files import Delivery, Source
from spark_code.schemas import EVENTS

if TYPE_CHECKING:
    import pyarrow as pa

_DATE = "[12][0-9]{3}-[0-9]{2}-[0-9]{2}"
_TIME = rf"{_DATE} (?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]{{1,6}})?"
_NAME = "[A-Za-z0-9._=^/+-]+"
_EXCHANGE = "[A-Z]+"

# Of a smaller delivery, the rules judge all lines sooner than Python starts.
WORTH_BYTES = 4 * 1024 * 1024
# How many rows a task gives back to Spark at once.
_ROWS_AT_ONCE = 65_536

# The event of a plain line: what it fills of the columns of ``ingested/events``.
_NOT_FILLED = ("trade_dt", "exchange", "reject_reason", "source_file", "line")
_EVENT = StructType([field for field in EVENTS.schema if field.name not in _NOT_FILLED])


def _csv_line() -> str:
    whole, price = "[0-9]{1,18}", r"[0-9]{1,12}(?:\.[0-9]+)?"
    middle = f"{_NAME},{_TIME},{whole},{_EXCHANGE}"
    return rf"{_DATE},{_TIME},(?:T,{middle},{price},{whole}|Q,{middle},{price},{whole},{price},{whole})\r?"


def _json_line() -> str:
    """With or without a blank after each colon and each comma; numbers have no leading zeros."""
    whole, price = "(?:0|[1-9][0-9]{0,17})", r"(?:0|[1-9][0-9]{0,11})(?:\.[0-9]+)?"

    def fields(**grammars: str) -> str:
        return ", ?".join(f'"{name}": ?{grammar}' for name, grammar in grammars.items())

    head = fields(trade_dt=f'"{_DATE}"', file_tm=f'"{_TIME}"')
    middle = fields(symbol=f'"{_NAME}"', event_tm=f'"{_TIME}"', event_seq_nb=whole, exchange=f'"{_EXCHANGE}"')
    execution = fields(execution_id=f'"{_NAME}"')
    trade = f'"T", ?{middle}, ?{fields(price=price, size=whole)}(?:, ?{execution})?'
    quote = f'"Q", ?{middle}, ?{fields(bid_pr=price, bid_size=whole, ask_pr=price, ask_size=whole)}'
    return rf'\{{{head}, ?"event_type": ?(?:{trade}|{quote})\}}\r?'


# Where the fields of a line are once it is split. Parts are counted from 1, and a part that a line lacks is null.
_CSV_PARTS = {
    "trade_dt": "part[1]",
    "file_tm": "part[2]",
    "event_type": "part[3]",
    "symbol": "part[4]",
    "event_tm": "part[5]",
    "event_seq_nb": "part[6]",
    "exchange": "part[7]",
    "price": "part[8]",
    "size": "rtrim(part[9], chr(13))",
    "ask_pr": "part[10]",
    "ask_size": "rtrim(part[11], chr(13))",
    "execution_id": "NULL",
}
# A number lies between the quotes of two names, with a colon, a comma and blanks, or with the end of the object.
_BARE = "trim(part[{}], ': ,}}' || chr(13))"
_JSON_PARTS = {
    "trade_dt": "part[4]",
    "file_tm": "part[8]",
    "event_type": "part[12]",
    "symbol": "part[16]",
    "event_tm": "part[20]",
    "event_seq_nb": _BARE.format(23),
    "exchange": "part[26]",
    "price": _BARE.format(29),
    "size": _BARE.format(31),
    "ask_pr": _BARE.format(33),
    "ask_size": _BARE.format(35),
    "execution_id": "part[34]",
}
# The grammar of a plain line, what splits it, and its parts.
_LINES: Mapping[str, tuple[str, str, Mapping[str, str]]] = {
    "csv": (_csv_line(), ",", _CSV_PARTS),
    "json": (_json_line(), '"', _JSON_PARTS),
}


def _query(source: Source, day: date) -> str:
    """One row per line: an event and nothing else, or no event and the line as it came."""
    grammar, separator, part = _LINES[source.format]
    return f"""
        WITH lines_in_parts AS (
            SELECT
                CASE WHEN regexp_full_match(text, '{grammar}') THEN string_split(text, '{separator}') END AS part,
                value,
                file_name
            FROM lines
        ), records AS (
            SELECT
                {part["event_type"]} AS rec_type,
                rec_type = 'T' AS is_trade,
                rec_type = 'Q' AS is_quote,
                {part["trade_dt"]} AS trade_dt,
                {part["exchange"]} AS exchange,
                {part["symbol"]} AS symbol,
                TRY_CAST({part["event_tm"]} AS TIMESTAMP) AS event_tm,
                TRY_CAST({part["event_seq_nb"]} AS BIGINT) AS event_seq_nb,
                TRY_CAST({part["file_tm"]} AS TIMESTAMP) AS arrival_tm,
                TRY_CAST({part["price"]} AS DECIMAL(18, 6)) AS price,
                TRY_CAST({part["size"]} AS BIGINT) AS size,
                CASE WHEN is_trade THEN {part["execution_id"]} END AS execution_id,
                CASE WHEN is_quote THEN TRY_CAST({part["ask_pr"]} AS DECIMAL(18, 6)) END AS ask_pr,
                CASE WHEN is_quote THEN TRY_CAST({part["ask_size"]} AS BIGINT) END AS ask_size,
                value,
                file_name
            FROM lines_in_parts
        ), judged AS (
            SELECT *, coalesce(
                trade_dt = '{day}' AND exchange = '{source.exchange}'
                AND event_tm IS NOT NULL AND arrival_tm IS NOT NULL AND event_seq_nb IS NOT NULL
                AND CASE WHEN is_trade THEN price > 0 AND size > 0
                    ELSE price IS NOT NULL AND size IS NOT NULL AND ask_pr IS NOT NULL AND ask_size IS NOT NULL END,
                false) AS is_plain
            FROM records
        )
        SELECT
            CASE WHEN is_plain THEN {{
                'rec_type': rec_type,
                'symbol': symbol,
                'event_tm': event_tm,
                'event_seq_nb': event_seq_nb,
                'arrival_tm': arrival_tm,
                'trade_pr': CASE WHEN is_trade THEN price END,
                'trade_size': CASE WHEN is_trade THEN size END,
                'execution_id': execution_id,
                'bid_pr': CASE WHEN is_quote THEN price END,
                'bid_size': CASE WHEN is_quote THEN size END,
                'ask_pr': ask_pr,
                'ask_size': ask_size
            }} END AS event,
            CASE WHEN NOT is_plain THEN value END AS value,
            CASE WHEN NOT is_plain THEN file_name END AS file_name
        FROM judged
    """  # noqa: S608 - all texts in it are our own


def typed(lines: DataFrame, delivery: Delivery) -> DataFrame:
    """Of lines with columns value and file_name: the event of each plain line, and every other line as it is."""
    if delivery.bytes < WORTH_BYTES:
        return lines.select(no_event(), "value", "file_name")
    columns = f"event {_EVENT.simpleString()}, value binary, file_name string"
    return (
        lines.select(F.col("value").cast("binary"), "file_name")
        .mapInArrow(_typing(_query(delivery.source, delivery.day)), columns)
        .select("event", F.col("value").cast("string"), "file_name")
    )


def no_event() -> Column:
    """The event of a line that is left to the rules."""
    return F.lit(None).cast(_EVENT).alias("event")


def _typing(query: str) -> Callable[[Iterable["pa.RecordBatch"]], Iterator["pa.RecordBatch"]]:
    """The function of the tasks. It is sent to them whole: they need DuckDB and pyarrow, and not this package."""

    def typed_batches(batches: Iterable["pa.RecordBatch"]) -> Iterator["pa.RecordBatch"]:
        import duckdb  # noqa: PLC0415 - for the tasks; takes 0.1 s, and commands import ``flow``
        import pyarrow as pa  # noqa: PLC0415 - the same

        schema = pa.schema([("value", pa.binary()), ("text", pa.string()), ("file_name", pa.string())])

        def lines() -> Iterator[pa.RecordBatch]:
            for batch in batches:
                value, file_name = batch.columns
                # The same bytes as text, which they need not be: the grammar has only ASCII.
                yield pa.record_batch([value, value.view(pa.string()), file_name], schema=schema)

        database = duckdb.connect(config={"threads": 1, "memory_limit": "1GB"})
        database.register("lines", pa.RecordBatchReader.from_batches(schema, lines()))
        yield from database.sql(query).to_arrow_reader(_ROWS_AT_ONCE)

    return typed_batches
