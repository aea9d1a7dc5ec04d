"""Fencing: of two attempts at a day the newer one counts, in whatever order they publish.

The pointer and its fence need no Spark and are tested on S3 as well, on versions put there by hand.
"""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from pyspark.sql import SparkSession

from capstone_dagster_tests.builders.closes import (
    DAY,
    FIRST,
    NEXT_DAY,
    POINTER,
    SECOND,
    Close,
    closes_in,
    manifest_of,
    point_to,
    publish_closes,
    version_of,
)
from spark_code.lake import Lake, StaleAttemptError
from spark_code.manifest import Attempt
from spark_code.schemas import CLOSES


@pytest.mark.faults("F3", sample=True)
def test_a_publish_with_an_older_token_is_refused_after_its_rows_were_written(
    local_lake: Lake, spark: SparkSession
) -> None:
    publish_closes(local_lake, spark, FIRST, token=2)
    before = local_lake.storage.read(POINTER)

    with pytest.raises(StaleAttemptError, match=r"run run-0002-of-the-test, which began later, .* \(token 2 > 1\)"):
        publish_closes(local_lake, spark, SECOND, token=1)

    assert local_lake.storage.read(POINTER) == before
    assert closes_in(local_lake.read(spark, CLOSES, DAY).rows) == sorted(FIRST)


def test_an_older_token_does_not_move_the_pointer(any_lake: Lake) -> None:
    point_to(any_lake, token=5)

    with pytest.raises(StaleAttemptError, match="eod/closes of 2020-08-05: run run-0005-of-the-test"):
        point_to(any_lake, token=4)

    assert any_lake.manifest(CLOSES, DAY) == manifest_of(5)


def test_a_newer_token_moves_the_pointer_and_remembers_the_version_before(any_lake: Lake) -> None:
    point_to(any_lake, token=4)
    published = point_to(any_lake, token=5)

    assert published == replace(manifest_of(5), previous_version=version_of(4), earlier_versions=[version_of(4)])
    assert any_lake.manifest(CLOSES, DAY) == published


def test_the_same_token_is_accepted_again_and_still_knows_the_version_before(any_lake: Lake) -> None:
    point_to(any_lake, token=4)
    point_to(any_lake, token=5)
    published = point_to(any_lake, token=5)

    assert published == replace(manifest_of(5), previous_version=version_of(4), earlier_versions=[version_of(4)])
    assert any_lake.manifest(CLOSES, DAY) == published


def test_the_fence_of_one_day_does_not_stop_another(any_lake: Lake) -> None:
    point_to(any_lake, token=5)
    point_to(any_lake, token=4, day=NEXT_DAY)

    assert [any_lake.manifest(CLOSES, day) for day in (DAY, NEXT_DAY)] == [manifest_of(5), manifest_of(4, NEXT_DAY)]


@pytest.mark.faults("F3", sample=True)
@pytest.mark.parametrize("seed", range(3))
def test_of_publishers_that_race_the_newest_wins(any_lake: Lake, seed: int) -> None:
    tokens = random.Random(seed).sample(range(1, 11), 10)  # noqa: S311 -- the order of a race
    everyone_is_there = threading.Barrier(len(tokens))
    refused, failed = [], []

    def publish(token: int) -> None:
        everyone_is_there.wait()
        try:
            point_to(any_lake, token)
        except StaleAttemptError:
            refused.append(token)
        except Exception as error:  # noqa: BLE001 -- shown by the assertion below
            failed.append(error)

    in_parallel([partial(publish, token) for token in tokens])

    winner = any_lake.manifest(CLOSES, DAY)
    assert (failed, winner and winner.token, 10 in refused) == ([], 10, False)


def test_of_two_whole_publishes_that_race_the_newer_counts(local_lake: Lake, spark: SparkSession) -> None:
    # Of now: what an attempt of long ago has left is removed by the other.
    older = Attempt.begin("older").token
    refused = []

    def publish(rows: list[Close], token: int) -> None:
        try:
            publish_closes(local_lake, spark, rows, token)
        except StaleAttemptError:
            refused.append(token)

    in_parallel([partial(publish, SECOND, older + 1), partial(publish, FIRST, older)])

    assert closes_in(local_lake.read(spark, CLOSES, DAY).rows) == SECOND
    assert refused in ([], [older])


@pytest.mark.faults("F13", sample=True)
def test_a_clock_that_was_ahead_keeps_no_later_attempt_out_and_no_earlier_one_gets_through(any_lake: Lake) -> None:
    began_before = any_lake.begin(DAY, "before")
    ahead = began_before.token + 2 * 24 * 3600 * 1_000_000
    point_to(any_lake, token=ahead)
    began_after = any_lake.begin(DAY, "after")

    with pytest.raises(StaleAttemptError):
        point_to(any_lake, token=began_before.token)
    published = point_to(any_lake, token=began_after.token)

    assert began_after.token == ahead + 1
    assert any_lake.manifest(CLOSES, DAY) == published
    assert any_lake.begin(NEXT_DAY, "other").token < ahead  # of another day, the clock counts


def test_a_pointer_that_cannot_be_read_keeps_nobody_from_beginning(any_lake: Lake) -> None:
    any_lake.storage.write(POINTER, b"no json")
    before = Attempt.begin("before").token

    assert any_lake.begin(DAY, "after").token >= before


def test_the_right_to_publish_is_asked_for_in_the_moment_of_the_publish(any_lake: Lake) -> None:
    point_to(any_lake, token=4)
    before = any_lake.storage.read(POINTER)

    def canceled() -> None:
        raise InterruptedError("canceled meanwhile")

    with pytest.raises(InterruptedError):
        Lake(any_lake.storage.root, require_right=canceled)._point_to(CLOSES, DAY, manifest_of(5))

    assert any_lake.storage.read(POINTER) == before


def in_parallel(works: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_attempts_have_growing_tokens_and_versions_of_their_own() -> None:
    attempts = []
    for number in (1, 2, 3):
        attempts.append(Attempt.begin("0123456789", number))
        time.sleep(0.001)
    tokens = [each.token for each in attempts]

    assert tokens == sorted(set(tokens))
    assert [each.version(DAY) for each in attempts] == [
        f"2020-08-05-{token}-01234567-{number}" for number, token in enumerate(tokens, start=1)
    ]
