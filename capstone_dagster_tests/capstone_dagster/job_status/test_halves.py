"""A run of daily_pipeline as an attempt at each of its halves, judged by the half's own steps."""

import uuid
from datetime import timedelta

import pytest
from dagster._core.execution.api import create_execution_plan

from capstone_dagster.assets.jobs import HALVES, JobName
from capstone_dagster.definitions import defs
from capstone_dagster.run_tags import OUTSIDE_TAG
from capstone_dagster.tracker import Tracker
from capstone_dagster_tests.builders.run_histories import (
    CANCELED,
    CANCELING,
    FAILURE,
    FIRST_EVENT,
    QUEUED,
    STARTED,
    STARTING,
    SUCCESS,
    Event,
    Histories,
    began,
    did,
    did_half,
    failed,
)

PREPROCESSING, ANALYTICAL = "preprocessing_2020-08-06", "analytical_2020-08-06"
STEPS_BEFORE_WAREHOUSE = [step for steps in HALVES.values() for step in steps if step != "warehouse"]


def stands(tracker: Tracker) -> tuple[str | None, str | None]:
    """The status of preprocessing and of analytical; None for no attempt."""
    attempts = [tracker.history(half) for half in (PREPROCESSING, ANALYTICAL)]
    assert all(len(of_half) <= 1 for of_half in attempts)
    preprocessing, analytical = [of_half[0].status if of_half else None for of_half in attempts]
    return preprocessing, analytical


@pytest.mark.parametrize("half", list(HALVES))
def test_a_half_has_the_steps_of_the_job_of_its_name(half: JobName) -> None:
    steps = {step.key for step in create_execution_plan(defs.resolve_job_def(half)).get_all_steps_in_topo_order()}

    assert set(HALVES[half]) == steps


def test_the_halves_are_all_there_is_in_the_whole() -> None:
    steps = sorted(
        step.key for step in create_execution_plan(defs.resolve_job_def("daily_pipeline")).get_all_steps_in_topo_order()
    )

    assert sorted(step for half in HALVES.values() for step in half) == steps


@pytest.mark.parametrize(
    ("events", "preprocessing", "analytical"),
    [
        pytest.param([], "NOT_STARTED", "NOT_STARTED", id="created"),
        pytest.param([QUEUED], "QUEUED", "QUEUED", id="waiting"),
        pytest.param([STARTING], "STARTING", "QUEUED", id="starting"),
        pytest.param([STARTED], "STARTED", "QUEUED", id="before the first step"),
        pytest.param([STARTED, CANCELING], "CANCELING", "CANCELING", id="being canceled before the first step"),
        pytest.param([STARTED, began("ingested__events")], "STARTED", "QUEUED", id="in the first step"),
        pytest.param([STARTED, *did("ingested__events")], "STARTED", "QUEUED", id="between two steps"),
        pytest.param([STARTED, *did("ingested__events")], "STARTED", "QUEUED", id="one step is missing"),
        pytest.param([STARTED, failed("eod")], "FAILURE", "QUEUED", id="a step failed and the run has not ended yet"),
        pytest.param([STARTED, failed("eod"), began("eod")], "STARTED", "QUEUED", id="a step is tried again"),
        pytest.param([STARTED, *did_half("preprocessing")], "SUCCESS", "QUEUED", id="between the halves"),
        pytest.param(
            [STARTED, *did_half("preprocessing"), began("report")], "SUCCESS", "STARTED", id="in the second half"
        ),
        pytest.param(
            [STARTED, *did_half("preprocessing"), began("report"), CANCELING],
            "SUCCESS",
            "CANCELING",
            id="being canceled in the second half",
        ),
        pytest.param(
            [STARTED, *did_half("preprocessing"), *did_half("analytical")], "SUCCESS", "SUCCESS", id="about to end"
        ),
    ],
)
def test_halves_of_a_run_that_goes_on(
    histories: Histories, tracker: Tracker, events: list[Event], preprocessing: str, analytical: str
) -> None:
    histories.run("daily_pipeline", *events)

    assert stands(tracker) == (preprocessing, analytical)


@pytest.mark.parametrize(
    ("events", "preprocessing", "analytical"),
    [
        pytest.param([FAILURE], None, None, id="failed before the first step"),
        pytest.param([STARTED, CANCELING, CANCELED], None, None, id="canceled before the first step"),
        pytest.param([STARTED, failed("ingested__events"), FAILURE], "FAILURE", None, id="the first half failed"),
        pytest.param([STARTED, began("eod"), FAILURE], "FAILURE", None, id="killed in the first half"),
        pytest.param([STARTED, *did("eod"), FAILURE], "FAILURE", None, id="killed between two steps"),
        pytest.param([STARTED, began("eod"), CANCELING, CANCELED], "CANCELED", None, id="canceled in the first half"),
        pytest.param([STARTED, *did_half("preprocessing"), FAILURE], "SUCCESS", None, id="killed between the halves"),
        pytest.param(
            [STARTED, *did_half("preprocessing"), began("report"), FAILURE],
            "SUCCESS",
            "FAILURE",
            id="killed in the second half",
        ),
        pytest.param(
            [STARTED, *did(*STEPS_BEFORE_WAREHOUSE), failed("warehouse"), FAILURE],
            "SUCCESS",
            "FAILURE",
            id="the warehouse failed",
        ),
        pytest.param(
            [STARTED, *did_half("preprocessing"), failed("report"), FAILURE],
            "SUCCESS",
            "FAILURE",
            id="the second half failed",
        ),
        pytest.param(
            [STARTED, *did_half("preprocessing"), *did_half("analytical"), SUCCESS], "SUCCESS", "SUCCESS", id="well"
        ),
    ],
)
def test_halves_of_a_run_that_has_ended(
    histories: Histories, tracker: Tracker, events: list[Event], preprocessing: str | None, analytical: str | None
) -> None:
    histories.run("daily_pipeline", *events)

    assert stands(tracker) == (preprocessing, analytical)


