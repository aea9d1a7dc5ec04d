"""The audit of a version: what is counted while its rows are written.

The stage of Spark that writes the rows counts them: no row is read again. The same pass makes the digest of the rows,
by which versions are compared later; ``row_digests`` makes it without Spark. ``footers`` shows what lies in the lake;
what is refused is in ``lake``.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import reduce
from typing import Any

from pyspark.sql import Column, DataFrame, Observation, Window
from pyspark.sql import functions as F
from pyspark.sql.types import StructType

from spark_code.schemas import Table

# The hashes of rows are summed up in halves: whole ones would overflow at once, and decimals are slow.
_HALVES: Mapping[str, Callable[[Column], Column]] = {
    "low": lambda whole: whole.bitwiseAND(2**32 - 1),
    "high": lambda whole: F.shiftrightunsigned(whole, 32),
}
# Rows with the same values of the first columns of a key come together, in the order of the others.
_GROUPED_BY = 2
# Rows. Readers skip the groups that a symbol is not in, and read several at a time.
_ROW_GROUP = 100_000


@dataclass(frozen=True)
class Audit:
    """What was counted in the rows of one table."""

    rows: int
    repeats: int
    """How many rows have a key that another row has already."""
    days: frozenset[date | None]
    """The first and the last day of the rows, and None if there are rows without a day."""
    measures: dict[str, int]
    digest: str | None
    """Equal for equal rows, in whatever order and files; None of more rows than can be summed up (four billion)."""


def write(rows: DataFrame, table: Table, folder: str) -> Audit:
    """Write the rows into the folder of their day, which names the day: the files do not."""
    passing, counted = counting(rows, table)
    writer = passing.drop("trade_dt").write.option("parquet.block.row.count.limit", _ROW_GROUP)
    writer.partitionBy(*table.split).parquet(folder)
    return counted()


def counting(rows: DataFrame, table: Table) -> tuple[DataFrame, Callable[[], Audit]]:
    """The same rows, counted while they are processed, and what was counted, once they are."""
    observation = Observation()
    is_repeat, row_hash = F.lit(False), F.expr(_row_hash(table))
    if table.key:
        rows, is_repeat = _with_the_row_before(rows, table)
        # Generated code makes the hash faster than an observation does. Without the window before it, the hash would
        # be in the code of the edge, which must not become larger.
        rows, row_hash = rows.withColumn("row_hash", row_hash), F.col("row_hash")
    measures = [F.count_if(F.expr(condition)).alias(name) for name, condition in table.measures.items()]
    hashes = [F.try_sum(half(row_hash)).alias(name) for name, half in _HALVES.items()]
    counts = (
        F.count(F.lit(1)).alias("rows"),
        F.count_if(is_repeat).alias("repeats"),
        F.min("trade_dt").alias("first_day"),
        F.max("trade_dt").alias("last_day"),
        F.count("trade_dt").alias("dated"),
        *hashes,
        *measures,
    )

    def counted() -> Audit:
        # A busy server of Spark Connect may answer before it has the counts.
        return _audit(table, observation.get or rows.agg(*counts).collect()[0].asDict())

    return rows.observe(observation, *counts).select(*table.columns), counted


def _audit(table: Table, found: dict[str, Any]) -> Audit:
    rows = found["rows"]
    days = {found["first_day"], found["last_day"]} if found["dated"] else set()
    return Audit(
        rows=rows,
        repeats=found["repeats"],
        days=frozenset(days if found["dated"] == rows else {*days, None}),
        measures={name: found[name] for name in table.measures},
        digest=digest_of(table.schema, rows, [found[name] for name in _HALVES]),
    )


def _with_the_row_before(rows: DataFrame, table: Table) -> tuple[DataFrame, Column]:
    """The rows in the order of the key, each with the key of the row before it, and whether that is its own key.

    An edge whose rows come out in this order spares the sort.
    """
    grouped, ordered = table.key[:_GROUPED_BY], table.key[_GROUPED_BY:]
    before = Window.partitionBy(*grouped).orderBy(*(ordered or grouped))
    lags = {f"{name}_before": F.lag(name).over(before) for name in ordered}
    is_same = [F.col(name).eqNullSafe(F.col(f"{name}_before")) for name in ordered]
    # The first row of a group has none before it, which may be no repeat of a null.
    with_before = rows.withColumns({"has_row_before": F.lag(F.lit(True)).over(before), **lags})
    return with_before, reduce(Column.__and__, is_same, F.col("has_row_before").isNotNull())


def _row_hash(table: Table) -> str:
    """64 bits of every value of a row; whether it is null is hashed too, because the function skips nulls."""
    return f"xxhash64({', '.join(f'{name}, {name} IS NULL' for name in table.columns)})"


def digest_of(schema: StructType, rows: int, halves: Sequence[int | None]) -> str | None:
    """The columns, the number of rows and the sum of their hashes, which counts equal rows as often as they come."""
    if rows and None in halves:
        return None
    text = f"{schema.simpleString()} {rows} {list(halves)}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]
