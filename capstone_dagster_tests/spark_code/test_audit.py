"""What is counted in rows: keys that repeat, and a digest, equal for equal rows however they lie and for no others."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from itertools import permutations
from typing import Any

import pytest
from pyspark.sql import DataFrame, Observation, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.types import DateType, LongType, StringType, StructField, StructType

import spark_code.audit
from capstone_dagster_tests.builders.closes import DAY, FIRST, SECOND, attempt, publish_closes
from capstone_dagster_tests.builders.manifests import manifest_of
from capstone_dagster_tests.builders.rows import at, close, event, frame, quote, trade
from spark_code.audit import Audit, counting
from spark_code.drafts import Draft
from spark_code.ingested_to_eod import build
from spark_code.lake import Lake
from spark_code.schemas import CLOSES, EVENTS, QUOTES, Table, conform

IBM, GE = close("10.25"), close("0.000001", symbol="GE")

TEXT_FIELDS = [StructField("trade_dt", DateType()), StructField("a", StringType()), StructField("b", StringType())]
TEXTS = Table("of", "texts", StructType([*TEXT_FIELDS, StructField("n", LongType())]))


def audit(rows: DataFrame, table: Table = CLOSES) -> Audit:
    """What is counted in rows that go nowhere."""
    passing, counted = counting(rows, table)
    passing.write.format("noop").mode("overwrite").save()
    return counted()


def digest(rows: DataFrame, table: Table = CLOSES) -> str:
    found = audit(rows, table).digest
    assert found
    return found


def digest_of(spark: SparkSession, rows: Sequence[tuple[Any, ...]], table: Table = CLOSES) -> str:
    return digest(frame(spark, table, rows), table)


class Unheard(Observation):
    """Of a server that answers before it has counted."""

    @property
    def get(self) -> dict[str, Any]:
        return {}


def test_what_spark_does_not_tell_is_counted_again(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = frame(spark, CLOSES, [IBM, GE, GE])
    told = audit(rows)
    monkeypatch.setattr(spark_code.audit, "Observation", Unheard)

    assert audit(rows) == told
    assert (told.rows, told.repeats) == (3, 1)


@pytest.mark.parametrize(
    "laid",
    [
        pytest.param(lambda rows: rows.repartition(7), id="in many partitions"),
        pytest.param(lambda rows: rows.coalesce(1).orderBy(F.desc("symbol")), id="in another order"),
        pytest.param(lambda rows: conform(rows.select(*reversed(rows.columns)), CLOSES), id="columns reversed"),
        pytest.param(
            lambda rows: conform(rows.withColumn("close_pr", F.col("close_pr").cast("decimal(38,20)")), CLOSES),
            id="decimals with more digits",
        ),
    ],
)
def test_equal_rows_have_one_digest_however_they_lie(
    spark: SparkSession, laid: Callable[[DataFrame], DataFrame]
) -> None:
    rows = frame(spark, CLOSES, [close(f"{number}.5", symbol=f"S{number}") for number in range(50)])

    assert digest(laid(rows)) == digest(rows)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param([], id="none"),
        pytest.param([IBM], id="one fewer"),
        pytest.param([IBM, GE, close("1", symbol="F")], id="one more"),
        pytest.param([close("10.250001"), GE], id="another price"),
        pytest.param([close("0.000001"), close("10.25", symbol="GE")], id="prices exchanged"),
        pytest.param([(IBM[0], "IBM", "NYSE", None), GE], id="no price"),
        pytest.param([(datetime(2020, 8, 7).date(), *IBM[1:]), GE], id="another day"),
    ],
)
def test_other_rows_have_another_digest(spark: SparkSession, other: list[tuple[Any, ...]]) -> None:
    assert digest_of(spark, other) != digest_of(spark, [IBM, GE])


def test_rows_count_as_often_as_they_come(spark: SparkSession) -> None:
    first, second = event(trade("10:00", "1")), event(trade("10:00", "2"))
    times = [digest_of(spark, [first] * a + [second] * b, EVENTS) for a, b in ((2, 0), (0, 2), (1, 1), (4, 0), (2, 2))]

    assert len(set(times)) == 5


def test_where_a_value_stands_and_where_it_ends_counts_and_so_does_null(spark: SparkSession) -> None:
    rows = [*permutations(("ab", "", None), 2), ("a", "b"), ("a", None), (None, "a"), (None, None), ("", "")]
    numbered = [(DAY, *row, number) for row in rows for number in (None, 0, 1)]

    assert len({digest_of(spark, [row], TEXTS) for row in numbered}) == len(numbered)


@pytest.mark.parametrize("column", [name for name in QUOTES.columns if name != "trade_dt"])
def test_every_column_counts(spark: SparkSession, column: str) -> None:
    row = dict(zip(QUOTES.columns, quote("10:00", "1", "2"), strict=True))
    another: dict[str, Any] = {"symbol": "ibm", "exchange": "NASDAQ", "event_tm": at("10:00:00.000001")}
    changed = row | {column: another.get(column, at("23:00") if column == "arrival_tm" else 9)}
    changed |= {column: Decimal(9)} if column.endswith("_pr") else {}

    assert digest_of(spark, [tuple(changed.values())], QUOTES) != digest_of(spark, [tuple(row.values())], QUOTES)


def test_a_table_with_other_columns_has_another_digest(spark: SparkSession) -> None:
    renamed = replace(TEXTS, schema=StructType([*TEXT_FIELDS, StructField("m", LongType())]))
    row = (DAY, "a", "b", 1)

    assert digest_of(spark, [row], renamed) != digest_of(spark, [row], TEXTS)


# --- keys ---

KEYED = ("10:00", "1", "2")


@pytest.mark.parametrize(
    ("rows", "repeats"),
    [
        pytest.param([], 0, id="no row"),
        pytest.param([quote(*KEYED)], 0, id="one row"),
        pytest.param([quote(*KEYED), quote("10:00", "3", "4")], 1, id="another price"),
        pytest.param([quote(*KEYED), quote(*KEYED), quote(*KEYED)], 2, id="three times"),
        pytest.param([quote(*KEYED), quote(*KEYED, seq=2)], 0, id="another number"),
        pytest.param([quote(*KEYED), quote("10:00:00.000001", "1", "2")], 0, id="another time"),
        pytest.param([quote(*KEYED), quote(*KEYED, symbol="GE"), quote(*KEYED, exchange="NASDAQ")], 0, id="others"),
        pytest.param([quote(*KEYED), quote("09:00", "1", "2"), quote(*KEYED)], 1, id="with one between them"),
        pytest.param([(*quote(*KEYED)[:3], None, None, *quote(*KEYED)[5:])], 0, id="one without time and number"),
        pytest.param([(*quote(*KEYED)[:3], None, None, *quote(*KEYED)[5:])] * 2, 1, id="two without"),
    ],
)
def test_rows_whose_key_another_row_has_are_counted(
    spark: SparkSession, rows: list[tuple[Any, ...]], repeats: int
) -> None:
    found = audit(frame(spark, QUOTES, rows).repartition(3), QUOTES)

    assert (found.rows, found.repeats) == (len(rows), repeats)


def test_a_table_without_a_key_may_repeat_its_rows(spark: SparkSession) -> None:
    found = audit(frame(spark, EVENTS, [event(trade("10:00", "1"))] * 2), EVENTS)

    assert (found.rows, found.repeats, found.measures["trades"]) == (2, 0, 2)


# --- in manifests ---


def test_a_manifest_has_the_digest_of_what_was_written(local_lake: Lake, spark: SparkSession) -> None:
    versions = [publish_closes(local_lake, spark, rows, token) for token, rows in enumerate((FIRST, FIRST, SECOND))]
    written = local_lake.read(spark, CLOSES, DAY)

    assert versions[0].digest == versions[1].digest != versions[2].digest == digest(written.rows)
    assert written.digest_as_input() == {"eod/closes": versions[2].digest}
    assert local_lake.manifest(CLOSES, DAY) == versions[2]


def test_what_was_made_from_a_table_knows_its_digest(local_lake: Lake, spark: SparkSession) -> None:
    events = frame(spark, EVENTS, [(DAY, *event(trade("10:00", "1"))[1:])])
    ingested = local_lake.publish(Draft(EVENTS, events, {"raw/nyse": "a"}), DAY, attempt(1))
    made = [local_lake.publish(draft, DAY, attempt(1)) for draft in build(local_lake.read(spark, EVENTS, DAY))]

    assert ingested.input_digests == {}
    assert [manifest.input_digests for manifest in made] == [{"ingested/events": ingested.digest}] * 3
    assert all(manifest.was_made_from(EVENTS.path, ingested) for manifest in made)
    again = local_lake.publish(Draft(EVENTS, events, {"raw/nyse": "b"}), DAY, attempt(2))
    assert all(manifest.was_made_from(EVENTS.path, again) for manifest in made)
    other = local_lake.publish(Draft(EVENTS, events.union(events), {"raw/nyse": "c"}), DAY, attempt(3))
    assert not any(manifest.was_made_from(EVENTS.path, other) for manifest in made)


@pytest.mark.parametrize(
    ("used", "digest_then", "digest_now", "is_so"),
    [
        ("v1", None, None, True),
        ("v1", "a", "b", True),
        ("v0", None, None, False),
        ("v0", None, "a", False),
        ("v0", "a", None, False),
        ("v0", "a", "a", True),
        ("v0", "a", "b", False),
        (None, None, "a", False),
    ],
)
def test_what_was_made_from_what_is_published(
    used: str | None, digest_then: str | None, digest_now: str | None, *, is_so: bool
) -> None:
    published = replace(manifest_of(DAY, "v1"), digest=digest_now)
    made = replace(
        manifest_of(DAY, inputs={"eod/closes": used} if used else {}),
        input_digests={"eod/closes": digest_then} if digest_then else {},
    )
    assert made.was_made_from("eod/closes", published) == is_so
