"""The launcher of the deployed instance: whom it starts, whom it sends back, whose death it knows, whom it ends."""

import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import dagster as dg
import pytest
from dagster import DefaultRunLauncher
from dagster._core.launcher import LaunchRunContext, WorkerStatus

from capstone_dagster.assets.jobs import LANDED
from capstone_dagster.run_tags import CODE_SERVER_TAG, LAUNCHER_TAG, PARTITION_TAG, REFUSED_TAG, RUN_KEY_TAG
from capstone_dagster.runs.day_slot import SlotTakenError, claiming, mark_starting
from capstone_dagster.runs.failure_reasons import run_reason
from capstone_dagster.runs.launcher import DayRunLauncher
from capstone_dagster.runs.worker import Worker
from capstone_dagster.tracker import NeverRunError, Tracker
from capstone_dagster_tests.builders.runs import run_of, status_of, unused_day
from capstone_dagster_tests.servers.platform import Platform
from capstone_dagster_tests.servers.processes import dead_worker, sleeping

STATUS = dg.DagsterRunStatus
ROUNDS = 30


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with tempfile.TemporaryDirectory() as home, Platform(Path(home), date(2020, 8, 5)).instance() as instance:
        yield instance


@pytest.fixture
def launcher(instance: dg.DagsterInstance) -> DayRunLauncher:
    launcher = instance.run_launcher
    assert isinstance(launcher, DayRunLauncher)
    return launcher


@pytest.fixture
def day() -> date:
    return unused_day()


@pytest.fixture
def gone_on(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs that went on to Dagster's own launcher, which would ask a code server to start them."""
    runs: list[str] = []

    def launch_run(self: DefaultRunLauncher, context: LaunchRunContext) -> None:
        del self
        runs.append(context.dagster_run.run_id)

    monkeypatch.setattr(DefaultRunLauncher, "launch_run", launch_run)
    return runs


@pytest.fixture
def left_to_dagster(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs whose end was asked of Dagster's own launcher."""
    runs: list[str] = []

    def terminate(self: DefaultRunLauncher, run_id: str) -> bool:
        del self
        runs.append(run_id)
        return True

    monkeypatch.setattr(DefaultRunLauncher, "terminate", terminate)
    return runs


def launched_by(instance: dg.DagsterInstance, worker: Worker, day: date) -> dg.DagsterRun:
    """A run of the day that a process has given to a code server."""
    run = run_of(instance, day, STATUS.STARTING)
    instance.add_run_tags(run.run_id, worker.signature(run.run_id, LAUNCHER_TAG))
    return run


def launch(launcher: DayRunLauncher, run: dg.DagsterRun) -> None:
    launcher.launch_run(LaunchRunContext(dagster_run=run, workspace=None))


@pytest.mark.parametrize("holding", [STATUS.STARTING, STATUS.STARTED, STATUS.CANCELING])
def test_a_run_whose_day_is_taken_goes_back_to_the_queue_and_says_whom_it_waits_for(
    instance: dg.DagsterInstance,
    launcher: DayRunLauncher,
    gone_on: list[str],
    day: date,
    holding: dg.DagsterRunStatus,
) -> None:
    taken = run_of(instance, day, holding, job="analytical")
    run = run_of(instance, day, STATUS.STARTING)

    launch(launcher, run)

    assert gone_on == []
    assert [status_of(instance, each) for each in (run, taken)] == [STATUS.QUEUED, holding]
    said = [entry.message for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)]
    assert said == [f"Waits in the queue: analytical (run {taken.run_id}) works on this day."]


def test_a_run_that_went_back_to_the_queue_is_started_once_the_day_is_free(
    instance: dg.DagsterInstance, launcher: DayRunLauncher, gone_on: list[str], day: date
) -> None:
    taken = run_of(instance, day, STATUS.STARTED)
    run = run_of(instance, day, STATUS.STARTING)
    launch(launcher, run)

    instance.report_run_failed(taken)
    launch(launcher, mark_starting(instance, run))

    assert gone_on == [run.run_id]
    assert status_of(instance, run) == STATUS.STARTING


def test_a_run_whose_day_is_free_goes_on(
    instance: dg.DagsterInstance, launcher: DayRunLauncher, gone_on: list[str], day: date
) -> None:
    for status in (STATUS.QUEUED, STATUS.SUCCESS, STATUS.FAILURE):
        run_of(instance, day, status)
    run_of(instance, unused_day(), STATUS.STARTED)
    run = run_of(instance, day, STATUS.STARTING)

    launch(launcher, run)

    assert gone_on == [run.run_id]
    assert status_of(instance, run) == STATUS.STARTING
    [record] = instance.get_run_records(dg.RunsFilter(run_ids=[run.run_id]))
    assert Worker.of(record.dagster_run, LAUNCHER_TAG) == Worker.process()


def test_a_run_whose_day_is_held_by_the_dead_goes_on(
    instance: dg.DagsterInstance, launcher: DayRunLauncher, gone_on: list[str], day: date
) -> None:
    dead = run_of(instance, day, STATUS.STARTED, worker=dead_worker())
    run = run_of(instance, day, STATUS.STARTING)

    launch(launcher, run)

    assert gone_on == [run.run_id]
    assert status_of(instance, dead) == STATUS.FAILURE


def test_a_run_that_the_daemon_of_another_host_took_in_the_same_moment_is_launched_once(
    instance: dg.DagsterInstance, launcher: DayRunLauncher, gone_on: list[str]
) -> None:
    with sleeping() as process:
        living = (Worker("elsewhere", 1, "1"), Worker.process(process.pid))
        others = [launched_by(instance, worker, unused_day()) for worker in living]
        ours = [launched_by(instance, worker, unused_day()) for worker in (Worker.process(), dead_worker())]

        for run in (*others, *ours):
            launch(launcher, run)

    assert gone_on == [run.run_id for run in ours]
    assert {status_of(instance, run) for run in others} == {STATUS.STARTING}


def test_a_run_that_has_ended_before_it_could_be_launched_is_not_launched(
    instance: dg.DagsterInstance, launcher: DayRunLauncher, gone_on: list[str], day: date
) -> None:
    run = run_of(instance, day, STATUS.STARTING)
    instance.report_run_failed(run)

    launch(launcher, run)

    assert gone_on == []
    assert status_of(instance, run) == STATUS.FAILURE


@pytest.mark.parametrize("end", [STATUS.SUCCESS, STATUS.FAILURE, STATUS.CANCELED])
def test_a_run_that_another_was_asked_for_too_is_canceled_once_that_has_ended(
    instance: dg.DagsterInstance, launcher: DayRunLauncher, gone_on: list[str], day: date, end: dg.DagsterRunStatus
) -> None:
    done = run_of(instance, day, end, tags={RUN_KEY_TAG: "files"})
    run = run_of(instance, day, STATUS.STARTING, tags={RUN_KEY_TAG: "files"})

    launch(launcher, run)

    assert gone_on == []
    assert status_of(instance, run) == STATUS.CANCELED
    said = [entry.message for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.PIPELINE_CANCELED)]
    assert said == [f"Not run: run {done.run_id} was asked for the same, and ended in {end.value}."]


