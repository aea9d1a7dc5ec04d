"""One run per trading day at a time: who is refused, who is not, and who goes on of many at once."""

import json
import re
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import cast

import dagster as dg
import pytest
from dagster._core.storage.runs import SqlRunStorage
from dagster._core.storage.runs.schema import RunsTable

from capstone_dagster.definitions import code_location, defs
from capstone_dagster.run_tags import CODE_SERVER_TAG, LAUNCHER_TAG, PARTITION_TAG
from capstone_dagster.runs.day_run import begin
from capstone_dagster.runs.day_slot import SlotTakenError, claiming
from capstone_dagster.runs.failure_reasons import run_reason
from capstone_dagster.runs.worker import Worker
from capstone_dagster_tests.builders.runs import run_of, runs_of, status_of, unused_day
from capstone_dagster_tests.servers.dagster_services import unused_port
from capstone_dagster_tests.servers.platform import Platform
from capstone_dagster_tests.servers.processes import dead_worker, sleeping

STATUS = dg.DagsterRunStatus
IN_PROGRESS = [STATUS.STARTING, STATUS.STARTED, STATUS.CANCELING]
AT_ONCE = 8

LOCKING = """
import sys, time
import dagster as dg
from capstone_dagster.runs.day_slot import day_locked
with dg.DagsterInstance.get() as instance, day_locked(instance, sys.argv[1]):
    print("locked", flush=True)
    time.sleep(300)
"""


WHOLE, PREPROCESSING, ANALYTICAL = (
    code_location().get_reconstructable_job(name) for name in ("daily_pipeline", "preprocessing", "analytical")
)


@pytest.fixture(scope="module")
def instance() -> Iterator[dg.DagsterInstance]:
    with tempfile.TemporaryDirectory() as home, Platform(Path(home), date(2020, 8, 5)).instance() as instance:
        yield instance


@pytest.fixture
def day() -> date:
    return unused_day()


def claim(instance: dg.DagsterInstance, day: date) -> None:
    with claiming(instance, day):
        pass


def attempt(instance: dg.DagsterInstance, day: date, together: threading.Barrier) -> dg.DagsterRun | SlotTakenError:
    together.wait()
    try:
        return begin(instance, WHOLE, day, worker=Worker.process())
    except SlotTakenError as refused:
        return refused


def launched(
    instance: dg.DagsterInstance,
    day: date,
    launcher: Worker,
    server: dict[str, object] | None,
    worker: Worker | None = None,
) -> dg.DagsterRun:
    """A run that a code server was asked to start, if one is given."""
    tags = {CODE_SERVER_TAG: json.dumps(server)} if server else {}
    run = run_of(instance, day, STATUS.STARTING, worker=worker, tags=tags)
    instance.add_run_tags(run.run_id, launcher.signature(run.run_id, LAUNCHER_TAG))
    return run


@contextmanager
def locking_process(day: date) -> Iterator["subprocess.Popen[str]"]:
    """Another process that decides about the day, for ever."""
    command = [sys.executable, "-c", LOCKING, f"{day}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == "locked\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("status", IN_PROGRESS)
def test_a_day_in_progress_is_refused_and_the_refusal_names_the_run(
    instance: dg.DagsterInstance, day: date, status: dg.DagsterRunStatus
) -> None:
    holding = run_of(instance, day, status, job="analytical")

    with pytest.raises(SlotTakenError) as refused:
        claim(instance, day)

    assert refused.value.run_id == holding.run_id
    assert str(refused.value) == (
        f"{day} is being worked on by analytical_{day} ({status.value}, run {holding.run_id}); "
        "wait until it has ended, or stop it in the UI"
    )


def test_the_refusal_says_since_when_the_other_run_works(instance: dg.DagsterInstance, day: date) -> None:
    run = begin(instance, PREPROCESSING, day, worker=Worker.process())
    instance.report_dagster_event(dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, run.job_name), run.run_id)

    with pytest.raises(SlotTakenError) as refused:
        begin(instance, ANALYTICAL, day, worker=Worker.process())

    assert re.search(rf"preprocessing_{day} \(STARTED since \d\d:\d\d:\d\d UTC, run {run.run_id}\)", str(refused.value))
    assert runs_of(instance, day) == [run.run_id]


