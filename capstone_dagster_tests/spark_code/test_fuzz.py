"""A few thousand lines of the fuzz, the same in every run: ``make fuzz`` judges more, and others each time."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from capstone_dagster_tests.builders.deliveries import FOLDERS, deliver, ordered
from capstone_dagster_tests.builders.line_cases import draft_of
from capstone_dagster_tests.fuzz import line_model
from capstone_dagster_tests.fuzz.corpus import CORPUS
from capstone_dagster_tests.fuzz.line_model import judge_files
from capstone_dagster_tests.fuzz.rounds import DifferenceError, Reasons, judge_day
from spark_code.schemas import Reject


@pytest.mark.faults("F6", sample=True)
def test_spark_and_the_model_make_the_same_rows_of_odd_lines_and_files(
    spark: SparkSession, tmp_path: Path, rounds: Callable[[int], int]
) -> None:
    reasons, files, seed = Reasons(), 0, 1
    while reasons.total() < rounds(3_000):
        found, refused = judge_day(spark, tmp_path / f"{seed}", seed, min(10_000, rounds(3_000)))
        reasons, files, seed = reasons + found, files + refused, seed + 1
    assert reasons.keys() >= {None, *Reject}
    assert files > 0


def test_a_difference_says_which_seed_repeats_it(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_model, "MOST_KEPT", 100)

    with pytest.raises(DifferenceError, match="seed 3: rows: "):
        judge_day(spark, tmp_path, 3, 200)


def test_what_was_once_wrong_is_judged_as_the_corpus_says(spark: SparkSession, tmp_path: Path) -> None:
    files = {
        (exchange, "corpus"): b"".join(once.line + b"\n" for once in CORPUS if once.exchange == exchange)
        for exchange in FOLDERS
    }
    for (exchange, name), content in files.items():
        deliver(tmp_path, exchange, name, content)

    rows = judge_files(files).rows

    assert [row[-3] for row in rows] == [once.reason for name in FOLDERS for once in CORPUS if once.exchange == name]
    assert ordered(draft_of(spark, tmp_path).rows.collect()) == ordered(rows)
