"""Raw files of invented trading days of any size: what `capstone sample` writes, but by DuckDB, in less time.

The same arguments write the same bytes. A day looks like a real one: prices with many decimals, a tenth of trades, some
symbols far busier than others, a gzipped later file with late events and corrections (the same key, delivered again),
and half a percent of lines that must be rejected, each for one of many reasons.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import duckdb

from spark_code.raw_files import SOURCES, SUCCESS, Source

_SYMBOLS = 300
_SHARES = {"trades": 0.1, "busiest": 0.5, "late": 0.02, "corrected": 0.01, "bad": 0.005}
# Each exchange has some lines that no text file of SQL can hold: bytes that are no UTF-8, a NUL, and far too many.
_ODD_BYTES = (b"\xff", b"\0", b"x" * 70_000)

# What is drawn for an event depends on its number, the exchange and the day: no state, so all threads can draw.
_DRAWN = """
CREATE OR REPLACE MACRO drawn(i, what) AS hash(i, what, '{exchange}', '{day}') % 1_000_003 / 1_000_003;
CREATE OR REPLACE MACRO price(i, symbol) AS
    20 + hash(symbol) % 300 + 2 * sin(i / {events} * 20 + symbol) + drawn(i, 'price') - 0.5;
CREATE OR REPLACE MACRO symbol(i, is_trade) AS CASE
    WHEN {skewed} AND NOT is_trade AND drawn(i, 'busiest') < {busiest} THEN 0
    ELSE (drawn(i, 'symbol') ** 2 * {symbols})::INT END;
CREATE OR REPLACE TEMP TABLE events AS
SELECT i, is_trade, symbol, row_number() OVER (PARTITION BY symbol ORDER BY i) AS seq
FROM (SELECT i, is_trade, symbol(i, is_trade) AS symbol
      FROM (SELECT i, drawn(i, 'type') < {trades} AS is_trade FROM range({events}) AS numbers(i)))
