"""A run that was recorded as ended has no right to publish any more; ``test_f03_zombies`` freezes one."""

from datetime import date

import dagster as dg
import pytest

from capstone_dagster.definitions import code_location, defs
from capstone_dagster.run_tags import RANGE_TAGS
from capstone_dagster.runs import range_run
from capstone_dagster.runs.day_run import Outcome
from capstone_dagster.runs.range_run import run_days
from capstone_dagster.settings import Settings
from capstone_dagster.steps.ended_runs import RunEndedError, require_in_progress, require_wanted
from capstone_dagster_tests.builders.run_histories import (
    CANCELED,
    CANCELING,
    FAILURE,
    STARTED,
    STARTING,
    Event,
    Histories,
)

WEEK = ("2020-08-05", "2020-08-11")


@pytest.mark.parametrize("events", [[STARTING], [STARTING, STARTED], [STARTING, STARTED, CANCELING]])
def test_a_run_in_progress_may_go_on(histories: Histories, events: list[Event]) -> None:
    require_in_progress(histories.instance, histories.run("preprocessing", *events))


def test_a_run_whose_interruption_was_lost_publishes_nothing(histories: Histories) -> None:
    require_wanted(histories.instance, histories.run("preprocessing", STARTING, STARTED))

    with pytest.raises(RunEndedError, match="the run is to stop"):
        require_wanted(histories.instance, histories.run("preprocessing", STARTING, STARTED, CANCELING))


@pytest.mark.parametrize(("end", "status"), [(CANCELED, "CANCELED"), (FAILURE, "FAILURE")])
def test_a_run_that_was_ended_is_refused_with_the_moment(histories: Histories, end: Event, status: str) -> None:
    run_id = histories.run("preprocessing", STARTED, end)

    for require in (require_in_progress, require_wanted):
        with pytest.raises(RunEndedError, match=f"the run was recorded as {status} at 2020-08-06 22:0.:.. UTC"):
            require(histories.instance, run_id)


def test_a_range_that_was_recorded_as_ended_begins_no_other_day(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[date] = []
    with dg.DagsterInstance.ephemeral() as instance:
        tags = dict(zip(RANGE_TAGS, WEEK, strict=True))
        run = instance.create_run_for_job(defs.resolve_job_def("daily_pipeline"), tags=tags)

        def run_day(instance: dg.DagsterInstance, job: object, day: date, **_: object) -> Outcome:
            del job
            ran.append(day)
            if len(ran) == 2:
                instance.report_run_canceled(run)
            return Outcome(f"daily_pipeline_{day}", day, "SUCCESS", "its run")

        monkeypatch.setattr(range_run, "run_day", run_day)

        with pytest.raises(RunEndedError):
            run_days(instance, run, code_location(), Settings.from_environment())

    assert ran == [date(2020, 8, 5), date(2020, 8, 6)]


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