def test_a_run_that_another_is_asked_for_too_goes_on_if_that_waits_behind_it_or_is_its_parent_or_of_another_day(
    instance: dg.DagsterInstance, launcher: DayRunLauncher, gone_on: list[str], day: date
) -> None:
    key = {RUN_KEY_TAG: "files"}
    for status in (STATUS.NOT_STARTED, STATUS.QUEUED):
        run_of(instance, day, status, tags=key)
    run_of(instance, unused_day(), STATUS.SUCCESS, tags=key)
    first = run_of(instance, day, STATUS.STARTING, tags=key)
    launch(launcher, first)
    instance.report_run_failed(first)
    again = run_of(instance, day, STATUS.STARTING, tags=key)
    again = again._replace(parent_run_id=first.run_id, root_run_id=first.run_id)
    launch(launcher, again)

    assert gone_on == [first.run_id, again.run_id]


def test_a_run_of_checks_alone_needs_no_day_and_goes_on_whatever_works(
    instance: dg.DagsterInstance, launcher: DayRunLauncher, gone_on: list[str]
) -> None:
    run_of(instance, None, STATUS.STARTED)
    run = run_of(instance, None, STATUS.STARTING)._replace(asset_check_selection=frozenset({LANDED}))

    launch(launcher, run)

    assert gone_on == [run.run_id]


def test_a_run_that_is_of_no_trading_day_is_refused_by_a_sentence_and_is_no_attempt_at_a_job(
    instance: dg.DagsterInstance, launcher: DayRunLauncher, gone_on: list[str]
) -> None:
    saturday = run_of(instance, date(2020, 8, 8), STATUS.STARTING)
    dayless = run_of(instance, None, STATUS.STARTING)

    for run in (saturday, dayless):
        launch(launcher, run)

    assert gone_on == []
    assert [status_of(instance, run) for run in (saturday, dayless)] == [STATUS.FAILURE] * 2
    assert run_reason(instance, saturday.run_id) == "2020-08-08 cannot be run: the NYSE is closed on Saturdays"
    assert str(run_reason(instance, dayless.run_id)).startswith("this run names no trading day: choose a partition")
    found = instance.get_run_by_id(saturday.run_id)
    assert found
    assert found.tags["dagster/will_retry"] == "false"
    with pytest.raises(NeverRunError):
        Tracker(instance).get_job_status("preprocessing_2020-08-08")


