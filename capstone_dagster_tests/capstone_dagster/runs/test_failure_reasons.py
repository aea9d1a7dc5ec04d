"""Why a run failed or was canceled; ``test_terminal_log`` has what a failed step says."""

from collections.abc import Iterator

import dagster as dg
import pytest

from capstone_dagster.runs.failure_reasons import run_reason
from capstone_dagster_tests.builders.run_histories import (
    CANCELED,
    CANCELING,
    QUEUED,
    STARTED,
    STARTING,
    SUCCESS,
    Event,
    Histories,
    began,
    did,
    failed,
)

CANCELED_BY_HAND = Event(dg.DagsterEventType.RUN_CANCELED, message="Canceled in the UI.")
MARKED_FAILED = "This run has been marked as failed from outside the execution context."


@pytest.fixture
def histories() -> Iterator[Histories]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Histories(instance)


def run_of(histories: Histories, run_id: str) -> dg.DagsterRun:
    run = histories.instance.get_run_by_id(run_id)
    assert run
    return run


def test_a_frozen_process_that_goes_on_after_its_run_was_ended_gives_its_own_reason_too(histories: Histories) -> None:
    refused = failed("eod", "the run was recorded as CANCELED")
    run_id = histories.run("preprocessing", STARTED, began("eod"), CANCELED_BY_HAND, refused)

    assert run_reason(histories.instance, run_id) == "Canceled in the UI.; the run was recorded as CANCELED"


def said_by_dagster(histories: Histories, run_id: str, message: str) -> None:
    histories.instance.report_engine_event(message, run_of(histories, run_id))


@dg.op
def without_files() -> None:
    raise dg.Failure("no raw files of 2020-08-06")


@dg.op
def without_paper() -> None:
    raise ValueError("out of paper")


@dg.op(ins={"after": dg.In(dg.Nothing)})
def never() -> None:
    pass


@dg.job
def first_fails() -> None:
    never(without_files())


@dg.job
def with_an_exception() -> None:
    without_paper()


@pytest.mark.parametrize(
    ("job", "reason"),
    [(first_fails, "no raw files of 2020-08-06"), (with_an_exception, "ValueError: out of paper")],
)
def test_a_real_run_whose_step_failed_gives_the_step_s_reason(
    histories: Histories, job: dg.JobDefinition, reason: str
) -> None:
    ran = job.execute_in_process(instance=histories.instance, raise_on_error=False)

    assert run_reason(histories.instance, ran.run_id) == reason


def test_of_two_failed_steps_the_first_gives_the_reason(histories: Histories) -> None:
    run_id = histories.run("analytical", STARTED, failed("report", "disk full"), failed("eod", "its consequence"))
    histories.instance.report_run_failed(run_of(histories, run_id), "Steps failed: ['report', 'eod'].")

    assert run_reason(histories.instance, run_id) == "disk full"


def test_a_step_that_failed_counts_before_what_dagster_said(histories: Histories) -> None:
    run_id = histories.run("analytical", STARTED)
    said_by_dagster(histories, run_id, "Executing steps in process (pid: 42)")
    histories.happened(run_id, failed("report", "disk full"))
    histories.instance.report_run_failed(run_of(histories, run_id))

    assert run_reason(histories.instance, run_id) == "disk full"


def test_a_run_that_failed_outside_its_steps_gives_its_own_message(histories: Histories) -> None:
    run_id = histories.run("preprocessing", STARTED, *did("ingested__events"))
    said_by_dagster(histories, run_id, "Executing steps in process (pid: 42)")
    histories.instance.report_run_failed(run_of(histories, run_id), "process 42 is gone without a result")

    assert run_reason(histories.instance, run_id) == "process 42 is gone without a result"


def test_a_run_that_was_marked_as_failed_gives_what_dagster_said_before_and_not_what_it_said_after(
    histories: Histories,
) -> None:
    run_id = histories.run("preprocessing", STARTING)
    said_by_dagster(histories, run_id, "[EventLogConsumer] Launching")
    said_by_dagster(histories, run_id, "The code location does not load: No module named 'pyspark'")
    histories.instance.report_run_failed(run_of(histories, run_id))
    said_by_dagster(histories, run_id, "Retrying the run")

    assert run_reason(histories.instance, run_id) == "The code location does not load: No module named 'pyspark'"


def test_a_run_that_was_marked_as_failed_by_nobody_who_said_anything_gives_dagster_s_words(
    histories: Histories,
) -> None:
    run_id = histories.run("preprocessing", STARTED)
    histories.instance.report_run_failed(run_of(histories, run_id))
    said_by_dagster(histories, run_id, "Retrying the run")

    assert run_reason(histories.instance, run_id) == MARKED_FAILED


@pytest.mark.parametrize("message", [None, "stopped by SIGTERM"])
def test_a_canceled_run_gives_the_message_of_its_end(histories: Histories, message: str | None) -> None:
    run_id = histories.run("preprocessing", STARTED, CANCELING)
    said_by_dagster(histories, run_id, "Sending run termination request.")
    histories.instance.report_run_canceled(run_of(histories, run_id), message)

    canceled = "This run has been marked as canceled from outside the execution context."
    assert run_reason(histories.instance, run_id) == (message or canceled)


@pytest.mark.parametrize(
    "events",
    [[], [QUEUED], [STARTING], [STARTED, began("eod")], [STARTED, CANCELING], [STARTED, *did("eod"), SUCCESS]],
)
def test_a_run_that_neither_failed_nor_was_canceled_has_no_reason(histories: Histories, events: list[Event]) -> None:
    run_id = histories.run("preprocessing", *events)
    said_by_dagster(histories, run_id, "Executing steps in process (pid: 42)")

    assert run_reason(histories.instance, run_id) is None


def test_other_runs_have_other_reasons(histories: Histories) -> None:
    histories.run("preprocessing", STARTED, failed("eod", "disk full"))
    run_id = histories.run("preprocessing", STARTED, CANCELED)

    assert run_reason(histories.instance, run_id) != "disk full"
    assert run_reason(histories.instance, "no such run") is None
