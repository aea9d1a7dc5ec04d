"""Histories of runs as Dagster leaves them in its storage: a run, then the events that changed it.

What happened comes with a time of its own, so that tests know which to expect.
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import dagster as dg
from dagster._core.events import AssetMaterializationPlannedData
from dagster._core.execution.plan.objects import StepFailureData, StepSuccessData, UserFailureData
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from capstone_dagster.assets.jobs import HALVES, JobName
from capstone_dagster.run_tags import LAUNCHER_TAG, PARTITION_TAG
from capstone_dagster.runs.worker import Worker

DAY = date(2020, 8, 6)
FIRST_EVENT = datetime(2020, 8, 6, 22, 0, tzinfo=UTC)

# Dagster queues only runs that it could load again.
_REPOSITORY = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("capstone"), "__repository__")


@dataclass(frozen=True)
class Event:
    """Something that happened to a run, or to one of its steps."""

    type: dg.DagsterEventType
    step: str | None = None
    message: str | None = None

    def of(self, job: str) -> dg.DagsterEvent:
        return dg.DagsterEvent(
            self.type.value, job, step_key=self.step, message=self.message, event_specific_data=self._data()
        )

    def _data(self) -> StepSuccessData | StepFailureData | None:
        if self.type == dg.DagsterEventType.STEP_SUCCESS:
            return StepSuccessData(duration_ms=1.0)  # type: ignore[no-untyped-call]
        if self.type == dg.DagsterEventType.STEP_FAILURE:
            because = UserFailureData(label="failed", description=self.message)  # type: ignore[no-untyped-call]
            return StepFailureData(error=None, user_failure_data=because)  # type: ignore[no-untyped-call]
        return None


QUEUED = Event(dg.DagsterEventType.RUN_ENQUEUED)
STARTING = Event(dg.DagsterEventType.RUN_STARTING)
STARTED = Event(dg.DagsterEventType.RUN_START)
CANCELING = Event(dg.DagsterEventType.RUN_CANCELING)
CANCELED = Event(dg.DagsterEventType.RUN_CANCELED)
SUCCESS = Event(dg.DagsterEventType.RUN_SUCCESS)
FAILURE = Event(dg.DagsterEventType.RUN_FAILURE)


def began(step: str) -> Event:
    return Event(dg.DagsterEventType.STEP_START, step)


def succeeded(step: str) -> Event:
    return Event(dg.DagsterEventType.STEP_SUCCESS, step)


def failed(step: str, reason: str = "no raw files") -> Event:
    return Event(dg.DagsterEventType.STEP_FAILURE, step, reason)


def did(*steps: str) -> list[Event]:
    """The steps, one after another, each with success."""
    return [event for step in steps for event in (began(step), succeeded(step))]


def did_half(half: JobName) -> list[Event]:
    return did(*HALVES[half])


def _steps(job: str) -> list[str]:
    return [step for half, steps in HALVES.items() if job in (half, "daily_pipeline", "__ASSET_JOB") for step in steps]


class Histories:
    """Writes runs into an instance; between two events its clock ticks once."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.tick = timedelta(minutes=1)
        self.now = FIRST_EVENT - self.tick
        """When the last event happened."""

    def run(
        self,
        job: str,
        *events: Event,
        day: date = DAY,
        tags: Mapping[str, str] | None = None,
        run_id: str | None = None,
        only_steps: Sequence[str] | None = None,
        assets: Sequence[str] | None = None,
        parent: str | None = None,
    ) -> str:
        """A new run to which these events happened; returns its id."""
        run_id = run_id or str(uuid.uuid4())
        # On another host, so that nobody takes it for lost because its start is years ago.
        launcher = Worker("elsewhere", 1, "1").signature(run_id, LAUNCHER_TAG)
        run = dg.DagsterRun(
            job_name=job,
            run_id=run_id,
            tags={PARTITION_TAG: day.isoformat(), **launcher, **(tags or {})},
            step_keys_to_execute=only_steps,
            asset_selection=None if assets is None else frozenset(dg.AssetKey(path.split("/")) for path in assets),
            parent_run_id=parent,
            root_run_id=parent,
            remote_job_origin=RemoteJobOrigin(_REPOSITORY, job),
        )
        self.instance.add_run(run)
        for step in only_steps or _steps(job):
            self._planned(run, step)
        self.happened(run.run_id, *events)
        return run.run_id

    def _planned(self, run: dg.DagsterRun, step: str) -> None:
        planned = dg.DagsterEvent(
            dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED.value,
            run.job_name,
            step_key=step,
            event_specific_data=AssetMaterializationPlannedData(dg.AssetKey(step), partition=run.tags[PARTITION_TAG]),
        )
        self.instance.report_dagster_event(planned, run.run_id, timestamp=self.now.timestamp())

    def happened(self, run_id: str, *events: Event) -> None:
        """More events of a run."""
        run = self.instance.get_run_by_id(run_id)
        assert run
        for event in events:
            self.now += self.tick
            self.instance.report_dagster_event(event.of(run.job_name), run_id, timestamp=self.now.timestamp())