ORDER BY i;
"""
# The fields of a line as text, ``fault`` being the number of what is wrong with it, or null.
_FIELDS = """
CREATE OR REPLACE TEMP MACRO fields(arrival, correction, chosen) AS TABLE
SELECT i, fault, is_trade,
    CASE fault WHEN 1 THEN '2020-02-03' WHEN 2 THEN '2020-02-30' ELSE '{day}' END AS trade_dt,
    '{day} ' || arrival AS file_tm,
    CASE fault WHEN 3 THEN 'X' WHEN 4 THEN '' ELSE if(is_trade, 'T', 'Q') END AS event_type,
    if(fault = 5, ' ', concat('SYM', chr((65 + symbol // 26)::INT), chr((65 + symbol % 26)::INT))) AS symbol,
    CASE fault
        WHEN 6 THEN '{day} 25:00:00.000'
        WHEN 7 THEN '{day}T10:00:00.000'
        ELSE strftime(TIMESTAMP '{day} 09:30:00' + to_milliseconds((i * 23_400_000 // {events})::BIGINT),
                      '%Y-%m-%d %H:%M:%S.%g')
    END AS event_tm,
    CASE fault WHEN 8 THEN '-1' ELSE seq::VARCHAR END AS event_seq_nb,
    CASE fault WHEN 9 THEN 'ARCA' ELSE '{exchange}' END AS exchange,
    CASE fault
        WHEN 10 THEN '"NaN"' WHEN 11 THEN '"1.2.3"' WHEN 12 THEN '1000000000000' WHEN 13 THEN '-1.5' WHEN 14 THEN '" "'
        ELSE (price(i, symbol) + correction - if(is_trade, 0, drawn(i, 'spread')))::VARCHAR
    END AS first_price,
    CASE fault WHEN 15 THEN '100.5' ELSE (100 + 100 * (hash(i, 'size') % 9))::VARCHAR END AS first_size,
    (price(i, symbol) + correction + drawn(i, 'ask'))::VARCHAR AS second_price,
    (100 + 100 * (hash(i, 'ask size') % 9))::VARCHAR AS second_size
FROM (SELECT *, CASE WHEN correction = 0 AND drawn(i, 'bad') < {bad} THEN hash(i, 'fault') % {faults} END AS fault
      FROM events WHERE chosen);
"""
_FAULTS = 20  # 16 in fields, from 0, a blank line; the rest in lines
_LINES = {
    "csv": """
        concat_ws(',', trade_dt, file_tm, event_type, symbol, event_tm, event_seq_nb, exchange,
                  trim(first_price, '"'), first_size, if(is_trade, NULL, second_price), if(is_trade, NULL, second_size))
    """,
    "json": """
        concat('{"trade_dt":"', trade_dt, '","file_tm":"', file_tm, '","event_type":"', event_type,
               '","symbol":"', symbol, '","event_tm":"', event_tm, '","event_seq_nb":', event_seq_nb,
               ',"exchange":"', exchange,
               if(is_trade, '","price":', '","bid_pr":'), first_price, if(is_trade, ',"size":', ',"bid_size":'),
               first_size, if(is_trade, '', concat(',"ask_pr":', second_price, ',"ask_size":', second_size)), '}')
    """,
}
_SPOILED = """
    CASE fault
        WHEN 0 THEN '' WHEN 16 THEN left(line, 20 + i % 40) WHEN 17 THEN line || '}'
        WHEN 18 THEN replace(line, '"', '''') || ',1' WHEN 19 THEN line || ',1'
        ELSE line END
"""


@dataclass(frozen=True)
class RawDays:
    """Invented days of a given size."""

    folder: Path
    events: int
    skewed: bool = False
    """Whether one symbol has half of all quotes."""
    files: int = 1
    """Of each exchange, besides the later one."""

    def write(self, day: date) -> int:
        """Write the files of a day; returns their bytes."""
        return sum(path.stat().st_size for source in SOURCES for path in self._delivery(source, day))

    def _delivery(self, source: Source, day: date) -> Iterator[Path]:
        folder = self.folder / source.folder(day)
        folder.mkdir(parents=True)
        events = self.events // len(SOURCES)
        facts = {"events": events, "day": day, "exchange": source.exchange, "symbols": _SYMBOLS, "skewed": self.skewed}
        with duckdb.connect() as connection:
            connection.execute("SET preserve_insertion_order = true")
            connection.execute((_DRAWN + _FIELDS).format(**facts, **_SHARES, faults=_FAULTS))
            is_late = f"drawn(i, 'late') < {_SHARES['late']}"
            lines = f"SELECT {_SPOILED} AS line FROM (SELECT *, {_LINES[source.format]} AS line FROM fields"  # noqa: S608
            for number in range(self.files):
                path = folder / f"part-{number:05}.{source.format}"
                part = f"NOT {is_late} AND i * {self.files} // {events} = {number}"
                _copy(connection, f"{lines}('16:15:00.000', 0, {part}))", path)
                if not number:
                    with path.open("ab") as file:
                        file.writelines(b"%s,%s\n" % (source.exchange.encode(), odd) for odd in _ODD_BYTES)
                yield path
            path = folder / f"later-00000.{source.format}.gz"
            is_corrected = f"drawn(i, 'corrected') < {_SHARES['corrected']} AND drawn(i, 'bad') >= {_SHARES['bad']}"
            late = f"{lines}('20:30:00.000', 0, {is_late}))"
            corrections = f"{lines}('20:30:00.000', 0.01, {is_corrected}))"
            _copy(connection, f"{late} UNION ALL {corrections}", path)
            yield path
        (folder / SUCCESS).touch()


def _copy(connection: duckdb.DuckDBPyConnection, query: str, path: Path) -> None:
    """One column of text, as it is."""
    packing = "gzip" if path.suffix == ".gz" else "none"
    connection.execute(
        f"COPY ({query}) TO '{path}' "
        f"(FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER E'\\x01', COMPRESSION {packing})"
    )
