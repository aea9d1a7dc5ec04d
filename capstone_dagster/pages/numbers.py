"""What a page says about trades and quotes, computed from the tables of one day by DuckDB.

A symbol that is listed on both exchanges is shown by the listing with the most turnover. Turnover and spreads in basis
points are doubles, added up exactly (``fsum``): they are shown rounded, and one absurd size must not overflow.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from capstone_dagster.pages.sources import Sources
from capstone_dagster.readers.rows import Only
from spark_code.schemas import BARS, DAILY_SUMMARY, QUOTE_ANALYTICS

# How many symbols have charts, how many movers there are in each direction, how many rows the list of symbols has.
CHARTED, MOVERS, LISTED = 6, 5, 100
# The length of the bars that are drawn, and of those in the tables below a chart.
MINUTES = 5

_SUMMARY = Only(
    columns=[
        *("symbol", "exchange", "open_pr", "high_pr", "low_pr", "close_pr", "volume", "trade_count", "vwap_pr"),
        *("quote_count", "avg_spread", "prev_close_pr", "change_pr", "change_pct", "adjusted_prev_close_pr"),
    ]
)
_BARS_DRAWN = Only(
    columns=[
        *("trade_dt", "symbol", "exchange", "bar_tm", "open_pr", "high_pr", "low_pr", "close_pr", "volume", "vwap_pr"),
        *("trade_count", "last_bid_pr", "last_ask_pr", "avg_spread", "quote_count"),
    ],
    minutes=[MINUTES],
)
# Days of older releases have no adjusted closes.
_LISTINGS = """
CREATE VIEW listings AS
SELECT * REPLACE (coalesce(adjusted_prev_close_pr, prev_close_pr) AS prev_close_pr),
    prev_close_pr IS DISTINCT FROM coalesce(adjusted_prev_close_pr, prev_close_pr) AS is_adjusted,
    vwap_pr::DOUBLE * volume AS turnover, 1e4 * avg_spread::DOUBLE / nullif(vwap_pr, 0)::DOUBLE AS spread_bps
FROM summary
"""
# One row per symbol, the most active first.
_PRIMARY = """
CREATE VIEW symbols AS
SELECT * FROM listings
QUALIFY row_number() OVER (PARTITION BY symbol ORDER BY turnover DESC NULLS LAST, quote_count DESC, exchange) = 1
ORDER BY turnover DESC NULLS LAST, quote_count DESC, symbol
"""
_TOTALS = """
SELECT
    (SELECT count(*) FROM symbols WHERE trade_count > 0) AS symbols,
    coalesce(fsum(turnover), 0) AS turnover,
    coalesce(sum(volume), 0)::HUGEINT AS shares,
    coalesce(sum(trade_count), 0)::BIGINT AS trades,
    coalesce(sum(quote_count), 0)::BIGINT AS quotes,
    median(spread_bps) AS spread_bps,
    (SELECT count(*) FROM symbols WHERE change_pr > 0) AS advancers,
    (SELECT count(*) FROM symbols WHERE change_pr < 0) AS decliners,
    (SELECT count(*) FROM symbols WHERE change_pr = 0) AS unchanged,
    (SELECT count(*) FROM symbols) AS quoted
FROM listings
"""
_ROW = """symbol, exchange, open_pr, high_pr, low_pr, close_pr, prev_close_pr, is_adjusted, change_pr, change_pct,
    vwap_pr, volume, turnover, trade_count, quote_count, spread_bps"""
_BARS = """
CREATE VIEW drawn AS
SELECT *, date_diff('minute', trade_dt::TIMESTAMP, bar_tm) AS minute,
    1e4 * avg_spread::DOUBLE / nullif((last_bid_pr + last_ask_pr)::DOUBLE / 2, 0) AS spread_bps
FROM bars WHERE minute BETWEEN 0 AND 1439
"""
_BY_TIME = """
SELECT minute, coalesce(sum(volume), 0)::HUGEINT, fsum(vwap_pr::DOUBLE * volume), sum(trade_count)::BIGINT,
    sum(quote_count)::BIGINT, median(spread_bps) FILTER (WHERE spread_bps >= 0)
FROM drawn GROUP BY minute ORDER BY minute
"""
# Quotes of one moment share their last trade, and so the average: which of them counts makes no difference.
_OF_LISTING = """
SELECT minute, open_pr, high_pr, low_pr, drawn.close_pr, volume, vwap_pr, trade_count, nullif(last_bid_pr, 0),
    nullif(last_ask_pr, 0), CASE WHEN spread_bps >= 0 THEN spread_bps END, quote_count, averages.average