def test_without_a_warehouse_the_second_half_is_done_with_its_tables_and_checks(
    histories: Histories, tracker: Tracker
) -> None:
    steps = STEPS_BEFORE_WAREHOUSE
    histories.run("daily_pipeline", STARTED, *did(*steps), only_steps=steps)

    assert stands(tracker) == ("SUCCESS", "SUCCESS")


def test_a_retry_that_loads_the_warehouse_makes_the_second_half_a_success(
    histories: Histories, tracker: Tracker
) -> None:
    first = histories.run("daily_pipeline", STARTED, *did(*STEPS_BEFORE_WAREHOUSE), failed("warehouse"), FAILURE)
    histories.run(
        "daily_pipeline",
        STARTED,
        *did("warehouse"),
        SUCCESS,
        only_steps=["warehouse"],
        tags=FROM_FAILURE,
        parent=first,
    )

    found = [tracker.get_job_status(job) for job in ("daily_pipeline_2020-08-06", ANALYTICAL, PREPROCESSING)]
    assert [(job.status, job.attempts) for job in found] == [("SUCCESS", 2), ("SUCCESS", 2), ("SUCCESS", 1)]


def test_a_half_that_is_done_is_as_old_as_its_last_step(histories: Histories, tracker: Tracker) -> None:
    run_id = histories.run("daily_pipeline", STARTED, *did_half("preprocessing"), began("report"), SUCCESS)

    found = tracker.get_job_status(PREPROCESSING)

    four_step_events_later = FIRST_EVENT + timedelta(minutes=4)
    assert (found.run_id, found.updated_time, found.attempts) == (run_id, four_step_events_later, 1)


def test_a_half_that_goes_on_is_as_old_as_the_status_of_the_run(histories: Histories, tracker: Tracker) -> None:
    histories.run("daily_pipeline", STARTING, STARTED, *did("ingested__events"))

    assert tracker.get_job_status(PREPROCESSING).updated_time == FIRST_EVENT + timedelta(minutes=1)


def test_a_half_that_failed_says_why(histories: Histories, tracker: Tracker) -> None:
    histories.run("daily_pipeline", STARTED, failed("ingested__events", "no raw files"), FAILURE)

    assert tracker.get_job_status(PREPROCESSING).error == "no raw files"


def test_a_half_that_went_well_has_no_error_of_the_other(histories: Histories, tracker: Tracker) -> None:
    histories.run("daily_pipeline", STARTED, *did_half("preprocessing"), failed("report", "disk full"), FAILURE)

    assert tracker.get_job_status(PREPROCESSING).error is None
    assert tracker.get_job_status(ANALYTICAL).error == "disk full"


def test_an_attempt_at_a_half_names_the_job_of_its_run(histories: Histories, tracker: Tracker) -> None:
    histories.run("preprocessing", STARTED, SUCCESS)
    histories.run("daily_pipeline", STARTED, began("eod"))

    assert [attempt.run_job for attempt in tracker.history(PREPROCESSING)] == ["preprocessing", "daily_pipeline"]


def test_the_whole_is_no_matter_of_the_halves_runs(histories: Histories, tracker: Tracker) -> None:
    histories.run("preprocessing", STARTED, SUCCESS)
    histories.run("analytical", STARTED, SUCCESS)

    assert tracker.history("daily_pipeline_2020-08-06") == []


def test_a_half_in_progress_in_the_whole_speaks_before_a_later_run_of_its_own(
    histories: Histories, tracker: Tracker
) -> None:
    whole = histories.run("daily_pipeline", STARTED, began("ingested__events"))
    histories.run("preprocessing", STARTED, FAILURE)

    found = tracker.get_job_status(PREPROCESSING)

    assert (found.run_id, found.status, found.attempts) == (whole, "STARTED", 2)


@pytest.mark.parametrize("end", [STARTED, CANCELING, CANCELED, FAILURE, SUCCESS])
def test_work_outside_dagster_has_no_steps_and_answers_for_both_halves(
    histories: Histories, tracker: Tracker, end: Event
) -> None:
    run_id = str(uuid.uuid4())
    histories.run("daily_pipeline", STARTED, end, run_id=run_id, tags={OUTSIDE_TAG: run_id})

    status = tracker.get_job_status("daily_pipeline_2020-08-06").status
    assert stands(tracker) == (status, status)


def test_a_retry_with_the_tags_of_work_outside_dagster_is_judged_by_its_steps(
    histories: Histories, tracker: Tracker
) -> None:
    histories.run("daily_pipeline", STARTED, *did_half("preprocessing"), FAILURE, tags={OUTSIDE_TAG: "another run"})

    assert stands(tracker) == ("SUCCESS", None)


FROM_FAILURE = {"dagster/is_resume_retry": "true"}


def test_a_retry_that_did_the_missing_steps_of_a_half_did_the_half(histories: Histories, tracker: Tracker) -> None:
    missing = ["eod", *HALVES["analytical"]]
    happened = [STARTED, *did("eod"), failed("report"), FAILURE]
    histories.run("daily_pipeline", *happened, only_steps=missing, tags=FROM_FAILURE, parent="deleted since")

    assert stands(tracker) == ("SUCCESS", "FAILURE")


def test_a_retry_of_one_half_is_no_attempt_at_the_other(histories: Histories, tracker: Tracker) -> None:
    histories.run(
        "daily_pipeline",
        STARTED,
        began("report"),
        only_steps=HALVES["analytical"],
        tags=FROM_FAILURE,
        parent="deleted since",
    )

    assert stands(tracker) == (None, "STARTED")
