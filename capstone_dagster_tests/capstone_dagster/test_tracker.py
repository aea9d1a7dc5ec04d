"""The job tracker's ids, and where jobs stand after histories of runs."""

from collections.abc import Callable
from datetime import UTC, date, timedelta
from typing import Any

import dagster as dg
import pytest

from capstone_dagster.job_status.attempts import NoPostgresError
from capstone_dagster.runs.worker import Worker
from capstone_dagster.tracker import JobAttempt, JobIdError, JobStatus, NeverRunError, Tracker
from capstone_dagster.trading_days import NoTradingDayError
from capstone_dagster_tests.builders.run_histories import (
    CANCELED,
    CANCELING,
    DAY,
    FAILURE,
    FIRST_EVENT,
    QUEUED,
    STARTED,
    STARTING,
    SUCCESS,
    Event,
    Histories,
    did_half,
    failed,
)
from capstone_dagster_tests.servers.job_status_database import Database

ID = "preprocessing_2020-08-06"
NEXT_DAY, LATER_DAY = date(2020, 8, 7), date(2020, 8, 10)
VERBS: list[Callable[[Tracker, str], Any]] = [
    Tracker.get_job_status,
    Tracker.history,
    lambda tracker, job_id: tracker.update_job_status(job_id, "SUCCESS"),
]


@pytest.fixture
def instance(database: Database) -> dg.DagsterInstance:
    """Statuses are read from Postgres."""
    return database.instance


@pytest.mark.parametrize("job", ["daily_pipeline", "preprocessing", "analytical"])
def test_a_job_id_is_the_job_and_the_day(tracker: Tracker, job: str) -> None:
    assert tracker.assign_job_id(job, date(2020, 8, 6)) == f"{job}_2020-08-06"
    assert tracker.assign_job_id(job, "2020-08-06") == f"{job}_2020-08-06"


@pytest.mark.parametrize(
    ("job", "day"),
    [("eod", "2020-08-06"), ("", "2020-08-06"), ("Preprocessing", "2020-08-06"), ("preprocessing", "20200806")],
)
def test_no_id_is_assigned_to_a_job_or_a_day_that_cannot_be(tracker: Tracker, job: str, day: str) -> None:
    with pytest.raises(JobIdError, match=f"'{job}_{day}' is not a job id"):
        tracker.assign_job_id(job, day)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(
    "text",
    [
        "",
        "preprocessing",
        "preprocessing_2020-8-6",
        "preprocessing-2020-08-06",
        "eod_2020-08-06",
        "_2020-08-06",
        f"{ID}\n",
    ],
)
def test_what_is_no_job_id_is_refused_with_its_form(
    tracker: Tracker, text: str, verb: Callable[[Tracker, str], Any]
) -> None:
    with pytest.raises(JobIdError) as refused:
        verb(tracker, text)

    assert str(refused.value) == (
        f"{text!r} is not a job id; it must be <job>_<yyyy-mm-dd> with a job of "
        "daily_pipeline, preprocessing, analytical"
    )


@pytest.mark.parametrize("verb", VERBS)
def test_a_day_that_the_calendar_does_not_have_is_no_date(
    tracker: Tracker, verb: Callable[[Tracker, str], Any]
) -> None:
    with pytest.raises(NoTradingDayError, match=r"^'2020-02-30' is not a date: .*; write yyyy-mm-dd$"):
        verb(tracker, "preprocessing_2020-02-30")


def test_an_instance_that_is_not_on_postgres_is_one_clear_error(in_memory: dg.DagsterInstance) -> None:
    with pytest.raises(NoPostgresError, match=r"^statuses of jobs need the run storage on Postgres, .*capstone exec"):
        Tracker(in_memory)


def test_a_job_that_has_never_been_run_says_so(histories: Histories, tracker: Tracker) -> None:
    histories.run("preprocessing", SUCCESS, day=NEXT_DAY)
    histories.run("analytical", SUCCESS)

    with pytest.raises(NeverRunError) as refused:
        tracker.get_job_status(ID)

    assert str(refused.value) == f"{ID} has never been run"
    assert tracker.history(ID) == []


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ([], "NOT_STARTED"),
        ([QUEUED], "QUEUED"),
        ([QUEUED, STARTING], "STARTING"),
        ([STARTING, STARTED], "STARTED"),
        ([STARTING, STARTED, CANCELING], "CANCELING"),
        ([STARTING, STARTED, CANCELING, CANCELED], "CANCELED"),
        ([STARTING, STARTED, FAILURE], "FAILURE"),
        ([STARTING, STARTED, SUCCESS], "SUCCESS"),
    ],
)
def test_a_job_with_one_run_stands_where_the_run_stands(
    histories: Histories, tracker: Tracker, events: list[Event], status: str
) -> None:
    histories.run("preprocessing", *events)

    assert tracker.get_job_status(ID).status == status


