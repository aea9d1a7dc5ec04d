"""A pointer whose answer S3 has lost: published once, and the next attempt is no older one."""

from dataclasses import replace

import pytest

from capstone_dagster_tests.builders.closes import DATA, DAY, POINTER, manifest_of, point_to, put_version, version_of
from capstone_dagster_tests.servers.s3_faults import (  # noqa: F401 -- pytest finds fixtures by their import
    ASKED_AT_ONCE,
    LOSE_ANSWER,
    Faults,
    faulty_front,
    faulty_s3,
)
from spark_code.lake import Lake
from spark_code.locations import StorageError
from spark_code.schemas import CLOSES


@pytest.mark.parametrize("before", [None, 4])
def test_a_publish_whose_answer_was_lost_is_repeated_and_still_knows_the_version_before(
    faults: Faults, lake: Lake, before: int | None
) -> None:
    if before:
        point_to(lake, before)
    faults.add(LOSE_ANSWER, f"PUT .*/{POINTER}", times=1)

    published = point_to(lake, token=5)

    assert faults.hits == 1
    assert (published.version, published.previous_version) == (version_of(5), before and version_of(before))
    assert lake.manifest(CLOSES, DAY) == published


def test_a_rollback_whose_answer_was_lost_is_repeated_and_not_refused(faults: Faults, lake: Lake) -> None:
    for token in (4, 5):
        point_to(lake, token)
    again = replace(manifest_of(4), token=9)
    faults.add(LOSE_ANSWER, f"PUT .*/{POINTER}", times=1)

    published = lake.republish(CLOSES, DAY, again, instead_of=version_of(5))

    assert faults.hits == 1
    assert (published.version, published.token, published.previous_version) == (version_of(4), 9, version_of(5))
    assert lake.manifest(CLOSES, DAY) == published


def test_a_version_of_which_the_store_keeps_a_file_is_not_called_removed(faults: Faults, lake: Lake) -> None:
    folder = f"{DATA}/{put_version(lake, 1)}"
    faults.add("200 AccessDenied", r"POST .*\?delete")

    with pytest.raises(StorageError, match=f"{folder}: a was not removed: AccessDenied: not now"):
        lake.storage.delete_folder(folder)


def test_an_attempt_whose_answers_were_all_lost_has_published_and_the_next_one_replaces_it(
    faults: Faults, lake: Lake
) -> None:
    point_to(lake, token=4)
    faults.add(LOSE_ANSWER, f"PUT .*/{POINTER}", times=ASKED_AT_ONCE)

    with pytest.raises(StorageError, match=POINTER):
        point_to(lake, token=5)
    after_the_first = lake.manifest(CLOSES, DAY)
    after_the_second = point_to(lake, token=6)

    assert after_the_first
    assert (after_the_first.version, after_the_first.previous_version) == (version_of(5), version_of(4))
    assert (after_the_second.version, after_the_second.previous_version) == (version_of(6), version_of(5))