@pytest.mark.parametrize("status", [status for status in STATUS if status not in IN_PROGRESS])
def test_a_run_that_waits_or_has_ended_holds_no_slot(
    instance: dg.DagsterInstance, day: date, status: dg.DagsterRunStatus
) -> None:
    run = run_of(instance, day, status)

    claim(instance, day)

    assert status_of(instance, run) == status


def test_a_run_of_another_day_holds_no_slot_of_this_one(instance: dg.DagsterInstance, day: date) -> None:
    run_of(instance, day - timedelta(days=365), STATUS.STARTED)
    run_of(instance, None, STATUS.STARTED)

    claim(instance, day)


@pytest.mark.parametrize(
    ("status", "ended"),
    [(STATUS.STARTING, STATUS.FAILURE), (STATUS.STARTED, STATUS.FAILURE), (STATUS.CANCELING, STATUS.CANCELED)],
)
def test_a_run_whose_process_is_gone_is_ended_and_its_slot_is_free(
    instance: dg.DagsterInstance, day: date, status: dg.DagsterRunStatus, ended: dg.DagsterRunStatus
) -> None:
    gone = dead_worker()
    run = run_of(instance, day, status, worker=gone)

    claim(instance, day)

    assert status_of(instance, run) == ended
    last = instance.all_logs(run.run_id)[-1]
    assert f"{gone}, which worked on this run, is gone without a result" in last.message


@pytest.mark.parametrize(
    "server",
    [
        pytest.param(None, id="it was not asked yet"),
        pytest.param({"host": "localhost", "socket": "/nonexistent/socket"}, id="its socket is gone"),
        pytest.param({"host": "localhost", "port": unused_port()}, id="nobody listens on its port"),
    ],
)
def test_a_run_is_ended_that_was_being_started_by_processes_that_are_gone(
    instance: dg.DagsterInstance, day: date, server: dict[str, object] | None
) -> None:
    launcher = dead_worker()
    lost = launched(instance, day, launcher, server)

    claim(instance, day)

    assert status_of(instance, lost) == STATUS.FAILURE
    assert (
        run_reason(instance, lost.run_id) == f"{launcher} and its code server, which were starting this run, are gone"
    )


@pytest.mark.parametrize(
    ("status", "seconds", "is_lost"),
    [(STATUS.STARTING, 31, True), (STATUS.STARTING, 20, False), (STATUS.STARTED, 31, False)],
)
def test_a_run_is_ended_that_nobody_has_begun_to_start_since_it_left_the_queue(
    instance: dg.DagsterInstance, day: date, status: dg.DagsterRunStatus, seconds: int, is_lost: bool
) -> None:
    run = run_of(instance, day, status)
    since = (datetime.now(UTC) - timedelta(seconds=seconds)).replace(tzinfo=None)
    with cast("SqlRunStorage", instance.run_storage).connect() as connection:
        connection.execute(RunsTable.update().where(RunsTable.c.run_id == run.run_id).values(update_timestamp=since))

    with nullcontext() if is_lost else pytest.raises(SlotTakenError):
        claim(instance, day)

    assert status_of(instance, run) == (STATUS.FAILURE if is_lost else status)
    reason = "the daemon took this run from the queue, and was gone before it could start it"
    assert (run_reason(instance, run.run_id) == reason) == is_lost


def test_a_run_keeps_its_slot_while_the_process_that_starts_it_or_its_code_server_or_its_own_lives(
    instance: dg.DagsterInstance, day: date, tmp_path: Path
) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(f"{tmp_path}/socket")
        listening.listen()
        answering: dict[str, object] = {"host": "localhost", "socket": f"{tmp_path}/socket"}
        for launcher, server, worker in (
            (Worker.process(), None, None),
            (dead_worker(), answering, None),
            (dead_worker(), None, Worker.process()),
            (Worker("elsewhere", 1, "1"), None, None),
        ):
            run = launched(instance, day, launcher, server, worker)
            with pytest.raises(SlotTakenError):
                claim(instance, day)
            instance.report_run_failed(run)


