"""Edge: delivered lines of a day to typed events, split into trades, quotes and bad lines.

Grain: one row per line, accepted or rejected; no line is dropped. ``raw_lines`` reads the lines, and ``line_judge``
judges them: in the tasks of Spark, each of which reads a part of the files. Small days are judged by this process,
before Python would have started in a task.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from functools import reduce
from typing import TYPE_CHECKING, Any

from pyspark.sql import DataFrame, Observation, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import ArrayType, StringType, StructField, StructType

from spark_code.drafts import Draft
from spark_code.few_rows import few_rows
from spark_code.line_judge import Judge
from spark_code.python_tasks import in_tasks
from spark_code.raw_files import Delivery, Source
from spark_code.raw_lines import Part, count_lines, lines_of, parts
from spark_code.schemas import EVENTS, RecordType, conform
from spark_code.storage import Storage

if TYPE_CHECKING:
    import pyarrow as pa

# Raised when the same input gives other rows from now on: the UI then shows what was made before as out of date.
CODE_VERSION = "1"

# How many bytes of files a task reads.
PART_BYTES = 64 * 1024 * 1024
# A day that has no more bytes, unpacked, no more lines and no more files is judged by this process.
SMALL_BYTES = 32 * 1024 * 1024
_SMALL_LINES = 500_000
SMALL_FILES = 100
# Enough names to explain a drift; a feed that writes values as names must not fill the manifest.
_MAX_UNKNOWN_FIELDS = 1000

# What comes of a line. The day is a column too: Spark would compile a constant into its code, anew for every day.
_JUDGED = StructType([*EVENTS.schema, StructField("unknown_fields", ArrayType(StringType()))])


def build(spark: SparkSession, deliveries: Sequence[Delivery], day: date) -> Draft:
    """Draft ``ingested/events`` from everything the exchanges delivered for the day."""
    lines, size = count_lines(deliveries)
    files = sum(len(delivery.files) for delivery in deliveries)
    is_small = size <= SMALL_BYTES and lines <= _SMALL_LINES and files <= SMALL_FILES
    judge = _judged_here if is_small else _judged_in_tasks
    judged = reduce(DataFrame.unionAll, (judge(spark, delivery) for delivery in deliveries))
    # Counted while the rows are processed; reading the names needs a second pass, only if there are any.
    seen = Observation()
    passing = judged.observe(seen, F.count_if(F.size("unknown_fields") > 0).alias("lines_with_unknown_fields"))

    source_of_rejects = F.when(F.col("rec_type") == RecordType.BAD.value, F.col("source_file"))

    def facts() -> dict[str, Any]:
        # Spark Connect may have answered without the count.
        return {"schema_drift": _drift(judged) if seen.get.get("lines_with_unknown_fields", 1) else {}}

    return Draft(
        EVENTS,
        conform(passing.withColumn("source_file", source_of_rejects), EVENTS),
        inputs={delivery.source.raw_table: delivery.fingerprint for delivery in deliveries},
        expected_rows=lines,
        facts=facts,
        day=day,
    )


def _judged_in_tasks(spark: SparkSession, delivery: Delivery) -> DataFrame:
    source, day, raw = delivery.source, delivery.day, delivery.storage.root

    def judged(files: Sequence[Part]) -> Iterator["pa.Table"]:
        return _judged(Storage(raw), source, day, files)

    return in_tasks(spark, parts(delivery, PART_BYTES), judged, _JUDGED, delivery.storage)


def _judged_here(spark: SparkSession, delivery: Delivery) -> DataFrame:
    import pyarrow as pa  # noqa: PLC0415 - takes 0.15 s, for those who ingest; commands import ``flow``

    files = [part for lot in parts(delivery, SMALL_BYTES) for part in lot]
    tables = list(_judged(delivery.storage, delivery.source, delivery.day, files))
    judged = spark.createDataFrame(pa.concat_tables(tables), _JUDGED) if tables else few_rows(spark, [], _JUDGED)
    return judged.coalesce(1)


def _judged(storage: Storage, source: Source, day: date, files: Iterable[Part]) -> Iterator["pa.Table"]:
    return Judge(source, day).rows((part.key, lines) for part in files for lines in lines_of(storage, part))


def _drift(judged: DataFrame) -> dict[str, list[str]]:
    """File -> the fields that the contract does not know, each once."""
    news = judged.select("source_file", F.explode("unknown_fields").alias("field")).distinct()
    files: dict[str, list[str]] = {}
    for row in news.orderBy("source_file", "field").limit(_MAX_UNKNOWN_FIELDS).collect():
        files.setdefault(row["source_file"], []).append(row["field"])
    return files
