"""Whether a report was made from what is published now, and whether it is made again: once for every state."""

from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from capstone_dagster.automation.needed_runs import Verdict
from capstone_dagster_tests.builders.hand_made_days import (
    FRIDAY,
    THURSDAY,
    HandMadeDays,
    HandMadeRun,
    pointer,
)
from capstone_dagster_tests.builders.run_histories import CANCELED, CANCELING, FAILURE, STARTED, STARTING, Event
from spark_code.lake import LakeError
from spark_code.schemas import CLOSES, DAILY_SUMMARY, QUOTE_ANALYTICS, TRADES


@pytest.fixture
def days(days: HandMadeDays) -> HandMadeDays:
    """Thursday and Friday are published."""
    for day in (THURSDAY, FRIDAY):
        days.ran("daily_pipeline", day)
    return days


def judged(days: HandMadeDays) -> Verdict:
    """The Friday, after something was published."""
    return days.judge().closes(FRIDAY, THURSDAY)


def delete(days: HandMadeDays, *objects: str) -> None:
    days.lake.storage.delete(list(objects))


def with_the_same_closes(days: HandMadeDays) -> None:
    days.ran("preprocessing", THURSDAY, "quotes corrected", price="10")


def with_other_closes(days: HandMadeDays) -> None:
    days.ran("preprocessing", THURSDAY, "trades corrected", price="11")


def loaded_again(days: HandMadeDays) -> None:
    days.ran("preprocessing", FRIDAY)


def half_loaded(days: HandMadeDays) -> None:
    kept = days.lake.storage.read(pointer(TRADES, FRIDAY))
    assert kept
    loaded_again(days)
    days.lake.storage.write(pointer(TRADES, FRIDAY), kept)


def half_reported(days: HandMadeDays) -> None:
    kept = days.lake.storage.read(pointer(DAILY_SUMMARY, FRIDAY))
    assert kept
    with_other_closes(days)
    days.ran("analytical", FRIDAY)
    days.lake.storage.write(pointer(DAILY_SUMMARY, FRIDAY), kept)


def without(*objects: str) -> Callable[[HandMadeDays], None]:
    return lambda days: delete(days, *objects)


def made_without_closes(days: HandMadeDays) -> None:
    """As --allow-missing-closes does; they came later."""
    run = days.started("analytical", FRIDAY)
    run.reports({table: version for table, version in run.reads().items() if table != CLOSES.path})
    run.ends()


STATES = [
    pytest.param(without(), "current", id="nothing happened"),
    pytest.param(with_the_same_closes, "current", id="the same closes, published again"),
    pytest.param(with_other_closes, "outdated", id="other closes"),
    pytest.param(made_without_closes, "outdated", id="made without closes, which are there"),
    pytest.param(half_reported, "outdated", id="other closes, half of it made again"),
    pytest.param(loaded_again, "outdated", id="loaded again"),
    pytest.param(half_loaded, "waiting", id="loaded by halves"),
    pytest.param(without(pointer(QUOTE_ANALYTICS, FRIDAY)), "outdated", id="no quote analytics"),
    pytest.param(without(pointer(DAILY_SUMMARY, FRIDAY)), "outdated", id="no daily summary"),
    pytest.param(without(pointer(TRADES, FRIDAY)), "waiting", id="no trades"),
    pytest.param(without(pointer(CLOSES, THURSDAY)), "waiting", id="no closes"),
]


@pytest.mark.parametrize(("happened", "state"), STATES)
def test_the_state_of_a_report(days: HandMadeDays, happened: Callable[[HandMadeDays], None], state: str) -> None:
    happened(days)
    assert days.judge().report(FRIDAY, THURSDAY) == state


def test_a_report_of_the_first_day_needs_no_closes(days: HandMadeDays) -> None:
    assert days.judge().report(THURSDAY, None) == "current"
    days.ran("preprocessing", THURSDAY)
    assert days.judge().report(THURSDAY, None) == "outdated"


def test_a_broken_manifest_is_an_error_for_who_asks_for_the_state_and_a_reason_in_a_verdict(days: HandMadeDays) -> None:
    days.lake.storage.write(pointer(CLOSES, THURSDAY), b"{")
    with pytest.raises(LakeError, match="is no manifest"):
        days.judge().report(FRIDAY, THURSDAY)
    assert (judged(days).job, judged(days).is_settled) == (None, False)
    assert "2020-09-04 cannot be judged: " in judged(days).reason


# --- made again, once ---


def asked_again(days: HandMadeDays) -> HandMadeRun:
    """The run that the verdict asks for, in the queue."""
    verdict = judged(days)
    assert verdict.job == "analytical", verdict.reason
    assert verdict.run_key
    return days.queued("analytical", FRIDAY, tags={"dagster/run_key": verdict.run_key})


