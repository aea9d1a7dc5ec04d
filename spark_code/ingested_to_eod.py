"""Edge: the ingested events of a day to its end-of-day load.

Grain in: one row per delivered line. Grain out: one row per event (trades, quotes) and one per instrument that traded
(closes). Only this module decides which delivery of an event counts.
"""

from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from spark_code.drafts import Draft, Published
from spark_code.schemas import CLOSES, QUOTES, TRADES, RecordType, Table, conform
from spark_code.windows import INSTRUMENT, in_order

# Raised when the same input gives other rows from now on: the UI then shows what was made before as out of date.
CODE_VERSION = "1"


def latest_arrivals(events: DataFrame, rec_type: RecordType, table: Table) -> DataFrame:
    """Keep the latest arrival of every event.

    If an event was delivered several times, the greatest ``arrival_tm`` wins, then the greatest remaining columns in
    schema order, so the order of the files has no effect. In this order the one that counts is the last of its key.
    The rows come out in the order of the key: readers of one instrument skip the rest of a file.
    """
    of_type = events.where(F.col("rec_type") == rec_type.value).select(*table.columns)
    time_and_number = [name for name in table.key if name not in INSTRUMENT]
    rest = [name for name in table.columns if name not in ("trade_dt", *table.key)]
    order = in_order(*time_and_number, *rest)
    following = {f"next_{name}": F.lead(name).over(order) for name in time_and_number}
    # Of an instrument's last row they are null, which no event has.
    is_delivered_again = reduce(Column.__and__, (F.col(name) == F.col(f"next_{name}") for name in time_and_number))
    return conform(of_type.withColumns(following).where(~F.coalesce(is_delivered_again, F.lit(False))), table)


def closes(trades: DataFrame) -> DataFrame:
    """The price of the last trade of each instrument, by ``(event_tm, event_seq_nb)``."""
    last_price = F.max_by("trade_pr", F.struct("event_tm", "event_seq_nb"))
    return conform(trades.groupBy("trade_dt", "symbol", "exchange").agg(last_price.alias("close_pr")), CLOSES)


def build(events: Published) -> tuple[Draft, Draft, Draft]:
    """Draft ``eod/trades``, ``eod/quotes`` and ``eod/closes`` from the published events."""
    trades = latest_arrivals(events.rows, RecordType.TRADE, TRADES)
    quotes = latest_arrivals(events.rows, RecordType.QUOTE, QUOTES)
    inputs, digests, day = events.as_input(), events.digest_as_input(), events.day
    return (
        Draft(TRADES, trades, inputs, day=day, input_digests=digests),
        Draft(QUOTES, quotes, inputs, day=day, input_digests=digests),
        Draft(CLOSES, closes(trades), inputs, day=day, input_digests=digests),
    )