def test_a_status_says_since_when_by_which_run_and_after_how_many_attempts(
    histories: Histories, tracker: Tracker
) -> None:
    histories.run("preprocessing", STARTED, FAILURE)
    run_id = histories.run("preprocessing", STARTING, STARTED, SUCCESS)

    found = tracker.get_job_status(ID)

    assert found == JobStatus(ID, "SUCCESS", FIRST_EVENT + timedelta(minutes=4), run_id, attempts=2, error=None)
    assert found.updated_time.tzinfo == UTC


@pytest.mark.parametrize("end", [FAILURE, CANCELED])
def test_a_job_that_failed_or_was_canceled_says_why(histories: Histories, tracker: Tracker, end: Event) -> None:
    run_id = histories.run("preprocessing", STARTED, failed("eod", "no raw files of 2020-08-06"), end)

    assert tracker.get_job_status(ID).error == "no raw files of 2020-08-06"
    assert [tracker.reason(attempt) for attempt in tracker.history(ID)] == ["no raw files of 2020-08-06"]
    assert tracker.history(ID)[0].run_id == run_id


def test_the_error_of_an_earlier_attempt_is_not_that_of_the_job(histories: Histories, tracker: Tracker) -> None:
    histories.run("preprocessing", STARTED, failed("eod"), FAILURE)
    histories.run("preprocessing", STARTED)

    assert tracker.get_job_status(ID).error is None


def test_the_history_is_every_attempt_with_the_oldest_first(histories: Histories, tracker: Tracker) -> None:
    # Not failed: Dagster gives a run that has failed another tag, and the time of that as well.
    first = histories.run("preprocessing", STARTED, CANCELED)
    second = histories.run("preprocessing", QUEUED)
    histories.run("preprocessing", STARTED, day=NEXT_DAY)

    canceled, queued = tracker.history(ID)

    at = [FIRST_EVENT + timedelta(minutes=minutes) for minutes in range(3)]
    assert canceled == JobAttempt(ID, "CANCELED", first, "preprocessing", at[0], at[1], canceled.storage_id)
    assert queued == JobAttempt(ID, "QUEUED", second, "preprocessing", None, at[2], queued.storage_id)


@pytest.mark.parametrize("in_progress", [[STARTING], [STARTING, STARTED], [STARTED, CANCELING]])
@pytest.mark.parametrize("later", [[QUEUED], [STARTED, SUCCESS], [STARTED, FAILURE], []])
def test_an_attempt_in_progress_speaks_for_the_job_whatever_came_later(
    histories: Histories, tracker: Tracker, in_progress: list[Event], later: list[Event]
) -> None:
    speaks = histories.run("preprocessing", *in_progress)
    histories.run("preprocessing", *later)

    assert tracker.get_job_status(ID).run_id == speaks


def test_an_attempt_that_waits_speaks_for_the_job_before_those_that_have_ended(
    histories: Histories, tracker: Tracker
) -> None:
    waits = histories.run("preprocessing", QUEUED)
    histories.run("preprocessing", STARTED, SUCCESS)

    assert tracker.get_job_status(ID).run_id == waits


def test_of_ended_attempts_the_one_begun_last_speaks_for_the_job(histories: Histories, tracker: Tracker) -> None:
    waited = histories.run("preprocessing", QUEUED)
    overtook = histories.run("preprocessing", STARTED)
    histories.happened(waited, STARTED, FAILURE)
    histories.happened(overtook, SUCCESS)
    histories.run("preprocessing", QUEUED, CANCELED)  # never begun

    found = tracker.get_job_status(ID)

    assert (found.run_id, found.status, found.attempts) == (waited, "FAILURE", 3)


@pytest.mark.parametrize("ahead", [timedelta(0), timedelta(days=2)])
def test_a_failure_after_a_success_whose_clock_was_ahead_speaks_for_the_job(
    histories: Histories, tracker: Tracker, ahead: timedelta
) -> None:
    histories.now += ahead
    histories.run("preprocessing", STARTED, SUCCESS)
    histories.now -= ahead
    newer = histories.run("preprocessing", STARTED, failed("eod", "disk full"), FAILURE)

    found = tracker.get_job_status(ID)

    assert (found.status, found.run_id, found.error) == ("FAILURE", newer, "disk full")


def test_a_run_that_failed_before_it_began_speaks_for_the_job_and_one_that_was_canceled_before_does_not(
    histories: Histories, tracker: Tracker
) -> None:
    histories.run("preprocessing", STARTED, SUCCESS)
    not_launched = histories.run("preprocessing", QUEUED, STARTING, FAILURE)
    histories.run("preprocessing", QUEUED, STARTING, CANCELED)

    found = tracker.get_job_status(ID)

    assert (found.status, found.run_id, found.attempts) == ("FAILURE", not_launched, 3)


