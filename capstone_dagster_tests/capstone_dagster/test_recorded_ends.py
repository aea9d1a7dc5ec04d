"""A run that was recorded as ended has no right to publish any more; ``test_crashes`` has one that is frozen."""

import dagster as dg
import pytest

from capstone_dagster.recorded_ends import RunEndedError, require_in_progress
from capstone_dagster_tests.capstone_dagster.run_histories import (
    CANCELED,
    CANCELING,
    FAILURE,
    STARTED,
    STARTING,
    Event,
    Histories,
)


@pytest.mark.parametrize("events", [[STARTING], [STARTING, STARTED], [STARTING, STARTED, CANCELING]])
def test_a_run_in_progress_may_publish(histories: Histories, events: list[Event]) -> None:
    require_in_progress(histories.instance, histories.run("preprocessing", *events))


@pytest.mark.parametrize(("end", "status"), [(CANCELED, "CANCELED"), (FAILURE, "FAILURE")])
def test_a_run_that_was_ended_is_refused_with_the_moment(histories: Histories, end: Event, status: str) -> None:
    run_id = histories.run("preprocessing", STARTED, end)

    with pytest.raises(RunEndedError, match=f"the run was recorded as {status} at 2020-08-06 22:0.:.. UTC"):
        require_in_progress(histories.instance, run_id)


def test_what_a_recorded_end_interrupts_keeps_the_status(histories: Histories) -> None:
    """Dagster records no end of a run that was interrupted after it had ended."""

    @dg.op
    def goes_on(context: dg.OpExecutionContext) -> None:
        run = context.instance.get_run_by_id(context.run_id)
        assert run
        context.instance.report_run_canceled(run, "Canceled in the UI.")
        require_in_progress(context.instance, context.run_id)

    @dg.job
    def frozen() -> None:
        goes_on()

    with pytest.raises(RunEndedError):
        frozen.execute_in_process(instance=histories.instance)

    assert [run.status for run in histories.instance.get_runs()] == [dg.DagsterRunStatus.CANCELED]
