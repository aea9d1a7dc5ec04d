"""One round of the fuzz: a day of odd files, judged by Spark and by the model."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from unittest.mock import patch

from pyspark.sql import SparkSession

from capstone_dagster_tests.builders.deliveries import deliver
from capstone_dagster_tests.builders.line_cases import draft_of
from capstone_dagster_tests.fuzz.files import arbitrary, mutated, unpacked
from capstone_dagster_tests.fuzz.line_model import judge_files
from spark_code import raw_to_ingested
from spark_code.locations import StorageError

Reasons = Counter[str | None]
"""How many lines were rejected for a reason, or accepted: None."""


class DifferenceError(AssertionError):
    """Spark and the model do not agree; the message says how to repeat it."""


def judge_day(spark: SparkSession, raw: Path, seed: int, lines: int) -> tuple[Reasons, int]:
    """Judge a day of about so many lines below a folder; how many files were refused comes with the reasons."""
    random = Random(seed)  # noqa: S311 - nothing secret is drawn
    files = mutated(random, lines // 2) | arbitrary(random)
    for (exchange, name), delivered in files.items():
        deliver(raw, exchange, name, delivered)
    contents = {key: unpacked(key[1], delivered) for key, delivered in files.items()}
    refused = [key for key, content in contents.items() if content is None]
    _refuse_until_they_are_gone(spark, raw, seed, refused)
    verdicts = judge_files({key: content for key, content in contents.items() if content is not None})
    with _by_tasks(random) if seed % 4 == 0 else _by_this_process():
        draft = draft_of(spark, raw)
        got = Counter(tuple(row) for row in draft.rows.collect())
        facts = draft.facts()
    wanted = Counter(verdicts.rows)
    # What differs alone: a message of some rows, not of all.
    _require_equal(seed, "rows", list(got - wanted)[:5], list(wanted - got)[:5])
    _require_equal(seed, "number of lines", draft.expected_rows, wanted.total())
    _require_equal(seed, "unknown fields", facts, {"schema_drift": verdicts.drift})
    return Counter(row[-3] for row in got.elements()), len(refused)


def _refuse_until_they_are_gone(spark: SparkSession, raw: Path, seed: int, broken: list[tuple[str, str]]) -> None:
    """A day is refused as long as one of its files cannot be read, and the error names such a file."""
    left = {path: path.name for path in raw.rglob("*") if path.is_file() and (_exchange(path), path.name) in broken}
    while left:
        try:
            draft_of(spark, raw)
        except StorageError as refused:
            named = [path for path in left if f"{path} cannot be read to its end: " in str(refused)]
            _require_equal(seed, f"files that are named by {str(refused)!r}", len(named), 1)
            named[0].unlink()
            del left[named[0]]
        else:
            _require_equal(seed, "broken files that are read", sorted(left.values()), [])


def _exchange(path: Path) -> str:
    return path.parent.name


def _require_equal(seed: int, what: str, got: object, wanted: object) -> None:
    if got != wanted:
        raise DifferenceError(f"seed {seed}: {what}: {got!r:.4000}, and the model says {wanted!r:.4000}")


@contextmanager
def _by_tasks(random: Random) -> Iterator[None]:
    """Spark's tasks read the files, in parts."""
    with (
        patch.object(raw_to_ingested, "SMALL_BYTES", -1),
        patch.object(raw_to_ingested, "PART_BYTES", random.randint(50_000, 500_000)),
    ):
        yield


@contextmanager
def _by_this_process() -> Iterator[None]:
    """As a small day is."""
    with patch.object(raw_to_ingested, "SMALL_BYTES", 2**30):
        yield
