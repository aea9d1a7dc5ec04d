"""How long work outside Dagster counts as going on when nobody hears of it, and who says that it is over."""

import logging
import re
import tempfile
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster._core.launcher import WorkerStatus
from dagster._core.run_coordinator import SubmitRunContext
from dagster._daemon.monitoring.run_monitoring import check_run_timeout
from dagster._daemon.run_coordinator import QueuedRunCoordinatorDaemon

from capstone_dagster.definitions import code_location
from capstone_dagster.runs import lease, outside_run
from capstone_dagster.runs.coordinator import DayRunCoordinator
from capstone_dagster.runs.day_slot import SlotTakenError
from capstone_dagster.runs.launcher import DayRunLauncher
from capstone_dagster.runs.unfinished_runs import unfinished_runs
from capstone_dagster.runs.worker import Worker
from capstone_dagster.settings import Settings
from capstone_dagster.tracker import Tracker
from capstone_dagster_tests.builders.runs import run_of, status_of
from capstone_dagster_tests.servers.platform import Platform

STATUS = dg.DagsterRunStatus
FIRST_DAY = date(2020, 8, 5)
DAY, OTHER_DAY = date(2020, 8, 6), date(2020, 8, 7)
ID = f"preprocessing_{DAY}"
NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
NOBODYS = SimpleNamespace(get_viewer_tags=dict)


class Clock(datetime):
    """The clock of those who judge leases."""

    shown = NOON

    @classmethod
    def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
        del tz
        return cls.shown


@pytest.fixture(scope="module")
def storage() -> Iterator[dg.DagsterInstance]:
    with tempfile.TemporaryDirectory() as home, Platform(Path(home), FIRST_DAY).instance() as instance:
        yield instance


@pytest.fixture
def instance(storage: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> dg.DagsterInstance:
    """As it is deployed, empty, and with a clock for leases that shows noon."""
    monkeypatch.setattr(lease, "datetime", Clock)
    monkeypatch.setattr(Clock, "shown", NOON)
    storage.wipe()
    return storage


@pytest.fixture
def tracker(instance: dg.DagsterInstance) -> Tracker:
    return Tracker(instance)


def after(minutes: float) -> None:
    Clock.shown += timedelta(minutes=minutes)


def may_start(instance: dg.DagsterInstance) -> list[str]:
    """The runs that Dagster's daemon would start now."""
    daemon = QueuedRunCoordinatorDaemon(interval_seconds=1)
    runs = daemon._get_runs_to_dequeue(instance, instance.get_concurrency_config(), fixed_iteration_time=None)
    return [run.run_id for run in runs]


def submitted(instance: dg.DagsterInstance, day: date, **facts: Any) -> dg.DagsterRun:
    """A run in the queue, as the webserver and the sensors put it there."""
    run = run_of(instance, day, STATUS.NOT_STARTED, job="daily_pipeline", **facts)
    return instance.run_coordinator.submit_run(SubmitRunContext(run, workspace=NOBODYS))  # type: ignore[arg-type]


def said(instance: dg.DagsterInstance, run: dg.DagsterRun) -> list[str]:
    return [entry.message for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)]


def began(instance: dg.DagsterInstance, job: str, *, worker: Worker | None) -> dg.DagsterRun:
    """Work outside Dagster on the day."""
    form, settings = code_location().get_reconstructable_job(job), Settings.from_environment()
    return outside_run.begin(instance, form, DAY, settings=settings, worker=worker)


def test_the_queue_of_the_deployed_instance_is_ours(instance: dg.DagsterInstance) -> None:
    assert isinstance(instance.run_coordinator, DayRunCoordinator)
    config = instance.get_concurrency_config().run_queue_config
    assert config
    assert config.max_concurrent_runs == 1
    assert [limit["key"] for limit in config.tag_concurrency_limits] == ["dagster/partition"]


@pytest.mark.parametrize("worker", [None, Worker.process()], ids=["by anybody", "by a process of ours"])
def test_work_outside_dagster_holds_its_own_day_and_nothing_else(
    instance: dg.DagsterInstance, worker: Worker | None
) -> None:
    began(instance, "preprocessing", worker=worker)
    submitted(instance, DAY)
    of_other_day = submitted(instance, OTHER_DAY)
    submitted(instance, date(2020, 8, 10))  # waits for the other day: one Spark at a time

    assert may_start(instance) == [of_other_day.run_id]


def test_a_run_of_dagster_holds_up_the_queue_as_configured_also_beside_outside_work(
    instance: dg.DagsterInstance, tracker: Tracker
) -> None:
    tracker.update_job_status(ID, "STARTED")
    run_of(instance, FIRST_DAY, STATUS.STARTED)
    submitted(instance, OTHER_DAY)

    assert may_start(instance) == []


