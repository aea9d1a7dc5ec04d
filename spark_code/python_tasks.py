"""Python in tasks of Spark. It works on whole Arrow tables, and takes no line out of them."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from spark_code.locations import s3_environment
from spark_code.storage import Storage

if TYPE_CHECKING:
    import pyarrow as pa

_Lot = TypeVar("_Lot")


def in_tasks(
    spark: SparkSession,
    lots: Sequence[_Lot],
    make: Callable[[_Lot], Iterable["pa.Table"]],
    schema: StructType,
    storage: Storage,
) -> DataFrame:
    """The rows that a function makes of each lot of work, in a task that can read the storage."""
    environment = {} if storage.is_local else s3_environment()

    def rows(numbers: Iterable["pa.RecordBatch"]) -> Iterator["pa.RecordBatch"]:
        with _variables(environment):
            for number in (number for batch in numbers for number in batch.column("id").to_pylist()):
                for table in make(lots[number]):
                    yield from table.to_batches()

    return spark.range(0, len(lots), numPartitions=max(1, len(lots))).mapInArrow(rows, schema)


@contextmanager
def _variables(variables: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables, and restore them: Spark gives the process of a task to others, too."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]
        os.environ.update(before)
