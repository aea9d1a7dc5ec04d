"""Rows that this process has made, as rows of Spark."""

from collections.abc import Iterable
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType


def few_rows(spark: SparkSession, rows: Iterable[tuple[Any, ...]], schema: StructType) -> DataFrame:
    """They go there as Arrow: for tuples, Spark would start Python once more in its tasks, which takes a second."""
    import pyarrow as pa  # noqa: PLC0415 - takes 0.15 s, for those who compute; commands import ``flow``
    from pyspark.sql.pandas.types import to_arrow_schema  # noqa: PLC0415 - loads pandas

    arrow = to_arrow_schema(schema)
    by_name = [dict(zip(schema.names, row, strict=True)) for row in rows]
    return spark.createDataFrame(pa.Table.from_pylist(by_name, arrow), schema)
