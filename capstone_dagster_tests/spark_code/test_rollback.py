"""The version before counts again: whole, for good, and only if it is there as it was published."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from capstone_dagster_tests.builders.closes import (
    DATA,
    DAY,
    FIRST,
    NEXT_DAY,
    POINTER,
    SECOND,
    attempt,
    closes_in,
    publish_closes,
    version_of,
)
from capstone_dagster_tests.builders.lakes import make_old, point
from spark_code.garbage import garbage
from spark_code.lake import Lake, NotPublishedError, StaleAttemptError
from spark_code.manifest import Attempt
from spark_code.rollback import RollbackError, Versions, does_not_fit
from spark_code.schemas import BARS, CLOSES, DAILY_SUMMARY, EVENTS, QUALITY, QUOTE_ANALYTICS, QUOTES, TRADES, Table
from spark_code.verification import prove

Rows = list[tuple[str, str]]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Path:
    """Closes that were published twice."""
    folder: Path = tmp_path_factory.mktemp("rollback") / "lake"
    publish_closes(Lake(f"{folder}"), spark, FIRST, token=1)
    publish_closes(Lake(f"{folder}"), spark, SECOND, token=5)
    return folder


@pytest.fixture
def twice(published: Path, tmp_path: Path) -> Lake:
    return Lake(f"{shutil.copytree(published, tmp_path / 'lake')}")


def roll_back(lake: Lake, token: int = 9) -> Versions:
    versions = Versions.find(lake, CLOSES, DAY)
    versions.roll_back(lake, attempt(token), by="ann on desk", reason="wrong prices")
    return versions


def test_the_version_before_counts_again_with_all_that_it_said(twice: Lake, spark: SparkSession) -> None:
    versions = roll_back(twice)

    found = twice.require(CLOSES, DAY)
    assert closes_in(twice.read(spark, CLOSES, DAY).rows) == sorted(FIRST)
    assert (found.version, found.token, found.run_id) == (version_of(1), 9, attempt(9).run_id)
    assert found.rolled_back == {"by": "ann on desk", "reason": "wrong prices", "withdrawn": version_of(5), "files": {}}
    assert (found.previous_version, found.earlier_versions) == (version_of(5), [version_of(5)])
    kept = ("paths", "rows", "bytes", "inputs", "measures", "facts", "digest", "columns")
    assert {name: getattr(found, name) for name in kept} == {name: getattr(versions.before, name) for name in kept}
    assert prove(twice, CLOSES, DAY, None).is_proven


def test_a_second_rollback_takes_back_the_first(twice: Lake, spark: SparkSession) -> None:
    roll_back(twice, token=9)
    roll_back(twice, token=10)

    assert closes_in(twice.read(spark, CLOSES, DAY).rows) == SECOND
    assert twice.require(CLOSES, DAY).earlier_versions == [version_of(1)]


def test_an_attempt_that_began_before_the_rollback_cannot_publish(twice: Lake, spark: SparkSession) -> None:
    began_before = twice.begin(DAY, "a-slow-run")
    versions = Versions.find(twice, CLOSES, DAY)
    versions.roll_back(twice, twice.begin(DAY, "the-rollback"), by="ann on desk", reason="wrong prices")

    with pytest.raises(StaleAttemptError, match=r"run the-rollback, which began later, has published this day"):
        publish_closes(twice, spark, SECOND, token=began_before.token)
    assert closes_in(twice.read(spark, CLOSES, DAY).rows) == sorted(FIRST)


def test_what_is_published_later_is_no_rollback_any_more(twice: Lake, spark: SparkSession) -> None:
    roll_back(twice)
    manifest = publish_closes(twice, spark, SECOND, token=11)

    assert (manifest.rolled_back, manifest.earlier_versions) == (None, [version_of(1), version_of(5)])


def test_a_version_that_was_withdrawn_today_is_not_removed(twice: Lake, spark: SparkSession) -> None:
    make_old(Path(twice.storage.root))
    roll_back(twice)
    publish_closes(twice, spark, SECOND, token=11)

    assert twice.storage.folders(DATA) == [version_of(1), version_of(11), version_of(5)]
    assert list(garbage(twice, lambda _: False)) == []

    make_old(Path(twice.storage.root))

    assert [found.key for found in garbage(twice, lambda _: False)] == [f"{DATA}/{version_of(5)}"]


def test_a_version_that_was_published_meanwhile_is_not_withdrawn(twice: Lake, spark: SparkSession) -> None:
    versions = Versions.find(twice, CLOSES, DAY)
    publish_closes(twice, spark, SECOND, token=7)

    with pytest.raises(StaleAttemptError, match=f"another version than {version_of(5)} was published meanwhile"):
        versions.roll_back(twice, attempt(9), by="ann on desk", reason="wrong prices")
    assert twice.require(CLOSES, DAY).version == version_of(7)


def before(lake: Lake) -> Path:
    return Path(lake.storage.root, DATA, version_of(1))


def lose_a_file(lake: Lake) -> None:
    next(before(lake).rglob("*.parquet")).unlink()


def take_from_an_older_release(lake: Lake) -> None:
    (before(lake) / "_manifest.json").unlink()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda lake: shutil.rmtree(before(lake)), "its files are gone"),
        (lose_a_file, r"\S+parquet is gone"),
        (take_from_an_older_release, "it does not say what it holds, as versions of older releases do not"),
        (lambda lake: (before(lake) / "_manifest.json").write_text("torn"), "it does not say what it holds"),
        (
            lambda lake: shutil.copy(Path(lake.storage.root, POINTER), before(lake) / "_manifest.json"),
            "it does not say what it holds",
        ),
    ],
    ids=["all files are gone", "a file is gone", "an older release", "a torn manifest", "of another version"],
)
def test_a_version_that_is_not_whole_does_not_count_again(
    twice: Lake, damage: Callable[[Lake], object], reason: str
) -> None:
    damage(twice)
    pointer = twice.storage.read(POINTER)

    with pytest.raises(
        RollbackError,
        match=f"^eod/closes of 2020-08-05: the previous version, {version_of(1)}, cannot be restored: {reason}",
    ):
        roll_back(twice)
    assert twice.storage.read(POINTER) == pointer


def test_a_day_that_was_published_once_or_never_has_no_version_before(twice: Lake, spark: SparkSession) -> None:
    publish_closes(twice, spark, FIRST, token=1, day=NEXT_DAY)

    with pytest.raises(
        RollbackError, match="eod/closes of 2020-08-06 was published once: there is no previous version"
    ):
        Versions.find(twice, CLOSES, NEXT_DAY)
    with pytest.raises(NotPublishedError):
        Versions.find(twice, TRADES, DAY)


def test_a_day_of_an_older_release_names_its_version_before(twice: Lake) -> None:
    pointer = json.loads(twice.storage.read(POINTER) or b"")
    del pointer["earlier_versions"], pointer["rolled_back"]
    twice.storage.write(POINTER, json.dumps(pointer).encode())

    assert Versions.find(twice, CLOSES, DAY).before.version == version_of(1)


# --- what was computed from it ---

MADE_FROM: list[tuple[Table, date, dict[str, str]]] = [
    (EVENTS, DAY, {"raw/nyse": "A"}),
    (TRADES, DAY, {"ingested/events": "v1"}),
    (QUOTES, DAY, {"ingested/events": "other"}),
    (CLOSES, DAY, {"ingested/events": "v1"}),
    (QUALITY, DAY, {"ingested/events": "v1", "eod/trades": "v1"}),
    (QUOTE_ANALYTICS, DAY, {"eod/trades": "v1", "eod/quotes": "v1"}),
    (DAILY_SUMMARY, DAY, {"eod/trades": "other", "eod/quotes": "v1"}),
    (QUALITY, NEXT_DAY, {"ingested/events": "v1", "eod/closes": "other"}),
    (QUOTE_ANALYTICS, NEXT_DAY, {"eod/trades": "v1", "eod/closes": "v1"}),
    (BARS, NEXT_DAY, {"eod/trades": "v1"}),
]


@pytest.mark.parametrize(
    ("table", "stale"),
    [
        (
            EVENTS,
            [(TRADES, DAY), (CLOSES, DAY), (QUALITY, DAY), (QUOTE_ANALYTICS, DAY), (QUOTE_ANALYTICS, NEXT_DAY)],
        ),
        (TRADES, [(QUALITY, DAY), (QUOTE_ANALYTICS, DAY)]),
        (CLOSES, [(QUOTE_ANALYTICS, NEXT_DAY)]),
        (QUALITY, []),
        (QUOTE_ANALYTICS, []),
    ],
    ids=lambda value: value.path if isinstance(value, Table) else "",
)
def test_what_was_computed_from_the_withdrawn_version_is_named_in_order(
    local_lake: Lake, table: Table, stale: list[tuple[Table, date]]
) -> None:
    for made, day, inputs in MADE_FROM:
        point(local_lake, made, day, inputs=inputs)
    current = local_lake.require(table, DAY)

    versions = Versions(table, DAY, current, replace(current, version="v0"))

    assert versions.computed_from(local_lake, NEXT_DAY) == stale
    assert [found for found in stale if found[1] == DAY] == versions.computed_from(local_lake, None)


def test_tables_of_other_ingests_do_not_fit_together(local_lake: Lake) -> None:
    for table, day, inputs in MADE_FROM:
        point(local_lake, table, day, inputs=inputs)

    assert does_not_fit(local_lake, local_lake.require(TRADES, DAY), TRADES, DAY) == [
        "eod/quotes was made from other versions than it"
    ]
    assert does_not_fit(local_lake, local_lake.require(QUOTES, DAY), QUOTES, DAY) == [
        "it was made from other rows of ingested/events than count now",
        "eod/trades was made from other versions than it",
        "eod/closes was made from other versions than it",
    ]


def test_files_that_were_known_stay_known_through_a_second_rollback(local_lake: Lake) -> None:
    for made, day, inputs in MADE_FROM:
        point(local_lake, made, day, inputs=inputs)
    current = local_lake.require(EVENTS, DAY)
    first = Versions(EVENTS, DAY, current, replace(current, version="v0", inputs={"raw/nyse": "old"}))

    withdrawn = first.roll_back(local_lake, Attempt("a", 1, 2), by="ann", reason="one")
    second = Versions(EVENTS, DAY, withdrawn, current)
    again = second.roll_back(local_lake, Attempt("b", 1, 3), by="ann", reason="two")

    assert [found.rolled_back and found.rolled_back["files"] for found in (withdrawn, again)] == [{"raw/nyse": "A"}] * 2