FROM drawn LEFT JOIN (
    SELECT time_bucket(to_minutes(?), event_tm) AS bar_tm, arg_max(last_mov_avg_pr, event_tm) AS average
    FROM analytics GROUP BY 1
) AS averages USING (bar_tm)
WHERE symbol = ? AND exchange = ? ORDER BY minute
"""


class Totals(NamedTuple):
    """One day in numbers."""

    symbols: int
    turnover: float
    shares: int
    trades: int
    quotes: int
    spread_bps: float | None
    advancers: int
    decliners: int
    unchanged: int
    quoted: int


class SymbolRow(NamedTuple):
    """The day of one symbol, on one exchange."""

    symbol: str
    exchange: str
    open_pr: Decimal | None
    high_pr: Decimal | None
    low_pr: Decimal | None
    close_pr: Decimal | None
    prev_close_pr: Decimal | None
    """As it is compared with: adjusted, but for days that an older release has published."""
    is_adjusted: bool
    """Whether that differs from the close of the day before."""
    change_pr: Decimal | None
    change_pct: Decimal | None
    vwap_pr: Decimal | None
    volume: int
    turnover: float | None
    trade_count: int
    quote_count: int
    spread_bps: float | None


class Moment(NamedTuple):
    """A few minutes of the whole market, from a minute of the day on."""

    minute: int
    shares: int
    turnover: float | None
    trades: int
    quotes: int
    spread_bps: float | None


class Bar(NamedTuple):
    """A few minutes of one symbol."""

    minute: int
    open_pr: Decimal | None
    high_pr: Decimal | None
    low_pr: Decimal | None
    close_pr: Decimal | None
    volume: int
    vwap_pr: Decimal | None
    trade_count: int
    bid_pr: Decimal | None
    ask_pr: Decimal | None
    spread_bps: float | None
    quote_count: int
    average_pr: Decimal | None


@dataclass(frozen=True)
class Charted:
    """A most active symbol with its bars."""

    row: SymbolRow
    bars: Sequence[Bar]


@dataclass(frozen=True)
class Glance:
    """The day in a few numbers."""

    totals: Totals
    risers: Sequence[SymbolRow]
    fallers: Sequence[SymbolRow]
    by_time: Sequence[Moment]
    """Empty without bars."""


@dataclass(frozen=True)
class Numbers:
    """All that a page says about trades and quotes."""

    totals: Totals
    before: Totals | None
    risers: Sequence[SymbolRow]
    fallers: Sequence[SymbolRow]
    symbols: Sequence[SymbolRow]
    changes: Sequence[float]
    """In percent, of every symbol with a previous close."""
    by_time: Sequence[Moment]
    charted: Sequence[Charted]


def numbers(sources: Sources) -> Numbers:
    """Compute them from the published rows."""
    day = _day(sources)
    before = _Day(sources.rows_before(_SUMMARY)).totals() if sources.before else None
    return Numbers(
        totals=day.totals(),
        before=before,
        risers=day.risers(),
        fallers=day.fallers(),
        symbols=day.symbols(LISTED),
        changes=day.changes(),
        by_time=day.by_time(),
        charted=[Charted(row, day.bars_of(row, _averages(sources, row))) for row in day.symbols(CHARTED)],
    )


def glance(sources: Sources) -> Glance:
    """Only the totals, the movers and, if there are bars, the volume by time."""
    day = _day(sources)
    by_time = day.by_time() if BARS in sources.manifests else []
    return Glance(day.totals(), day.risers(), day.fallers(), by_time)


def _day(sources: Sources) -> "_Day":
    day = _Day(sources.rows(DAILY_SUMMARY, _SUMMARY))
    if BARS in sources.manifests:
        day.add("bars", sources.rows(BARS, _BARS_DRAWN))
    return day


def _averages(sources: Sources, row: SymbolRow) -> pa.Table:
    """Read one listing alone: of a day of millions of quotes, most groups of rows are skipped."""
    return sources.rows(QUOTE_ANALYTICS, Only([row.symbol], [row.exchange], ["event_tm", "last_mov_avg_pr"]))


class _Day:
    """The tables of one day in a DuckDB of their own."""

    def __init__(self, summary: pa.Table) -> None:
        self._database = duckdb.connect()
        # One thread: the order of sums, and so their last digits, are always the same.
        self._database.execute("SET threads = 1; SET python_enable_replacements = false")
        self._database.register("summary", summary)
        self._database.execute(_LISTINGS)
        self._database.execute(_PRIMARY)

    def add(self, name: str, rows: pa.Table) -> None:
        """One more table."""
        self._database.register(name, rows)
        if name == "bars":
            self._database.execute(_BARS)

    def totals(self) -> Totals:
        """The day in numbers."""
        return Totals(*self._rows(_TOTALS)[0])

    def symbols(self, most: int) -> list[SymbolRow]:
        """The most active symbols."""
        return [SymbolRow(*row) for row in self._rows(f"SELECT {_ROW} FROM symbols LIMIT ?", most)]  # noqa: S608 - ours

    def risers(self) -> list[SymbolRow]:
        """The symbols that have gained most."""
        return self._movers("> 0", "DESC")

    def fallers(self) -> list[SymbolRow]:
        """The symbols that have lost most."""
        return self._movers("< 0", "ASC")

    def _movers(self, condition: str, order: str) -> list[SymbolRow]:
        query = (
            f"SELECT {_ROW} FROM symbols WHERE change_pct {condition} "  # noqa: S608 - ours
            f"ORDER BY change_pct {order}, symbol LIMIT ?"
        )
        return [SymbolRow(*row) for row in self._rows(query, MOVERS)]

    def changes(self) -> list[float]:
        """Of all symbols, in percent."""
        query = "SELECT change_pct::DOUBLE FROM symbols WHERE change_pct IS NOT NULL ORDER BY 1"
        return [change for (change,) in self._rows(query)]

    def by_time(self) -> list[Moment]:
        """The whole market through the day."""
        return [Moment(*row) for row in self._rows(_BY_TIME)]

    def bars_of(self, row: SymbolRow, averages: pa.Table) -> list[Bar]:
        """A symbol through the day, with the moving averages of its quotes."""
        self.add("analytics", averages)
        return [Bar(*found) for found in self._rows(_OF_LISTING, MINUTES, row.symbol, row.exchange)]

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        return self._database.execute(query, values or None).fetchall()
