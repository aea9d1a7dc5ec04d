"""What the events of a day add up to, for its quality: read from the published files by DuckDB, in this process.

Spark needs ten times as long for these sums, also of a small day, and a cluster gains little: each event is read once,
and what is kept is a row per instrument and the sequence numbers.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from spark_code.corporate_actions import NO_ACTIONS, Actions
from spark_code.schemas import CLOSES, EVENT_KEY, EVENTS, QUOTES, TRADES, Reject, Table
from spark_code.storage import Storage
from spark_code.windows import INSTRUMENT

if TYPE_CHECKING:
    import duckdb

# Of the lines of each exchange; ``reasons`` are columns of their own.
_LINES = """
SELECT exchange, count(*) AS lines, count(reject_reason) AS rejected, {reasons}
FROM events GROUP BY exchange
"""
# Of each instrument, then of each exchange. Instruments that are not seen today have a close of the day before only.
_SUMS = """
WITH seen AS (
    SELECT *,
        event_tm < $opens OR event_tm > $closes AS is_outside,
        CASE WHEN trade_pr IS NOT NULL THEN row(event_tm, event_seq_nb) END AS trade_order
    FROM (SELECT * FROM trades UNION ALL BY NAME SELECT * FROM quotes)
),
instruments AS (
    SELECT symbol, exchange,
        count(trade_pr) AS trades,
        count(bid_pr) AS quotes,
        sum(trade_size) AS volume,
        count(*) FILTER (arrival_tm >= $midnight) AS late,
        count(*) FILTER (trade_pr IS NOT NULL AND is_outside) AS trades_outside_hours,
        count(*) FILTER (bid_pr IS NOT NULL AND is_outside) AS quotes_outside_hours,
        count(*) FILTER (bid_pr > ask_pr AND ask_pr > 0) AS crossed,
        count(*) FILTER (bid_pr = ask_pr AND ask_pr > 0) AS locked,
        count(*) FILTER (bid_pr = 0 AND ask_pr = 0) AS zero,
        count(*) FILTER ((bid_pr = 0) <> (ask_pr = 0)) AS one_sided,
        arg_min(trade_pr, trade_order) AS open_pr,
        max(trade_pr) AS high_pr,
        min(trade_pr) AS low_pr,
        count(DISTINCT event_seq_nb) AS numbers,
        max(event_seq_nb)::HUGEINT - min(event_seq_nb) + 1 - numbers AS sequence_missing,
        count(*) - numbers AS sequence_repeated
    FROM seen GROUP BY symbol, exchange
),
compared AS (
    SELECT *,
        coalesce(adjusted_pr, close_pr) AS compared_pr,
        abs(open_pr::DOUBLE / nullif(compared_pr, 0)::DOUBLE - 1) AS change_at_open,
        high_pr::DOUBLE / nullif(low_pr, 0)::DOUBLE - 1 AS change_in_day
    FROM instruments FULL JOIN closes USING (symbol, exchange) LEFT JOIN adjusted USING (symbol, exchange)
)
SELECT exchange,
    {added_up},
    count(numbers) AS symbols,
    count(*) FILTER (numbers IS NULL) AS vanished_symbols,
    min(symbol) FILTER (numbers IS NULL) AS first_vanished_symbols,
    count(*) FILTER (close_pr IS NULL AND trades > 0) AS new_symbols,
    min(symbol) FILTER (close_pr IS NULL AND trades > 0) AS first_new_symbols,
    coalesce(sum(quotes) FILTER (close_pr IS NULL), 0) AS quotes_without_close,
    arg_max(row(symbol, compared_pr, open_pr, close_pr), row(change_at_open, symbol))
        FILTER (change_at_open IS NOT NULL) AS jump_at_open,
    arg_max(row(symbol, low_pr, high_pr), row(change_in_day, symbol))
        FILTER (change_in_day IS NOT NULL) AS jump_in_day
FROM compared GROUP BY exchange
"""
_OF_SYMBOLS = "SELECT symbol, exchange, close_pr FROM closes WHERE symbol IN (SELECT unnest(?::VARCHAR[]))"
_ADJUSTED = """
CREATE TABLE adjusted AS
SELECT unnest(?::VARCHAR[]) AS symbol, unnest(?::VARCHAR[]) AS exchange, unnest(?::DECIMAL(18,6)[]) AS adjusted_pr
"""
_ADDED_UP = (
    *("trades", "quotes", "volume", "late", "trades_outside_hours", "quotes_outside_hours", "crossed", "locked"),
    *("zero", "one_sided", "sequence_missing", "sequence_repeated"),
)
_NEEDED: Mapping[Table, Sequence[str]] = {
    EVENTS: ("exchange", "reject_reason"),
    TRADES: (*EVENT_KEY, "arrival_tm", "trade_pr", "trade_size"),
    QUOTES: (*EVENT_KEY, "arrival_tm", "bid_pr", "ask_pr"),
    CLOSES: (*INSTRUMENT, "close_pr"),
}
# Of an exchange without lines, or without events.
_NOTHING: Mapping[str, Any] = {
    **dict.fromkeys(("lines", "rejected", *(f"rejected_{reason}" for reason in Reject)), 0),
    **dict.fromkeys((*_ADDED_UP, "symbols", "vanished_symbols", "new_symbols", "quotes_without_close"), 0),
    **dict.fromkeys(("first_vanished_symbols", "first_new_symbols", "jump_at_open", "jump_in_day")),
}


def summed_up(
    storage: Storage,
    files: Mapping[Table, Sequence[str]],
    day: date,
    hours: tuple[time, time],
    actions: Actions = NO_ACTIONS,
) -> Mapping[str, dict[str, Any]]:
    """The sums of each exchange, from the files of its events, and of the closes of the day before."""
    from spark_code.lake_files import reading  # noqa: PLC0415 - loads fsspec

    opens, closes = (datetime.combine(day, moment) for moment in hours)
    midnight = datetime.combine(day + timedelta(days=1), time())
    reasons = ", ".join(f"count(*) FILTER (reject_reason = '{reason}') AS rejected_{reason}" for reason in Reject)
    added_up = ", ".join(f"coalesce(sum({name}), 0)::HUGEINT AS {name}" for name in _ADDED_UP)
    sums: dict[str, dict[str, Any]] = defaultdict(lambda: dict(_NOTHING))
    with reading(storage, files, _NEEDED, day) as database:
        _adjust(database, actions)
        moments = {"opens": opens, "closes": closes, "midnight": midnight}
        for sql, parameters in ((_LINES.format(reasons=reasons), {}), (_SUMS.format(added_up=added_up), moments)):
            found = database.execute(sql, parameters)
            names = [column[0] for column in found.description or ()]
            for row in found.fetchall():
                of = dict(zip(names, row, strict=True))
                sums[of.pop("exchange")] |= of
    return sums


def _adjust(database: "duckdb.DuckDBPyConnection", actions: Actions) -> None:
    """Beside the closes of the day before, those that corporate actions adjust."""
    closes = database.execute(_OF_SYMBOLS, [actions.symbols]).fetchall() if actions.of else []
    adjusted = actions.adjusted(closes).closes
    symbols, exchanges = ([instrument[part] for instrument in adjusted] for part in (0, 1))
    database.execute(_ADJUSTED, [symbols, exchanges, [f"{price}" for price in adjusted.values()]])
