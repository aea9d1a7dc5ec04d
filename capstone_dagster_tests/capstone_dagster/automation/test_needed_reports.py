"""Whether a report was made from what is published now, and whether it is made again: once for every state."""

from collections.abc import Callable

import dagster as dg
import pytest

from capstone_dagster.automation.needed_runs import Decision
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


def judged(days: HandMadeDays) -> Decision:
    """The Friday, after something was published."""
    return days.judge().closes(FRIDAY, THURSDAY)


def delete(days: HandMadeDays, *objects: str) -> None:
    days.lake.storage.delete(list(objects))


def with_the_same_closes(days: HandMadeDays) -> None:
    days.ran("preprocessing", THURSDAY, "quotes corrected", price="10")


def with_the_same_closes_as_before_the_last(days: HandMadeDays) -> None:
    for price in ("11", "10"):
        days.ran("preprocessing", THURSDAY, f"trades at {price}", price=price)


def with_closes_of_an_older_release(days: HandMadeDays) -> None:
    days.ran("preprocessing", THURSDAY, price=None)


def all_of_it_of_an_older_release(days: HandMadeDays) -> None:
    with_closes_of_an_older_release(days)
    days.ran("daily_pipeline", FRIDAY)


def with_closes_where_those_before_were_of_an_older_release(days: HandMadeDays) -> None:
    all_of_it_of_an_older_release(days)
    with_the_same_closes(days)


def made_again_from_them(days: HandMadeDays) -> None:
    with_closes_where_those_before_were_of_an_older_release(days)
    days.ran("analytical", FRIDAY)
    with_the_same_closes(days)


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
    pytest.param(with_the_same_closes_as_before_the_last, "current", id="the same closes, and others in between"),
    pytest.param(all_of_it_of_an_older_release, "current", id="the very version, with no digest"),
    pytest.param(with_closes_of_an_older_release, "outdated", id="closes of which no digest is known"),
    pytest.param(
        with_closes_where_those_before_were_of_an_older_release, "outdated", id="made from such as have no digest"
    ),
    pytest.param(made_again_from_them, "current", id="and made again, once"),
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


def test_whether_closes_have_changed_is_known_without_their_files(days: HandMadeDays) -> None:
    with_the_same_closes(days)
    assert days.lake.storage.objects("eod/closes/data") == []
    assert judged(days).reason == "2020-09-04 is up to date"


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
    """The run that the decision asks for, in the queue."""
    decision = judged(days)
    assert decision.job == "analytical", decision.reason
    assert decision.run_key
    return days.queued("analytical", FRIDAY, tags={"dagster/run_key": decision.run_key})


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

    decision = judged(days)
    assert (decision.job, decision.is_settled) == (None, True)
    assert f"with these inputs (run {run.run_id})" in decision.reason

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
