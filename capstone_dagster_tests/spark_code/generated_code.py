"""The Java code that Spark generates from a plan: HotSpot compiles all of it, and no stage went without.

HotSpot interprets a method of more than 8,000 bytes for ever, which makes a stage several times slower; Spark only logs
that, and also falls back silently to row by row execution where it cannot generate or compile a stage at all.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO

from pyspark.sql import DataFrame, SparkSession

from spark_code.audit import counting
from spark_code.drafts import Draft

# HotSpot's HugeMethodLimit.
MOST_BYTES = 8000
# Operators that Spark generates code for; in a plan, those of a generated stage have a star and its number.
_GENERATED = "Project|Filter|Sort|HashAggregate|BroadcastHashJoin|SortMergeJoin|ShuffledHashJoin|Generate|Expand"
_LEFT_OUT = re.compile(rf"^[\s:|+-]*((?:{_GENERATED}) .*)$", re.MULTILINE)
# -1 where a stage could not be compiled.
_SIZE = re.compile(r"maxMethodCodeSize:(-?\d+)")


def code_faults(rows: DataFrame) -> list[str]:
    """What is wrong with the code of a plan; nothing where all its stages are generated and none is too large."""
    with _without_replanning(rows.sparkSession):
        plan, code = _explained(rows, "simple"), _explained(rows, "codegen")
    sizes = [int(size) for size in _SIZE.findall(code)]
    faults = [f"no generated code: {operator[:200]}" for operator in _LEFT_OUT.findall(plan)]
    faults += [f"a method of {size} bytes, -1 if it does not compile" for size in sizes if not 0 < size <= MOST_BYTES]
    return faults if sizes else [*faults, "no generated stage"]


def code_faults_of_publishing(draft: Draft) -> list[str]:
    """The same for what the lake makes of a draft when it writes it."""
    return code_faults(counting(draft.rows, draft.table)[0].drop("trade_dt"))


def plan_of(rows: DataFrame) -> str:
    """The operators of a plan as Spark shows them, with the number of their generated stage."""
    with _without_replanning(rows.sparkSession):
        return _explained(rows, "simple")


@contextmanager
def _without_replanning(spark: SparkSession) -> Iterator[None]:
    """A plan that is still to be adapted to its data has no code yet."""
    usual = str(spark.conf.get("spark.sql.adaptive.enabled"))
    spark.conf.set("spark.sql.adaptive.enabled", "false")
    try:
        yield
    finally:
        spark.conf.set("spark.sql.adaptive.enabled", usual)


def _explained(rows: DataFrame, mode: str) -> str:
    # The plan that a DataFrame has made once stays, so it is made anew.
    with redirect_stdout(StringIO()) as text:
        rows.select("*").explain(mode=mode)
    return text.getvalue()
