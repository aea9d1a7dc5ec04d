"""A run that waits to try a step again hears who stops it."""

import os
import signal
import threading

import dagster as dg
import pytest

from capstone_dagster.runs.executor import signing_executor
from capstone_dagster.settings import Settings
from capstone_dagster_tests.servers.processes import eventually

STATUS = dg.DagsterRunStatus
EXECUTOR = signing_executor(Settings.from_environment())


@dg.op(tags={"dagster/priority": "1"})
def fails() -> None:
    raise dg.RetryRequested(max_retries=1, seconds_to_wait=60)


@dg.op
def works() -> None:
    pass


@dg.job(executor_def=EXECUTOR)
def one_step() -> None:
    fails()


@dg.job(executor_def=EXECUTOR)
def two_steps() -> None:
    fails()
    works()


@pytest.mark.parametrize(
    ("job", "last"), [(one_step, "STEP_UP_FOR_RETRY"), (two_steps, "STEP_SUCCESS")], ids=["one step", "two steps"]
)
@pytest.mark.parametrize(
    ("number", "is_asked_for", "end"),
    [(signal.SIGINT, False, STATUS.FAILURE), (signal.SIGTERM, True, STATUS.CANCELED)],
    ids=["Ctrl-C", "termination"],
)
def test_a_run_that_waits_to_try_a_step_again_can_be_stopped(
    job: dg.JobDefinition, last: str, number: signal.Signals, end: dg.DagsterRunStatus, *, is_asked_for: bool
) -> None:
    handler = signal.getsignal(signal.SIGINT)
    with dg.DagsterInstance.ephemeral() as instance:

        def steps() -> list[str]:
            """What has happened to them."""
            runs = instance.get_runs()
            events = [entry.dagster_event for entry in (instance.all_logs(runs[0].run_id) if runs else [])]
            seen = [event.event_type_value for event in events if event]
            return [kind for kind in seen if kind in ("STEP_UP_FOR_RETRY", "STEP_SUCCESS", "STEP_RESTARTED")]

        def stop() -> None:
            eventually(steps, lambda seen: last in seen)
            if is_asked_for:
                instance.report_run_canceling(instance.get_runs()[0])
            os.kill(os.getpid(), number)

        stopping = threading.Thread(target=stop)
        stopping.start()
        dg.execute_job(dg.reconstructable(job), instance, raise_on_error=False)
        stopping.join()

        assert steps()[-1] == last
        assert "STEP_RESTARTED" not in steps()
        assert instance.get_runs()[0].status == end
    assert signal.getsignal(signal.SIGINT) == handler  # the next run hears it as before