@pytest.mark.parametrize("configured", [0, -1])
def test_a_queue_that_is_held_or_has_no_limit_stays_so(
    instance: dg.DagsterInstance, tracker: Tracker, configured: int
) -> None:
    tracker.update_job_status(ID, "STARTED")
    coordinator = DayRunCoordinator(max_concurrent_runs=configured)
    coordinator.register_instance(instance)

    assert coordinator.get_run_queue_config().max_concurrent_runs == configured


def test_who_waits_for_outside_work_reads_in_its_log_until_when_and_how_to_end_it(
    instance: dg.DagsterInstance, tracker: Tracker
) -> None:
    first = submitted(instance, DAY)
    begun = tracker.update_job_status(ID, "STARTED")
    second = submitted(instance, DAY)

    told = (
        f"Waits in the queue: preprocessing (run {begun.run_id}) works on this day outside Dagster, last heard of at "
        "2026-03-02 12:00:00 UTC. It counts as failed unless it is heard of again by 2026-03-02 12:30:00 UTC; to end "
        f"it now, stop its run in the UI, or call update_job_status('{ID}', 'FAILURE')"
    )
    assert [said(instance, run) for run in (first, second)] == [[f"{told}."], [f"{told}."]]


def test_who_is_refused_reads_until_when_the_lease_is_and_how_to_end_it(
    instance: dg.DagsterInstance, tracker: Tracker
) -> None:
    begun = tracker.update_job_status(ID, "STARTED")

    with pytest.raises(SlotTakenError) as refused:
        began(instance, "analytical", worker=Worker.process())

    message = re.sub(r"since \d\d:\d\d:\d\d UTC", "since ... UTC", str(refused.value))
    assert message == (
        f"{DAY} is being worked on by {ID} (STARTED since ... UTC, run {begun.run_id}) outside Dagster, last heard of "
        "at 2026-03-02 12:00:00 UTC. It counts as failed unless it is heard of again by 2026-03-02 12:30:00 UTC; to "
        f"end it now, stop its run in the UI, or call update_job_status('{ID}', 'FAILURE')"
    )


def test_work_that_is_not_heard_of_until_the_end_of_its_lease_has_failed(tracker: Tracker) -> None:
    begun = tracker.update_job_status(ID, "STARTED")
    after(minutes=30)
    assert tracker.get_job_status(ID).status == "STARTED"

    after(minutes=0.1)

    found = tracker.get_job_status(ID)
    assert (found.status, found.run_id) == ("FAILURE", begun.run_id)
    assert found.error == "not heard of since 2026-03-02 12:00:00 UTC (lease of 30 minutes)"


def test_work_that_is_heard_of_in_time_goes_on_as_the_same_attempt(tracker: Tracker) -> None:
    begun = tracker.update_job_status(ID, "STARTED")
    for _ in range(4):
        after(minutes=25)
        assert tracker.update_job_status(ID, "started") == tracker.get_job_status(ID)

    found = tracker.update_job_status(ID, "SUCCESS")
    assert (found.status, found.run_id, found.attempts) == ("SUCCESS", begun.run_id, 1)


def test_the_lease_is_a_setting(tracker: Tracker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPSTONE_LEASE_MINUTES", "0.5")
    tracker.update_job_status(ID, "STARTED")
    after(minutes=0.6)

    assert tracker.get_job_status(ID).error == "not heard of since 2026-03-02 12:00:00 UTC (lease of 0.5 minutes)"


def test_a_lease_from_a_clock_that_was_days_ahead_is_over_once_the_clock_is_right(tracker: Tracker) -> None:
    after(minutes=2 * 24 * 60)
    tracker.update_job_status(ID, "STARTED")
    after(minutes=-2 * 24 * 60)

    assert tracker.get_job_status(ID).status == "FAILURE"


def test_a_lease_copied_from_another_run_is_nobody_s(instance: dg.DagsterInstance, tracker: Tracker) -> None:
    begun = tracker.update_job_status(ID, "FAILURE")
    lost = instance.get_run_by_id(begun.run_id)
    assert lost
    retry = run_of(instance, DAY, STATUS.STARTED, tags={tag: lost.tags[tag] for tag in lost.tags if "lease" in tag})
    after(minutes=31)

    assert tracker.get_job_status(ID).run_id == retry.run_id
    assert status_of(instance, retry) == STATUS.STARTED


@pytest.mark.parametrize("looks", ["who wants the day", "run monitoring", "what runs by itself"])
def test_whoever_looks_finds_that_a_lease_is_over_and_gives_the_same_reason(
    instance: dg.DagsterInstance, tracker: Tracker, looks: str
) -> None:
    begun = tracker.update_job_status(ID, "STARTED")
    run = instance.get_run_by_id(begun.run_id)
    assert run
    launcher = instance.run_launcher
    assert isinstance(launcher, DayRunLauncher)
    assert launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING
    after(minutes=31)

    if looks == "who wants the day":
        began(instance, "analytical", worker=Worker.process())
    elif looks == "run monitoring":
        assert launcher.check_run_worker_health(run).status == WorkerStatus.FAILED
    else:
        assert unfinished_runs(instance) == []

    last = [entry.message for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.RUN_FAILURE)]
    assert last == ["not heard of since 2026-03-02 12:00:00 UTC (lease of 30 minutes)"]


