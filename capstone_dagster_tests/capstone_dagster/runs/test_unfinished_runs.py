"""Which runs wait or work, and the end of those whose process is gone."""

import dagster as dg
import pytest

from capstone_dagster.run_tags import LAUNCHER_TAG, RANGE_TAGS
from capstone_dagster.runs.failure_reasons import run_reason
from capstone_dagster.runs.unfinished_runs import end_lost_runs
from capstone_dagster.runs.worker import Worker
from capstone_dagster_tests.builders.runs import run_of, status_of, unused_day
from capstone_dagster_tests.servers.processes import dead_worker

STATUS = dg.DagsterRunStatus
OVER_DAYS = dict(zip(RANGE_TAGS, ("2020-08-05", "2020-08-07"), strict=True))


@pytest.mark.parametrize("tags", [{}, OVER_DAYS], ids=["of checks alone", "over days"])
def test_a_run_of_no_single_day_is_ended_if_its_process_or_the_one_that_started_it_is_gone(
    instance: dg.DagsterInstance, tags: dict[str, str]
) -> None:
    gone = dead_worker()
    working = run_of(instance, None, STATUS.STARTED, worker=gone, tags=tags)
    starting = run_of(instance, None, STATUS.STARTING, tags=tags)
    instance.add_run_tags(starting.run_id, gone.signature(starting.run_id, LAUNCHER_TAG))

    end_lost_runs(instance)

    assert [run_reason(instance, run.run_id) for run in (working, starting)] == [
        f"{gone}, which worked on this run, is gone without a result",
        f"{gone} and its code server, which were starting this run, are gone",
    ]
    assert [status_of(instance, run) for run in (working, starting)] == [STATUS.FAILURE] * 2


def test_runs_that_wait_or_work_are_those_that_go_on(instance: dg.DagsterInstance) -> None:
    alive = [
        run_of(instance, unused_day(), STATUS.QUEUED),
        run_of(instance, unused_day(), STATUS.STARTED, worker=Worker.process()),
        run_of(instance, None, STATUS.STARTED, worker=Worker("elsewhere", 1, "1"), tags=OVER_DAYS),
        run_of(instance, None, STATUS.STARTING),
        run_of(instance, None, STATUS.STARTED),  # by another executor, which signs nothing
    ]
    instance.add_run_tags(alive[-1].run_id, dead_worker().signature(alive[-1].run_id, LAUNCHER_TAG))
    ended = [
        run_of(instance, unused_day(), STATUS.STARTED, worker=dead_worker()),
        run_of(instance, None, STATUS.SUCCESS),
    ]

    going_on = {run.run_id for run in end_lost_runs(instance)}

    assert going_on >= {run.run_id for run in alive}
    assert going_on.isdisjoint(run.run_id for run in ended)
