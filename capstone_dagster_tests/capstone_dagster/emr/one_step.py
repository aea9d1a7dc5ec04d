"""One step that Dagster has begun, and what a cluster would tell of it; the step itself is not run.

For tests of what the launcher does around a step. Time passes when they say so.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import dagster as dg
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import create_execution_plan
from dagster._core.execution.context.system import StepExecutionContext
from dagster._core.execution.context_creation_job import scoped_job_context
from dagster._core.execution.plan.state import KnownExecutionState

from capstone_dagster.run_tags import PARTITION_TAG
from capstone_dagster_tests.builders.run_histories import Event
from capstone_dagster_tests.servers.emr_platform import DAY

STEP = "ingested__events"


@dataclass
class Clock:
    """Time that passes only while somebody pauses."""

    meanwhile: Callable[["Clock"], None] = lambda _: None
    """Called in every pause."""
    now: float = 0.0
    pauses: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        self.meanwhile(self)


@contextmanager
def begun_step(defs: dg.Definitions, instance: dg.DagsterInstance) -> Iterator[StepExecutionContext]:
    """The step ``ingested__events`` of the day, at the moment in which its launcher is asked."""
    job = defs.resolve_job_def("preprocessing")
    run = instance.create_run_for_job(job, tags={PARTITION_TAG: DAY.isoformat()})
    plan = create_execution_plan(job, step_keys_to_execute=[STEP])
    with scoped_job_context(plan, InMemoryJob(job), {}, run, instance) as context:
        step = context.for_step(plan.get_step_by_key(STEP), KnownExecutionState())  # type: ignore[arg-type]
        assert isinstance(step, StepExecutionContext)
        yield step


def entry(step: StepExecutionContext, happened: Event | str) -> dg.EventLogEntry:
    """An event of the step, or a line of its log, as it is stored."""
    event = None if isinstance(happened, str) else happened.of(step.job_name)
    return dg.EventLogEntry(  # type: ignore[no-untyped-call]
        error_info=None,
        level=20,
        user_message=happened if isinstance(happened, str) else happened.message or happened.type.value,
        run_id=step.run_id,
        timestamp=1.0,
        step_key=STEP,
        job_name=step.job_name,
        dagster_event=event,
    )
