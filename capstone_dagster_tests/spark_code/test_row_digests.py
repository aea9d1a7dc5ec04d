"""The digest of rows without Spark: it is that of Spark, whatever the values are."""

from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import DateType, DecimalType, LongType, StringType, StructField, StructType, TimestampNTZType

from spark_code.audit import counting
from spark_code.row_digests import RowDigest, row_hashes
from spark_code.schemas import TABLES, Table

FIELDS = {
    "trade_dt": DateType(),
    "text": StringType(),
    "whole": LongType(),
    "time": TimestampNTZType(),
    "price": DecimalType(18, 6),
    "number": DecimalType(38, 6),
}
OF_ALL_TYPES = Table("of", "all_types", StructType([StructField(name, kind) for name, kind in FIELDS.items()]))
NOTHING: dict[str, Any] = dict.fromkeys(FIELDS)


def row(**values: Any) -> tuple[Any, ...]:
    return tuple((NOTHING | values).values())


def of_spark(rows: DataFrame, table: Table) -> str | None:
    passing, counted = counting(rows, table)
    passing.write.format("noop").mode("overwrite").save()
    return counted().digest


def without_spark(rows: Sequence[tuple[Any, ...]], table: Table, lot: int) -> str | None:
    """The digest of the rows in batches of so many, each a part of a larger one."""
    digest, whole = RowDigest(table.schema), as_batch(rows, table)
    for first in range(0, len(rows), lot):
        digest.add(whole.slice(first, lot))
    return digest.digest


def as_batch(rows: Sequence[tuple[Any, ...]], table: Table) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(
        [dict(zip(table.columns, values, strict=True)) for values in rows], to_arrow_schema(table.schema)
    )


ROWS = [
    row(),
    *(row(text=text) for text in ("", "A", "IBM", "BRK.B", "\u00e4\u4e2d\U0001f4c8", "\x00", " ")),
    # Around the four, eight and thirty-two bytes that are hashed together, and many times as many.
    *(row(text="abcdefghij" * 10 + "x" * length) for length in range(35)),
    *(row(text="0123456789abcdefghijklmnopqrstuvwxyz"[:length]) for length in range(37)),
    row(text="line " * 13_000),
    *(row(whole=number) for number in (0, 1, -1, 2**63 - 1, -(2**63))),
    *(row(trade_dt=day) for day in (date(1970, 1, 1), date(1969, 12, 31), date(2020, 8, 6), date(9999, 12, 31))),
    *(row(time=moment) for moment in (datetime(1970, 1, 1), datetime(1969, 1, 1), datetime(2020, 8, 6, 9, 30, 0, 1))),
    *(row(price=Decimal(price)) for price in ("0", "0.000001", "-0.000001", "999999999999.999999", "-10.25")),
    *(
        row(number=Decimal(number))
        for number in ("0", "0.000001", "-0.000001", "0.000127", "0.000128", "-0.000128", "-0.000129", "0.000256")
    ),
    row(number=Decimal("99999999999999999999999999999999.999999")),
    row(number=Decimal("-99999999999999999999999999999999.999999")),
    row(trade_dt=date(2020, 8, 6), text="IBM", whole=7, time=datetime(2020, 8, 6), price=Decimal(1), number=Decimal(2)),
]


def test_every_value_is_hashed_as_spark_hashes_it(spark: SparkSession) -> None:
    for rows in (ROWS, [*ROWS, *ROWS], []):
        expected = of_spark(spark.createDataFrame(list(rows), OF_ALL_TYPES.schema), OF_ALL_TYPES)
        assert [without_spark(rows, OF_ALL_TYPES, lot) for lot in (1000, 7)] == [expected, expected]


def test_each_row_alone_has_the_digest_of_spark(spark: SparkSession) -> None:
    hashes = spark.createDataFrame(ROWS, OF_ALL_TYPES.schema).selectExpr(
        f"xxhash64({', '.join(f'{name}, {name} IS NULL' for name in FIELDS)}) AS hash"
    )
    found = row_hashes(as_batch(ROWS, OF_ALL_TYPES), OF_ALL_TYPES.schema)

    assert found.astype("<i8").tolist() == [of_row["hash"] for of_row in hashes.collect()]


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
def test_every_column_of_the_platform_has_a_type_that_can_be_hashed(table: Table) -> None:
    nothing = pa.RecordBatch.from_arrays(
        [pa.nulls(2, kind) for kind in to_arrow_schema(table.schema).types], table.columns
    )
    digest = RowDigest(table.schema)
    digest.add(nothing)

    assert digest.rows == 2
