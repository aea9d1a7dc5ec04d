"""Who works on a run: how a process signs it, and when it is certain that the process is gone."""

import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace

import dagster as dg
import psutil
import pytest

from capstone_dagster.run_tags import WORKER_TAG
from capstone_dagster.runs.worker import Worker
from capstone_dagster_tests.servers.processes import dead_worker, eventually, sleeping

RUN_ID, OTHER_RUN_ID = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"


@pytest.fixture
def process() -> Iterator["subprocess.Popen[bytes]"]:
    with sleeping() as process:
        yield process


def run(tags: dict[str, str]) -> dg.DagsterRun:
    return dg.DagsterRun(job_name="preprocessing", run_id=RUN_ID, tags=tags)


def make_zombie(process: "subprocess.Popen[bytes]") -> None:
    """End it without asking for its exit code."""
    process.kill()
    eventually(lambda: bool(psutil.Process(process.pid).status() == psutil.STATUS_ZOMBIE))


def test_who_signed_a_run_is_found_again() -> None:
    this = Worker.process()

    assert Worker.of(run(this.signature(RUN_ID))) == this
    assert this == Worker.process(os.getpid())


def test_a_worker_is_told_by_the_name_of_its_host() -> None:
    assert str(Worker("desk:4026531836", 17, "1")) == "process 17 on desk"


def test_an_unsigned_run_is_nobodys() -> None:
    assert Worker.of(run({})) is None


def test_the_copied_signature_of_another_run_is_nobodys() -> None:
    assert Worker.of(run(Worker.process().signature(OTHER_RUN_ID))) is None


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "true",
        RUN_ID,
        f"host 17 {RUN_ID}",
        "host 17 1600000000.5",
        f"17 1600000000.5 {RUN_ID}",
        f"host pid 1600000000.5 {RUN_ID}",
        f"host -17 1600000000.5 {RUN_ID}",
        f"host 17 yesterday {RUN_ID}",
        f"my host 17 1600000000.5 {RUN_ID}",
        f"host 17 1600000000.5 {RUN_ID} {RUN_ID}",
        f"host 17 1600000000.5 {RUN_ID}\n",
        f"host 17 1.6.0 {RUN_ID}",
        f"host 17 . {RUN_ID}",
    ],
)
def test_a_malformed_signature_is_nobodys(signature: str) -> None:
    assert Worker.of(run({WORKER_TAG: signature})) is None


def test_a_living_process_is_not_dead(process: "subprocess.Popen[bytes]") -> None:
    assert not Worker.process(process.pid).is_dead


def test_an_ended_process_is_dead() -> None:
    assert dead_worker().is_dead


def test_a_process_that_nobody_has_waited_for_is_dead(process: "subprocess.Popen[bytes]") -> None:
    worker = Worker.process(process.pid)

    make_zombie(process)

    assert worker.is_dead


def test_a_later_process_with_the_same_number_does_not_pass_for_it(process: "subprocess.Popen[bytes]") -> None:
    assert replace(Worker.process(process.pid), started="1").is_dead


def test_a_process_of_another_host_is_never_dead() -> None:
    assert not replace(dead_worker(), host="elsewhere").is_dead


def test_a_number_no_process_can_have_is_dead() -> None:
    assert replace(Worker.process(), pid=10**30).is_dead


def test_terminating_asks_the_process_to_end(process: "subprocess.Popen[bytes]") -> None:
    assert Worker.process(process.pid).terminate()
    assert process.wait(timeout=30) == -signal.SIGTERM


def test_a_process_that_is_gone_cannot_be_terminated(process: "subprocess.Popen[bytes]") -> None:
    worker = Worker.process(process.pid)

    make_zombie(process)

    assert not worker.terminate()
    assert not dead_worker().terminate()


@pytest.mark.parametrize("other", [{"host": "elsewhere"}, {"started": "1"}], ids=["other host", "number used again"])
def test_terminating_spares_a_process_that_only_has_the_same_number(
    process: "subprocess.Popen[bytes]", other: dict[str, object]
) -> None:
    worker = replace(Worker.process(process.pid), **other)  # type: ignore[arg-type]

    assert not worker.terminate()
    assert process.poll() is None
