"""Attempts that were given up: they cannot publish, however young their token is; all others can."""

import pytest

from capstone_dagster_tests.builders.closes import DAY, NEXT_DAY, POINTER, attempt, manifest_of, point_to
from spark_code.lake import Lake, LakeError, NotPublishedError, StaleAttemptError
from spark_code.schemas import CLOSES
from spark_code.storage import Storage

REFUSAL = "eod/closes of 2020-08-05: this attempt was given up, its rows are not published"


def test_a_day_of_which_only_attempts_were_given_up_is_not_published(any_lake: Lake) -> None:
    any_lake.give_up(CLOSES, DAY, attempt(1).name)

    assert any_lake.manifest(CLOSES, DAY) is None
    with pytest.raises(NotPublishedError):
        any_lake.require(CLOSES, DAY)


def test_an_attempt_that_was_given_up_cannot_publish_the_first_version(any_lake: Lake) -> None:
    any_lake.give_up(CLOSES, DAY, attempt(1).name)

    with pytest.raises(StaleAttemptError, match=REFUSAL):
        point_to(any_lake, token=1)

    assert any_lake.manifest(CLOSES, DAY) is None


def test_a_young_token_does_not_help_an_attempt_that_was_given_up(any_lake: Lake) -> None:
    point_to(any_lake, token=1)
    any_lake.give_up(CLOSES, DAY, attempt(9).name)

    with pytest.raises(StaleAttemptError, match=REFUSAL):
        point_to(any_lake, token=9)

    published = any_lake.manifest(CLOSES, DAY)
    assert published is not None
    assert published.version == manifest_of(1).version


def test_the_next_attempt_publishes_and_the_one_given_up_still_cannot(any_lake: Lake) -> None:
    any_lake.give_up(CLOSES, DAY, attempt(5).name)
    point_to(any_lake, token=2)

    with pytest.raises(StaleAttemptError, match=REFUSAL):
        point_to(any_lake, token=5)


def test_giving_up_keeps_what_is_published_and_other_days_free(any_lake: Lake) -> None:
    point_to(any_lake, token=1)
    any_lake.give_up(CLOSES, DAY, attempt(2).name)
    any_lake.give_up(CLOSES, DAY, attempt(2).name)
    point_to(any_lake, token=2, day=NEXT_DAY)

    published = any_lake.manifest(CLOSES, DAY)
    assert published is not None
    assert (published.version, published.given_up) == (manifest_of(1).version, [attempt(2).name])


def test_an_attempt_that_has_looked_already_is_refused_too(
    s3_storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given up between its look at the pointer and its put: the put fails, and it has to look again."""
    lake = Lake(s3_storage.root)
    looks: list[str] = []
    get = lake.storage._get

    def look_and_be_given_up(key: str) -> object:
        found = get(key)
        if not looks:
            looks.append(key)
            Lake(s3_storage.root).give_up(CLOSES, DAY, attempt(1).name)
        return found

    monkeypatch.setattr(lake.storage, "_get", look_and_be_given_up)
    with pytest.raises(StaleAttemptError, match=REFUSAL):
        point_to(lake, token=1)

    assert looks == [POINTER]


def test_a_pointer_that_cannot_be_read_is_named(local_lake: Lake) -> None:
    local_lake.storage.write(POINTER, b"no json")

    with pytest.raises(LakeError, match=r"2020-08-05\.json is no manifest: "):
        local_lake.give_up(CLOSES, DAY, attempt(1).name)
    with pytest.raises(LakeError, match=r"2020-08-05\.json is no manifest: "):
        point_to(local_lake, token=1)


def test_only_the_last_fifty_names_are_kept(local_lake: Lake) -> None:
    for token in range(1, 53):
        local_lake.give_up(CLOSES, DAY, attempt(token).name)

    published = point_to(local_lake, token=99)

    assert published.given_up == [attempt(token).name for token in range(3, 53)]
