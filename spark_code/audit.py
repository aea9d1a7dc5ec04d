"""The audit of written rows: what a version really holds, counted in one pass over it before it is published.

The same pass makes the digest of the rows, by which versions are compared later without being read again.
What is refused by these counts is in ``lake``.
"""

import hashlib
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from spark_code.schemas import Table

# The hashes of rows are summed up in halves: whole ones would overflow at once, and decimals are slow.
_HALVES = {"low": "& 4294967295", "high": ">>> 32"}


@dataclass(frozen=True)
class Audit:
    """What was found in the rows of one table."""

    rows: int
    rows_of_a_key: int
    """How many rows the most frequent key has."""
    measures: dict[str, int]
    digest: str | None
    """Equal for equal rows, in whatever order and files; None of more rows than can be summed up (four billion)."""


def audit(written: DataFrame, table: Table) -> Audit:
    """Read the rows once, and say what they are."""
    counts = [F.count_if(F.expr(condition)).alias(name) for name, condition in table.measures.items()]
    hashes = [F.try_sum(F.expr(f"{_row_hash(table)} {half}")).alias(name) for name, half in _HALVES.items()]
    groups = written.groupBy(*table.key).agg(F.count("*").alias("rows"), *counts, *hashes)
    sums = [F.coalesce(F.sum(name), F.lit(0)).alias(name) for name in ("rows", *table.measures)]
    totals = [F.try_sum(name).alias(name) for name in _HALVES]
    found = groups.agg(*sums, *totals, F.max("rows").alias("rows_of_a_key")).collect()[0].asDict()
    return Audit(
        rows=found["rows"],
        rows_of_a_key=found["rows_of_a_key"] or 0,
        measures={name: found[name] for name in table.measures},
        digest=_digest(table, found["rows"], [found[name] for name in _HALVES]),
    )


def _row_hash(table: Table) -> str:
    """64 bits of every value of a row; whether it is null is hashed too, because the function skips nulls."""
    return f"xxhash64({', '.join(f'{name}, {name} IS NULL' for name in table.columns)})"


def _digest(table: Table, rows: int, halves: list[int | None]) -> str | None:
    """The columns, the number of rows and the sum of their hashes, which counts equal rows as often as they come."""
    if rows and None in halves:
        return None
    text = f"{table.schema.simpleString()} {rows} {halves}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]
