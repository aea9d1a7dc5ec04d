"""Work outside Dagster as the tracker records it, and runs whose process is gone."""

import subprocess
import sys
from datetime import UTC, date, datetime

import dagster as dg
import pytest

from capstone_dagster.definitions import code_location
from capstone_dagster.runs import outside_run
from capstone_dagster.runs.day_slot import SlotTakenError
from capstone_dagster.runs.worker import Worker
from capstone_dagster.settings import Settings
from capstone_dagster.tracker import JobIdError, Tracker
from capstone_dagster_tests.builders.run_histories import CANCELING, QUEUED, STARTED, Event, Histories
from capstone_dagster_tests.servers.job_status_database import Database

ID = "preprocessing_2020-08-06"


@pytest.fixture
def instance(database: Database) -> dg.DagsterInstance:
    """Statuses are read from Postgres."""
    return database.instance


@pytest.fixture(scope="module")
def gone() -> Worker:
    """A process of this host that has ended."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        worker = Worker.process(process.pid)
        assert not worker.is_dead
    return worker


@pytest.mark.parametrize(("started", "ended"), [("STARTED", "SUCCESS"), ("started", "success"), ("Started", "Success")])
def test_work_outside_dagster_begins_and_ends(tracker: Tracker, started: str, ended: str) -> None:
    before = datetime.now(UTC)

    begun = tracker.update_job_status(ID, started)
    done = tracker.update_job_status(ID, ended, "published 120 rows")

    assert (begun.job_id, begun.status, begun.attempts, begun.error) == (ID, "STARTED", 1, None)
    assert (done.job_id, done.status, done.attempts, done.error) == (ID, "SUCCESS", 1, None)
    assert done.run_id == begun.run_id
    assert before <= begun.updated_time <= done.updated_time <= datetime.now(UTC)
    assert tracker.get_job_status(ID) == done


@pytest.mark.parametrize("status", ["FAILURE", "failure"])
def test_work_that_failed_has_the_reason_that_was_given(tracker: Tracker, status: str) -> None:
    tracker.update_job_status(ID, "STARTED")

    failed = tracker.update_job_status(ID, status, "spark-submit ended with exit code 3")

    assert (failed.status, failed.error) == ("FAILURE", "spark-submit ended with exit code 3")


@pytest.mark.parametrize("status", ["", "DONE", "QUEUED", "CANCELED", "STARTED "])
def test_no_other_status_can_be_set(tracker: Tracker, status: str) -> None:
    with pytest.raises(JobIdError) as refused:
        tracker.update_job_status(ID, status)

    assert str(refused.value) == f"{status!r} cannot be set; use STARTED, SUCCESS or FAILURE"
    assert tracker.history(ID) == []


@pytest.mark.parametrize("status", ["SUCCESS", "FAILURE"])
def test_a_result_without_a_beginning_begins_and_ends_at_once(tracker: Tracker, status: str) -> None:
    found = tracker.update_job_status(ID, status, "loaded by hand")

    assert (found.status, found.attempts) == (status, 1)
    assert found.error == ("loaded by hand" if status == "FAILURE" else None)
    assert tracker.history(ID)[0].started


def test_a_second_result_is_a_second_attempt(tracker: Tracker) -> None:
    tracker.update_job_status(ID, "FAILURE", "out of disk")

    found = tracker.update_job_status(ID, "SUCCESS")

    assert (found.status, found.attempts) == ("SUCCESS", 2)


@pytest.mark.parametrize("status", ["STARTED", "SUCCESS", "FAILURE"])
@pytest.mark.parametrize("other", ["daily_pipeline", "preprocessing", "analytical"])
def test_work_is_refused_while_dagster_works_on_the_day(
    histories: Histories, tracker: Tracker, other: str, status: str
) -> None:
    run_id = histories.run(other, STARTED)

    with pytest.raises(SlotTakenError) as refused:
        tracker.update_job_status(ID, status)

    assert refused.value.run_id == run_id
    assert str(refused.value) == (
        f"2020-08-06 is being worked on by {other}_2020-08-06 (STARTED since 22:00:00 UTC, run {run_id}); "
        "wait until it has ended, or stop it in the UI"
    )
    assert len(histories.instance.get_runs()) == 1


def test_a_second_beginning_says_that_the_first_goes_on(tracker: Tracker) -> None:
    begun = tracker.update_job_status(ID, "STARTED")

    again = tracker.update_job_status(ID, "STARTED")

    assert (again.status, again.run_id, again.attempts) == ("STARTED", begun.run_id, 1)
    assert again.worker == "outside Dagster"


def test_a_beginning_is_refused_while_a_process_of_ours_does_the_same_work(
    histories: Histories, tracker: Tracker
) -> None:
    form, settings = code_location().get_reconstructable_job("preprocessing"), Settings.from_environment()
    run = outside_run.begin(histories.instance, form, date(2020, 8, 6), settings=settings, worker=Worker.process())

    with pytest.raises(SlotTakenError, match=rf"{ID} \(STARTED since \d\d:\d\d:\d\d UTC, run {run.run_id}\)"):
        tracker.update_job_status(ID, "STARTED")


def test_a_result_gives_the_slot_of_the_day_back(tracker: Tracker) -> None:
    tracker.update_job_status(ID, "STARTED")
    tracker.update_job_status(ID, "SUCCESS")

    assert tracker.update_job_status("analytical_2020-08-06", "STARTED").status == "STARTED"


def test_other_days_and_runs_that_wait_are_in_nobody_s_way(histories: Histories, tracker: Tracker) -> None:
    histories.run("daily_pipeline", STARTED, day=date(2020, 8, 7))
    histories.run("daily_pipeline", QUEUED)

    assert tracker.update_job_status(ID, "STARTED").status == "STARTED"


def test_a_result_is_not_that_of_another_job_of_the_day(tracker: Tracker) -> None:
    begun = tracker.update_job_status("analytical_2020-08-06", "STARTED")

    with pytest.raises(SlotTakenError, match=f"analytical_2020-08-06 .* run {begun.run_id}"):
        tracker.update_job_status(ID, "SUCCESS")


def test_the_whole_done_outside_dagster_is_an_attempt_at_both_halves(tracker: Tracker) -> None:
    done = tracker.update_job_status("daily_pipeline_2020-08-06", "SUCCESS")

    jobs = {job.job_id: (job.status, job.run_id) for job in tracker.latest(days=1)}

    ids = ("daily_pipeline_2020-08-06", ID, "analytical_2020-08-06")
    assert jobs == dict.fromkeys(ids, ("SUCCESS", done.run_id))


def test_work_that_was_ended_by_force_meanwhile_stays_as_it_was_ended(histories: Histories, tracker: Tracker) -> None:
    begun = tracker.update_job_status(ID, "STARTED")
    run = histories.instance.get_run_by_id(begun.run_id)
    assert run
    histories.instance.report_run_failed(run, "ended in the UI")

    assert not outside_run.end(histories.instance, run, succeeded=True, reason=None)

    found = tracker.get_job_status(ID)
    assert (found.status, found.error, found.attempts) == ("FAILURE", "ended in the UI", 1)


@pytest.mark.parametrize("result", ["SUCCESS", "FAILURE"])
def test_work_that_was_asked_to_stop_ends_as_canceled(histories: Histories, tracker: Tracker, result: str) -> None:
    begun = tracker.update_job_status(ID, "STARTED")
    run = histories.instance.get_run_by_id(begun.run_id)
    assert run
    histories.instance.report_run_canceling(run)

    found = tracker.update_job_status(ID, result, "stopped by SIGTERM")

    assert (found.status, found.error, found.attempts) == ("CANCELED", "stopped by SIGTERM", 1)


def test_work_whose_process_may_come_and_go_holds_its_slot_until_its_result(tracker: Tracker) -> None:
    begun = tracker.update_job_status(ID, "STARTED")

    assert Worker.of(tracker._instance.get_run_by_id(begun.run_id)) is None  # type: ignore[arg-type]


@pytest.mark.parametrize(("last", "end"), [(STARTED, "FAILURE"), (CANCELING, "CANCELED")])
def test_a_run_whose_process_is_gone_has_ended_with_it(
    histories: Histories, tracker: Tracker, gone: Worker, last: Event, end: str
) -> None:
    histories.run("preprocessing", STARTED, last, run_id="killed", tags=gone.signature("killed"))

    found = tracker.get_job_status(ID)

    said = f"{gone}, which worked on this run, is gone without a result"
    assert (found.status, found.error) == (end, said)
    run = histories.instance.get_run_by_id("killed")
    assert run
    assert run.status.value == end


def test_the_latest_jobs_know_that_a_process_is_gone(histories: Histories, tracker: Tracker, gone: Worker) -> None:
    histories.run("preprocessing", STARTED, run_id="killed", tags=gone.signature("killed"))

    assert [job.status for job in tracker.latest(days=1)] == ["FAILURE"]


def test_a_run_whose_process_is_gone_holds_no_slot(histories: Histories, tracker: Tracker, gone: Worker) -> None:
    histories.run("preprocessing", STARTED, run_id="killed", tags=gone.signature("killed"))

    begun = tracker.update_job_status(ID, "STARTED")

    assert [attempt.status for attempt in tracker.history(ID)] == ["FAILURE", "STARTED"]
    assert begun.attempts == 2


def test_a_signature_copied_from_another_run_is_nobody_s(histories: Histories, tracker: Tracker, gone: Worker) -> None:
    histories.run("preprocessing", STARTED, run_id="retry", tags=gone.signature("killed"))

    assert tracker.get_job_status(ID).status == "STARTED"


@pytest.mark.parametrize("host", [None, "another-host"])
def test_a_run_whose_process_may_live_goes_on(
    histories: Histories, tracker: Tracker, gone: Worker, host: str | None
) -> None:
    worker = Worker(host, gone.pid, gone.started) if host else Worker.process()
    histories.run("preprocessing", STARTED, run_id="alive", tags=worker.signature("alive"))

    assert tracker.get_job_status(ID).status == "STARTED"
