"""How the steps of every run are executed: in the run's own process, which signs the run.

One process, so that all steps share one Spark session, and so do the days of a run over several.
"""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace

import dagster as dg
from dagster._core.execution import compute_logs
from dagster._core.execution.context.system import PlanOrchestrationContext
from dagster._core.execution.plan.plan import ExecutionPlan
from dagster._core.execution.retries import RetryMode, get_retries_config

from capstone_dagster.run_storage.instance import keep_up
from capstone_dagster.run_storage.outages import outlasting_restarts
from capstone_dagster.run_tags import is_over_days
from capstone_dagster.runs.day_guard import require_days
from capstone_dagster.runs.range_run import run_days
from capstone_dagster.runs.worker import Worker
from capstone_dagster.settings import Settings
from capstone_dagster.steps.ended_runs import require_in_progress
from capstone_dagster.steps.retries import interruptible_waits


class _SigningExecutor(dg.Executor):
    def __init__(self, inner: dg.Executor, settings: Settings) -> None:
        self._inner, self._settings = inner, settings

    @property
    def retries(self) -> RetryMode:
        return self._inner.retries

    def execute(
        self, plan_context: PlanOrchestrationContext, execution_plan: ExecutionPlan
    ) -> Iterator[dg.DagsterEvent]:
        with outlasting_restarts(), interruptible_waits(), _unheard_by_helpers():
            instance, run = plan_context.instance, plan_context.dagster_run
            # At once: a run that has started without a signature, and is lost, holds its day until its time is over.
            instance.add_run_tags(run.run_id, Worker.process().signature(run.run_id))
            keep_up(self._settings)
            require_days(instance, run, self._settings.first_trading_day)
            if is_over_days(run):
                run_days(instance, run, plan_context.reconstructable_job.repository, self._settings)
            else:
                yield from self._inner.execute(plan_context, execution_plan)
            require_in_progress(instance, run.run_id)


def signing_executor(settings: Settings) -> dg.ExecutorDefinition:
    """All steps in the process of the run, whose death is noticed."""

    @dg.executor(name="in_process", config_schema={"retries": get_retries_config()})  # type: ignore[no-untyped-call]
    def in_process(context: dg.InitExecutorContext) -> dg.Executor:
        create = dg.in_process_executor.executor_creation_fn
        return _SigningExecutor(create(context), settings)  # type: ignore[misc]  # not None on Dagster's own

    return in_process


@contextmanager
def _unheard_by_helpers() -> Iterator[None]:
    """For the duration, a Ctrl-C does not reach the processes that copy for Dagster what a step prints.

    They end with this process, or when it tells them; by themselves they would print a stack.
    """
    before = vars(compute_logs)["subprocess"]  # of a range, if this is one of its days
    vars(compute_logs)["subprocess"] = SimpleNamespace(Popen=partial(subprocess.Popen, process_group=0))
    try:
        yield
    finally:
        vars(compute_logs)["subprocess"] = before
