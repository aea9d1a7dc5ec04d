"""Lakes of closes: days published by Spark, and versions put there by hand."""

from datetime import date
from decimal import Decimal

from pyspark.sql import DataFrame, SparkSession

from spark_code.drafts import Draft
from spark_code.few_rows import few_rows
from spark_code.lake import Lake
from spark_code.manifest import Attempt, Manifest
from spark_code.schemas import CLOSES

DAY, NEXT_DAY = date(2020, 8, 5), date(2020, 8, 6)
POINTER = "eod/closes/_published/2020-08-05.json"
DATA = "eod/closes/data"

Close = tuple[str, str]
FIRST: list[Close] = [("AAA", "10.25"), ("BBB", "0.000001")]
SECOND: list[Close] = [("AAA", "11.5")]


def attempt(token: int) -> Attempt:
    return Attempt(run_id=f"run-{token:04}-of-the-test", number=1, token=token)


def version_of(token: int, day: date = DAY) -> str:
    return f"{day}-{token}-run-{token:04}-1"


def closes(spark: SparkSession, rows: list[Close], day: date = DAY) -> DataFrame:
    return few_rows(spark, [(day, symbol, "NYSE", Decimal(price)) for symbol, price in rows], CLOSES.schema)


def publish_closes(lake: Lake, spark: SparkSession, rows: list[Close], token: int, day: date = DAY) -> Manifest:
    return lake.publish(Draft(CLOSES, closes(spark, rows, day), inputs={}), day, attempt(token))


def closes_in(rows: DataFrame) -> list[Close]:
    return sorted((row.symbol, format(row.close_pr.normalize(), "f")) for row in rows.collect())


# --- a version put there by hand: what Spark would have written, without Spark ---


def put_version(lake: Lake, token: int, day: date = DAY, file: str = "part-0.parquet") -> str:
    lake.storage.write(f"{DATA}/{version_of(token, day)}/trade_dt={day}/{file}", b"rows")
    return version_of(token, day)


def die_half_way(lake: Lake, token: int, day: date = DAY) -> str:
    """Leave behind what Spark has written when it is killed before it commits."""
    return put_version(lake, token, day, file="_temporary/0/task_0/part-00000.snappy.parquet")


def manifest_of(token: int, day: date = DAY) -> Manifest:
    version = version_of(token, day)
    return Manifest(
        trade_dt=day.isoformat(),
        version=version,
        paths=[f"{DATA}/{version}/trade_dt={day}/part-0.parquet"],
        rows=1,
        bytes=4,
        run_id=attempt(token).run_id,
        attempt=1,
        token=token,
        published_at="2020-08-05T22:00:00.000+00:00",
        inputs={"eod/trades": f"{day}-{token}"},
        measures={"with_close": 1},
        facts={"drift": ["a", {"b": None}]},
    )


def point_to(lake: Lake, token: int, day: date = DAY) -> Manifest:
    return lake._point_to(CLOSES, day, manifest_of(token, day))
