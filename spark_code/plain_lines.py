"""Plain lines: nearly all of a real delivery, which need no judgement.

A plain line has just the fields of the contract, in their order, in the simplest notation. One regular expression
recognizes it, and what DuckDB casts from its parts is the row that the rules would make. The rules, in ``line_rules``,
judge every other line.
"""

from collections.abc import Mapping
from datetime import date

from spark_code.raw_files import Source

_DATE = "[12][0-9]{3}-[0-9]{2}-[0-9]{2}"
_TIME = rf"{_DATE} (?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:\.[0-9]+)?"
_NAME = "[A-Za-z0-9._=^/+-]+"
_EXCHANGE = "[A-Z]+"


def _plain_csv() -> str:
    whole, price = "[0-9]+", r"[0-9]+(?:\.[0-9]+)?"
    middle = f"{_NAME},{_TIME},{whole},{_EXCHANGE}"
    return rf"{_DATE},{_TIME},(?:T,{middle},{price},{whole}|Q,{middle},{price},{whole},{price},{whole})\r?"


def _plain_json(blank: str) -> str:
    """With a blank after each colon and each comma, or none; numbers have no leading zeros."""
    whole, price = "(?:0|[1-9][0-9]*)", r"(?:0|[1-9][0-9]*)(?:\.[0-9]+)?"
    comma = f",{blank}"

    def fields(**grammars: str) -> str:
        return comma.join(f'"{name}":{blank}{grammar}' for name, grammar in grammars.items())

    head = fields(trade_dt=f'"{_DATE}"', file_tm=f'"{_TIME}"')
    middle = fields(symbol=f'"{_NAME}"', event_tm=f'"{_TIME}"', event_seq_nb=whole, exchange=f'"{_EXCHANGE}"')
    execution = fields(execution_id=f'"{_NAME}"')
    trade = f'"T"{comma}{middle}{comma}{fields(price=price, size=whole)}(?:{comma}{execution})?'
    quote = f'"Q"{comma}{middle}{comma}{fields(bid_pr=price, bid_size=whole, ask_pr=price, ask_size=whole)}'
    return rf'\{{{head}{comma}"event_type":{blank}(?:{trade}|{quote})\}}\r?'


def _without(part: str, before: str, after: str) -> str:
    """A part without so many characters before and after what counts; trimming would take longer than casting."""
    return f"substring({part}, {before} + 1, strlen({part}) - {before} - ({after}))"


# Where the fields of a plain line are once it is split. Parts are counted from 1; a part that a line lacks is null.
_CSV_PARTS = {
    "trade_dt": "part[1]",
    "file_tm": "part[2]",
    "event_type": "part[3]",
    "symbol": "part[4]",
    "event_tm": "part[5]",
    "event_seq_nb": "part[6]",
    "exchange": "part[7]",
    "price": "part[8]",
    "size": f"CASE WHEN is_trade THEN {_without('part[9]', '0', 'cr')} ELSE part[9] END",
    "ask_pr": "part[10]",
    "ask_size": _without("part[11]", "0", "cr"),
    "execution_id": "NULL::VARCHAR",
}
# A number lies between the quotes of two names: a colon, the number, and a comma or the end of the object.
_JSON_PARTS = {
    "trade_dt": "part[4]",
    "file_tm": "part[8]",
    "event_type": "part[12]",
    "symbol": "part[16]",
    "event_tm": "part[20]",
    "event_seq_nb": _without("part[23]", "gap", "gap"),
    "exchange": "part[26]",
    "price": _without("part[29]", "gap", "gap"),
    "size": f"CASE WHEN len(part) = 31 THEN {_without('part[31]', 'gap', '1 + cr')} "
    f"ELSE {_without('part[31]', 'gap', 'gap')} END",
    "ask_pr": _without("part[33]", "gap", "gap"),
    "ask_size": _without("part[35]", "gap", "1 + cr"),
    "execution_id": "part[34]",
}
# The grammar of a plain line, what splits it, and its parts.
_PLAIN: Mapping[str, tuple[str, str, Mapping[str, str]]] = {
    "csv": (_plain_csv(), ",", _CSV_PARTS),
    "json": (f"(?:{_plain_json('')}|{_plain_json(' ')})", '"', _JSON_PARTS),
}


def plain_query(source: Source, day: date) -> str:
    """A row per line of the table ``lines``: the event, or is_plain is false and the rest of no meaning."""
    grammar, separator, part = _PLAIN[source.format]
    return f"""
        WITH lines_in_parts AS (
            SELECT
                CASE WHEN regexp_full_match(text, '{grammar}') THEN string_split(text, '{separator}') END AS part,
                suffix(text, chr(13))::INTEGER AS cr,
                if(starts_with(text, '{{"trade_dt": '), 2, 1) AS gap
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
                CASE WHEN is_quote THEN TRY_CAST({part["ask_size"]} AS BIGINT) END AS ask_size
            FROM lines_in_parts
        )
        SELECT
            DATE '{day}' AS trade_dt,
            rec_type,
            symbol,
            '{source.exchange}' AS exchange,
            event_tm,
            event_seq_nb,
            arrival_tm,
            CASE WHEN is_trade THEN price END AS trade_pr,
            CASE WHEN is_trade THEN size END AS trade_size,
            execution_id,
            CASE WHEN is_quote THEN price END AS bid_pr,
            CASE WHEN is_quote THEN size END AS bid_size,
            ask_pr,
            ask_size,
            NULL::VARCHAR AS reject_reason,
            NULL::VARCHAR AS source_file,
            NULL::VARCHAR AS line,
            NULL::VARCHAR[] AS unknown_fields,
            coalesce(
                records.trade_dt = '{day}' AND records.exchange = '{source.exchange}'
                AND event_tm IS NOT NULL AND arrival_tm IS NOT NULL AND event_seq_nb IS NOT NULL
                AND CASE WHEN is_trade THEN price > 0 AND size > 0
                    ELSE price IS NOT NULL AND size IS NOT NULL AND ask_pr IS NOT NULL AND ask_size IS NOT NULL END,
                false) AS is_plain
        FROM records
    """  # noqa: S608 - all texts in it are our own