def test_a_result_that_comes_late_and_before_anybody_has_looked_is_that_of_the_attempt(tracker: Tracker) -> None:
    begun = tracker.update_job_status(ID, "STARTED")
    after(minutes=45)

    found = tracker.update_job_status(ID, "SUCCESS")

    assert (found.status, found.run_id, found.attempts) == ("SUCCESS", begun.run_id, 1)


@pytest.mark.parametrize("again", ["STARTED", "SUCCESS", "FAILURE"])
def test_what_is_heard_of_work_that_was_recorded_as_failed_is_another_attempt(tracker: Tracker, again: str) -> None:
    begun = tracker.update_job_status(ID, "STARTED")
    after(minutes=45)
    assert tracker.get_job_status(ID).status == "FAILURE"

    found = tracker.update_job_status(ID, again)

    assert (found.status, found.attempts) == (again, 2)
    assert found.run_id != begun.run_id


def test_a_late_result_is_refused_and_not_lost_in_silence_while_another_run_works_on_the_day(
    instance: dg.DagsterInstance, tracker: Tracker
) -> None:
    tracker.update_job_status(ID, "STARTED")
    after(minutes=45)
    holds = began(instance, "preprocessing", worker=Worker.process())

    with pytest.raises(SlotTakenError, match=holds.run_id):
        tracker.update_job_status("analytical_2020-08-06", "SUCCESS")


def test_work_that_nobody_can_be_asked_to_end_is_ended_when_it_is_stopped_in_the_ui(
    instance: dg.DagsterInstance, tracker: Tracker
) -> None:
    begun = tracker.update_job_status(ID, "STARTED")

    assert instance.run_launcher.terminate(begun.run_id)

    found = tracker.get_job_status(ID)
    assert (found.status, found.error) == (
        "CANCELED",
        "stopped; work outside Dagster has no process that could be asked to end",
    )


def test_no_limit_of_dagster_ends_work_that_is_heard_of(instance: dg.DagsterInstance, tracker: Tracker) -> None:
    begun = tracker.update_job_status(ID, "STARTED")
    record = instance.get_run_record_by_id(begun.run_id)
    assert record
    assert record.start_time
    long_ago = record._replace(start_time=record.start_time - 10**6)

    check_run_timeout(instance, long_ago, logging.getLogger(__name__), instance.run_monitoring_max_runtime_seconds)

    assert tracker.get_job_status(ID).status == "STARTED"


def test_a_result_is_not_that_of_a_command_that_is_tracked(instance: dg.DagsterInstance, tracker: Tracker) -> None:
    tracked = began(instance, "preprocessing", worker=Worker.process())

    with pytest.raises(SlotTakenError, match=tracked.run_id):
        tracker.update_job_status(ID, "SUCCESS")

    assert status_of(instance, tracked) == STATUS.STARTED


def test_a_re_execution_of_what_nobody_was_to_try_again_is_tried_again(instance: dg.DagsterInstance) -> None:
    never = {"dagster/max_retries": "0"}
    parent = run_of(instance, DAY, STATUS.FAILURE, tags=never)

    again, first = submitted(instance, DAY, tags=never, parent=parent), submitted(instance, OTHER_DAY, tags=never)

    kept = [instance.get_run_by_id(run.run_id) for run in (again, first)]
    assert [run and run.tags["dagster/max_retries"] for run in kept] == ["3", "0"]


@pytest.mark.parametrize("status", [STATUS.CANCELING, STATUS.CANCELED])
def test_work_that_was_asked_to_stop_is_not_renewed(
    instance: dg.DagsterInstance, tracker: Tracker, status: dg.DagsterRunStatus
) -> None:
    begun = tracker.update_job_status(ID, "STARTED")
    run = instance.get_run_by_id(begun.run_id)
    assert run
    instance.report_run_canceling(run)
    if status == STATUS.CANCELED:
        instance.report_run_canceled(run)

    assert not outside_run.renew(instance, run, minutes=30)