def test_a_run_whose_process_lives_keeps_its_slot_beside_one_whose_process_is_gone(
    instance: dg.DagsterInstance, day: date
) -> None:
    with sleeping() as process:
        living = run_of(instance, day, STATUS.STARTED, worker=Worker.process(process.pid))
        dead = run_of(instance, day, STATUS.STARTED, worker=dead_worker())
        with pytest.raises(SlotTakenError, match=living.run_id):
            claim(instance, day)

    assert [status_of(instance, run) for run in (dead, living)] == [STATUS.FAILURE, STATUS.STARTED]


def test_a_run_of_a_process_on_another_host_keeps_its_slot(instance: dg.DagsterInstance, day: date) -> None:
    run = run_of(instance, day, STATUS.STARTED, worker=Worker("elsewhere", 17, "1"))

    with pytest.raises(SlotTakenError, match=run.run_id):
        claim(instance, day)

    assert status_of(instance, run) == STATUS.STARTED


@pytest.mark.faults("F2", sample=True)
def test_of_many_that_begin_a_day_at_once_exactly_one_holds_it(instance: dg.DagsterInstance, day: date) -> None:
    together = threading.Barrier(AT_ONCE)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        ends = [pool.submit(attempt, instance, day, together) for _ in range(AT_ONCE)]
        results = [end.result() for end in ends]

    runs = [result for result in results if isinstance(result, dg.DagsterRun)]
    refusals = [result for result in results if isinstance(result, SlotTakenError)]
    assert [run.status for run in runs] == [STATUS.STARTING]
    assert [refusal.run_id for refusal in refusals] == [runs[0].run_id] * (AT_ONCE - 1)
    # A refused attempt leaves nothing behind.
    assert runs_of(instance, day) == [runs[0].run_id]


def test_many_that_begin_different_days_at_once_all_hold_theirs(instance: dg.DagsterInstance) -> None:
    days = [unused_day() for _ in range(AT_ONCE)]
    together = threading.Barrier(AT_ONCE)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = list(pool.map(lambda day: attempt(instance, day, together), days))

    held = [result.tags[PARTITION_TAG] for result in results if isinstance(result, dg.DagsterRun)]
    assert held == [day.isoformat() for day in days]


def test_while_another_process_decides_a_day_only_that_day_waits_and_a_kill_lets_it_go_on(
    instance: dg.DagsterInstance, day: date
) -> None:
    with locking_process(day) as process, ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(lambda: begin(instance, WHOLE, day, worker=Worker.process()))

        other = begin(instance, WHOLE, unused_day(), worker=Worker.process())
        assert other.status == STATUS.STARTING
        assert not waiting.done()
        assert runs_of(instance, day) == []

        process.kill()
        assert waiting.result(timeout=60).status == STATUS.STARTING


def test_nobody_tries_a_run_again_that_was_not_launched_through_the_queue(
    instance: dg.DagsterInstance, day: date
) -> None:
    run = begin(instance, WHOLE, day, worker=Worker.process())
    assert defs.resolve_job_def("daily_pipeline").tags["dagster/max_retries"] == "3"

    instance.report_run_failed(run)

    assert will_be_tried_again(instance, run) == "false"


@pytest.mark.parametrize(("max_retries", "will"), [("0", "false"), ("1", "true"), (None, "true")])
def test_a_lost_run_of_the_queue_is_tried_again_if_its_tag_allows_it_and_without_a_tag(
    instance: dg.DagsterInstance, day: date, max_retries: str | None, will: str
) -> None:
    tags = {"dagster/max_retries": max_retries} if max_retries else {}
    run = run_of(instance, day, STATUS.STARTED, tags=tags)

    instance.report_run_failed(run)

    assert will_be_tried_again(instance, run) == will


def will_be_tried_again(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """What Dagster's daemon goes by."""
    found = instance.get_run_by_id(run.run_id)
    assert found
    return found.tags["dagster/will_retry"]


def test_a_claim_that_fails_gives_the_day_back(instance: dg.DagsterInstance, day: date) -> None:
    with pytest.raises(ZeroDivisionError), claiming(instance, day):
        raise ZeroDivisionError

    claim(instance, day)