def test_a_refused_day_does_not_stand_for_one_of_the_last_days(
    instance: dg.DagsterInstance, launcher: DayRunLauncher, gone_on: list[str], day: date
) -> None:
    run = run_of(instance, day, STATUS.SUCCESS)
    launch(launcher, run_of(instance, date(2039, 8, 5), STATUS.STARTING))
    # To run again what was refused copies its tags, and is no refused run for that.
    [refused] = instance.get_runs(dg.RunsFilter(tags={PARTITION_TAG: "2039-08-05"}))
    again = run_of(instance, day, STATUS.STARTING, job="analytical", tags={REFUSED_TAG: refused.tags[REFUSED_TAG]})
    launch(launcher, again)

    latest = Tracker(instance).latest(1)

    assert {(job.job_id, job.run_id) for job in latest} >= {
        (f"preprocessing_{day}", run.run_id),
        (f"analytical_{day}", again.run_id),
    }
    assert gone_on == [again.run_id]


def test_of_a_claim_and_a_launch_of_one_day_exactly_one_goes_on_however_they_meet(
    instance: dg.DagsterInstance, launcher: DayRunLauncher, gone_on: list[str]
) -> None:
    claimed: list[str] = []
    together = threading.Barrier(2)

    def claim(day: date, pause: float) -> None:
        together.wait()
        time.sleep(pause)
        try:
            with claiming(instance, day):
                run = mark_starting(instance, run_of(instance, day, STATUS.NOT_STARTED))
                claimed.append(run.run_id)
        except SlotTakenError:
            pass

    def dequeue(run: dg.DagsterRun, pause: float) -> None:
        together.wait()
        time.sleep(pause)
        launch(launcher, mark_starting(instance, run))

    with ThreadPoolExecutor(2) as pool:
        for number in range(ROUNDS):
            day, behind = unused_day(), (number - ROUNDS / 2) / 1000  # from well before to well behind
            queued = run_of(instance, day, STATUS.QUEUED)
            ends = [pool.submit(claim, day, max(behind, 0)), pool.submit(dequeue, queued, max(-behind, 0))]
            for end in ends:
                end.result()
            assert len(claimed) + len(gone_on) == number + 1, f"{day}: {claimed} {gone_on}"
            assert status_of(instance, queued) == (STATUS.STARTING if queued.run_id in gone_on else STATUS.QUEUED)


def test_run_monitoring_may_ask_and_hears_of_the_dead_only(
    instance: dg.DagsterInstance, launcher: DayRunLauncher, day: date
) -> None:
    workers = {"unsigned": None, "living": Worker.process(), "elsewhere": Worker("elsewhere", 1, "1")}
    alive = {name: run_of(instance, day, STATUS.STARTED, worker=worker) for name, worker in workers.items()}
    lost = [
        launcher.check_run_worker_health(run_of(instance, of, STATUS.STARTED, worker=dead_worker()))
        for of in (day, None)  # also a run of no single day
    ]

    assert launcher.supports_check_run_worker_health
    assert {name: launcher.check_run_worker_health(run).status for name, run in alive.items()} == dict.fromkeys(
        workers, WorkerStatus.RUNNING
    )
    assert [end.status for end in lost] == [WorkerStatus.FAILED] * 2


def test_stopping_a_run_asks_the_process_that_signed_it_to_end(
    instance: dg.DagsterInstance, launcher: DayRunLauncher, day: date
) -> None:
    with sleeping() as process:
        run = run_of(instance, day, STATUS.STARTED, worker=Worker.process(process.pid))

        assert launcher.terminate(run.run_id)

        assert process.wait(timeout=30) == -signal.SIGTERM
    assert status_of(instance, run) == STATUS.CANCELING


def test_stopping_a_run_of_the_dead_lets_it_end_canceled(
    instance: dg.DagsterInstance, launcher: DayRunLauncher, day: date
) -> None:
    run = run_of(instance, day, STATUS.STARTED, worker=dead_worker())

    assert not launcher.terminate(run.run_id)

    assert status_of(instance, run) == STATUS.CANCELING
    with claiming(instance, day):
        assert status_of(instance, run) == STATUS.CANCELED


def test_a_run_of_another_host_cannot_be_stopped_from_here_and_goes_on(
    instance: dg.DagsterInstance, launcher: DayRunLauncher, day: date
) -> None:
    run = run_of(instance, day, STATUS.STARTED, worker=Worker("elsewhere", 1, "1"))

    assert not launcher.terminate(run.run_id)

    assert status_of(instance, run) == STATUS.STARTED
    said = [entry.message for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)]
    assert said[-1] == "process 1 on elsewhere works on this run; stop it there."


def test_stopping_a_run_of_the_code_server_is_left_to_dagster(
    instance: dg.DagsterInstance, launcher: DayRunLauncher, left_to_dagster: list[str], day: date
) -> None:
    with sleeping() as process:
        worker = Worker.process(process.pid)
        of_code_server = run_of(instance, day, STATUS.STARTED, worker=worker, tags={CODE_SERVER_TAG: "{}"})
        unsigned = run_of(instance, day, STATUS.STARTED)
        finished = run_of(instance, day, STATUS.SUCCESS, worker=worker)
        asked = [of_code_server.run_id, unsigned.run_id, finished.run_id, "no-such-run"]

        assert all(launcher.terminate(run_id) for run_id in asked)

        assert left_to_dagster == asked
        assert process.poll() is None
