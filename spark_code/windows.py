"""Ordered windows with explicit frames, and exact averages over them.

Every window of the project is defined here, so that none relies on Spark's default frame or on an order with ties. The
edges decide what to compute over a window.
"""

from pyspark.sql import Column, Window, WindowSpec
from pyspark.sql import functions as F

from spark_code.schemas import PRICE

# Trades and quotes are joined by instrument: one symbol on one exchange.
INSTRUMENT = ("symbol", "exchange")

# 27 digits with 6 decimals divided by a count of up to 10 digits fits Spark's 38 digits with 17 decimals: enough that
# only the final rounding to six decimals is visible.
_EXACT_SUM = "decimal(27,6)"
_EXACT_COUNT = "decimal(10,0)"


def in_order(*order: str) -> WindowSpec:
    """All rows of the instrument in an order, for what the row before or after holds. It must be a total order."""
    return Window.partitionBy(*INSTRUMENT).orderBy(*order)


def up_to_now(*order: str) -> WindowSpec:
    """All rows of the instrument up to this one. ``order`` must be a total order."""
    return in_order(*order).rowsBetween(Window.unboundedPreceding, Window.currentRow)


def mean_price(total: Column, count: Column) -> Column:
    """Divide a sum of prices by its count, rounded once, half up."""
    return (total.try_cast(_EXACT_SUM) / count.cast(_EXACT_COUNT)).cast(PRICE)


def trailing_mean_price(price: str, event_tm: str, minutes: int) -> Column:
    """Mean price of the instrument's rows with ``event_tm`` in [t - minutes, t], both ends included.

    It subtracts the rows before the window from all rows up to now: both frames only grow, so each row is added once.
    Spark sums a sliding frame again for every row, which takes minutes for a busy instrument. It is written in SQL
    because ``rangeBetween`` accepts no interval over a timestamp; a range frame includes all rows of the same instant.
    """
    rows = f"OVER (PARTITION BY {', '.join(INSTRUMENT)} ORDER BY {event_tm} RANGE BETWEEN UNBOUNDED PRECEDING AND"
    up_to_now = f"{rows} CURRENT ROW)"
    before = f"{rows} INTERVAL '{minutes}:00.000001' MINUTE TO SECOND PRECEDING)"
    total = F.expr(f"sum({price}) {up_to_now} - coalesce(sum({price}) {before}, 0)")
    return mean_price(total, F.expr(f"count({price}) {up_to_now} - count({price}) {before}"))