def test_a_report_whose_closes_changed_is_made_again_once(days: HandMadeDays) -> None:
    with_other_closes(days)
    assert judged(days).reason == ("analytical_2020-09-04 is run: its report was made from other closes of 2020-09-03")
    run = asked_again(days)
    assert (judged(days).job, judged(days).is_settled) == (None, False)
    run.starts()
    assert (judged(days).job, judged(days).is_settled) == (None, False)
    run.reports()
    run.ends()
    assert (judged(days).job, judged(days).is_settled) == (None, True)


@pytest.mark.parametrize("end", [(STARTING, STARTED, FAILURE), (STARTING, STARTED, CANCELING, CANCELED), (CANCELED,)])
def test_what_was_tried_for_a_state_is_tried_again_only_for_another(days: HandMadeDays, end: tuple[Event, ...]) -> None:
    with_other_closes(days)
    run = asked_again(days)
    days.histories.happened(run.run_id, *end)

    verdict = judged(days)
    assert (verdict.job, verdict.is_settled) == (None, True)
    assert f"with these inputs (run {run.run_id})" in verdict.reason

    days.ran("preprocessing", THURSDAY, "trades corrected again", price="12")
    assert judged(days).job == "analytical"


def test_a_run_that_was_created_and_never_queued_does_not_count(days: HandMadeDays) -> None:
    with_other_closes(days)
    before = judged(days)
    assert before.run_key
    days.instance.add_run(dg.DagsterRun("analytical", tags={"dagster/run_key": before.run_key}))

    assert judged(days) == before


def test_a_report_that_failed_for_want_of_closes_is_made_when_they_come(days: HandMadeDays) -> None:
    kept = days.lake.storage.read(pointer(CLOSES, THURSDAY))
    assert kept
    delete(days, pointer(CLOSES, THURSDAY))
    run = days.started("daily_pipeline", FRIDAY)
    run.loads("B")
    run.ends(FAILURE)
    assert (judged(days).job, judged(days).is_settled) == (None, True)

    days.ran("preprocessing", THURSDAY)
    assert judged(days).job == "analytical"


def test_closes_that_changed_after_preprocessing_alone_are_no_decision_of_who_ran_it(days: HandMadeDays) -> None:
    loaded_again(days)
    assert "is left to who ran preprocessing alone" in judged(days).reason
    with_other_closes(days)
    assert judged(days).job == "analytical"


# --- the same rows ---


@pytest.mark.parametrize(
    ("files", "state"),
    [
        ([{"IBM": "10.000000", "GE": "1"}], "current"),
        ([{"GE": "1"}, {"IBM": "10"}], "current"),
        ([{"IBM": "10.000001", "GE": "1"}], "outdated"),
        ([{"IBM": "10"}], "outdated"),
        ([{"IBM": "10", "GE": "1", "F": "1"}], "outdated"),
        ([{"IBM": "10", "GE": "1"}, {"GE": "1"}], "outdated"),
        ([{"IBM": "1", "GE": "10"}], "outdated"),
        ([{}], "outdated"),
    ],
)
def test_closes_are_compared_row_by_row_in_no_order(
    days: HandMadeDays, files: list[dict[str, str]], state: str
) -> None:
    days.started("preprocessing", THURSDAY).loads(closes=[{"IBM": "10", "GE": "1"}])
    days.started("analytical", FRIDAY).reports()
    days.started("preprocessing", THURSDAY).loads(closes=files)
    assert days.judge().report(FRIDAY, THURSDAY) == state


def file_of(days: HandMadeDays, version: int) -> Path:
    """Of the closes of Thursday, the oldest version first."""
    return sorted(Path(days.lake.storage.root).glob(f"eod/closes/data/{THURSDAY}*/*/*.parquet"))[version]


def test_a_version_that_was_removed_has_other_rows(days: HandMadeDays) -> None:
    with_the_same_closes(days)
    file_of(days, 0).unlink()
    assert days.judge().report(FRIDAY, THURSDAY) == "outdated"


def test_a_version_that_cannot_be_read_has_other_rows(days: HandMadeDays) -> None:
    with_the_same_closes(days)
    file_of(days, 0).write_bytes(b"no parquet")
    assert days.judge().report(FRIDAY, THURSDAY) == "outdated"


@pytest.mark.parametrize(
    ("damage", "told"),
    [(Path.unlink, "is gone"), (lambda path: path.write_bytes(b"no parquet"), "cannot be read")],
    ids=["gone", "broken"],
)
def test_published_closes_that_cannot_be_read_are_told(
    days: HandMadeDays, damage: Callable[[Path], object], told: str
) -> None:
    with_the_same_closes(days)
    published = file_of(days, 1)
    damage(published)

    verdict = judged(days)

    assert (verdict.job, verdict.is_settled) == (None, False)
    assert f"2020-09-04 cannot be judged: {published} {told}" in verdict.reason