def test_a_run_that_was_recorded_as_canceled_and_whose_process_was_then_refused_shows_the_refusal(
    histories: Histories, tracker: Tracker
) -> None:
    zombie = histories.run("preprocessing", STARTED, CANCELING, CANCELED)
    histories.run("preprocessing", STARTED, SUCCESS)
    histories.happened(zombie, failed("eod", "attempt 1 was given up: it publishes nothing"))

    [canceled, _] = tracker.history(ID)

    reason = tracker.reason(canceled) or ""
    assert canceled.status == "CANCELED"
    assert reason.endswith("attempt 1 was given up: it publishes nothing")
    assert tracker.get_job_status(ID).status == "SUCCESS"


def test_a_status_says_all_that_is_known(histories: Histories, tracker: Tracker) -> None:
    worker = Worker("a-host:4026531836", 17, "1234")
    at = [FIRST_EVENT + timedelta(minutes=minutes) for minutes in range(3)]
    histories.run("preprocessing", STARTED, failed("eod"), FAILURE, run_id="signed", tags=worker.signature("signed"))

    found = tracker.get_job_status(ID)

    assert (found.job, found.trading_day) == ("preprocessing", DAY)
    assert (found.started, found.ended, found.seconds) == (at[0], at[2], 120)
    assert (found.worker, found.error, found.note) == ("process 17 on a-host", "no raw files", None)


ALL = [
    *("eod/closes", "eod/quotes", "eod/trades", "ingested/events"),
    *("report/bars", "report/daily_summary", "report/index", "report/page", "report/quote_analytics"),
]


def test_materialize_all_is_an_attempt_at_the_daily_pipeline_and_at_its_halves(
    histories: Histories, tracker: Tracker
) -> None:
    run_id = histories.run("__ASSET_JOB", STARTED, *did_half("preprocessing"), failed("report"), FAILURE, assets=ALL)

    assert [(job.job_id, job.status, job.run_id) for job in tracker.latest(days=1)] == [
        ("daily_pipeline_2020-08-06", "FAILURE", run_id),
        (ID, "SUCCESS", run_id),
        ("analytical_2020-08-06", "FAILURE", run_id),
    ]
    assert [attempt.run_job for attempt in tracker.history(ID)] == ["daily_pipeline"]


@pytest.mark.parametrize(("name", "assets"), [("__ASSET_JOB", ["eod/trades"]), ("preprocessing", ["eod/trades"])])
def test_a_run_of_a_part_never_claims_the_job_s_success_and_is_noted_beside_it(
    histories: Histories, tracker: Tracker, name: str, assets: list[str]
) -> None:
    part = histories.run(name, STARTED, SUCCESS, assets=assets)

    with pytest.raises(NeverRunError) as refused:
        tracker.get_job_status(ID)
    noted = f"run {part} of eod/trades alone: SUCCESS"
    assert str(refused.value) == f"{ID} has never been run as a whole ({noted})"

    histories.run("preprocessing", STARTED, FAILURE)
    assert tracker.get_job_status(ID).note is None  # what was before it is no news
    later = histories.run(name, STARTED, SUCCESS, assets=assets)

    found = tracker.get_job_status(ID)
    assert (found.status, found.attempts) == ("FAILURE", 1)
    assert found.note == f"run {later} of eod/trades alone: SUCCESS"
    with pytest.raises(NeverRunError, match=r"^analytical_2020-08-06 has never been run$"):
        tracker.get_job_status("analytical_2020-08-06")


def test_the_latest_are_the_jobs_of_the_last_days_with_runs_and_the_newest_day_is_first(
    histories: Histories, tracker: Tracker
) -> None:
    histories.run("analytical", STARTED, failed("report"), FAILURE, day=NEXT_DAY)
    histories.run("preprocessing", STARTED, SUCCESS, day=NEXT_DAY)
    histories.run("preprocessing", QUEUED, day=LATER_DAY)
    histories.run("preprocessing", STARTED, SUCCESS, day=DAY)
    histories.instance.add_run(dg.DagsterRun(job_name="preprocessing"))  # of no day

    ids = [job.job_id for job in tracker.latest(days=2)]

    assert ids == ["preprocessing_2020-08-10", "preprocessing_2020-08-07", "analytical_2020-08-07"]
    statuses = [(job.status, job.error) for job in tracker.latest(days=10)]
    assert statuses == [("QUEUED", None), ("SUCCESS", None), ("FAILURE", "no raw files"), ("SUCCESS", None)]


def test_without_runs_there_are_no_latest_jobs(tracker: Tracker) -> None:
    assert tracker.latest(days=10) == []


def test_a_run_of_a_day_that_the_calendar_does_not_have_is_no_job(histories: Histories, tracker: Tracker) -> None:
    histories.instance.add_run(dg.DagsterRun(job_name="preprocessing", tags={"dagster/partition": "2020-02-30"}))
    histories.run("preprocessing", STARTED, SUCCESS)

    assert [job.job_id for job in tracker.latest(days=10)] == [ID]
