"""Runs as Dagster records them, one for every way in which a job goes: the originals of ``filled_storage``.

They are made with the platform's own jobs and Dagster's API, so that every row is one that Dagster wrote. Only
the work is left out: steps report what real ones report, in about as many bytes. To import this module loads the
definitions, with the settings that the environment has by then.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import dagster as dg
from dagster._core.events import StepMaterializationData
from dagster._core.execution.plan.objects import StepFailureData, StepSuccessData, UserFailureData
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin
from dagster_shared.error import SerializableErrorInfo

from capstone_dagster.assets.jobs import HALVES, JobName, job_id
from capstone_dagster.definitions import code_location, defs
from capstone_dagster.run_tags import PARTITION_TAG
from capstone_dagster.runs import day_run
from capstone_dagster.tracker import Tracker
from spark_code.schemas import TABLES

_STATUS = dg.DagsterRunStatus
_EVENT = dg.DagsterEventType

# Today's runs have 32 to 66 event rows of 1.1 kB on average; assets and checks will become more.
_EVENT_ROWS = 100
_LINE = "reading ingested/events: a line of a step's log, as long as an average event. ".ljust(700, ".")
_PREVIEW = "| 2015-01-02 | Q | SYMA | NASDAQ | 09:30:00 | 64.297300 | 500 | 64.468500 | 500 |\n" * 70

_STACK = [
    '  File "/site-packages/py4j/java_gateway.py", line 1362, in __call__\n    answer, self.gateway_client\n'
] * 60
_ERROR = SerializableErrorInfo(
    "pyspark.errors.AnalysisException: [UNRESOLVED_COLUMN.WITH_SUGGESTION] A column cannot be resolved.\n",
    _STACK,
    "AnalysisException",
)


@dataclass(frozen=True)
class Course:
    """How a run of a job goes."""

    job: JobName
    status: dg.DagsterRunStatus
    stops_at: str | None = None
    """The step that fails or still works; those behind it do not begin."""
    is_outside: bool = False


# The one that is still at work comes last: until it ends, it holds the slot of the day.
COURSES: Mapping[str, Course] = {
    "daily": Course("daily_pipeline", _STATUS.SUCCESS),
    "daily_failed_in_eod": Course("daily_pipeline", _STATUS.FAILURE, "eod"),
    "daily_failed_in_report": Course("daily_pipeline", _STATUS.FAILURE, "report"),
    "daily_canceled": Course("daily_pipeline", _STATUS.CANCELED, "ingested__events"),
    "preprocessing": Course("preprocessing", _STATUS.SUCCESS),
    "preprocessing_failed": Course("preprocessing", _STATUS.FAILURE, "ingested__events"),
    "preprocessing_outside": Course("preprocessing", _STATUS.SUCCESS, is_outside=True),
    "analytical": Course("analytical", _STATUS.SUCCESS),
    "analytical_failed": Course("analytical", _STATUS.FAILURE, "report"),
    "daily_waits": Course("daily_pipeline", _STATUS.QUEUED),
    "daily_works": Course("daily_pipeline", _STATUS.STARTED, "report"),
}


def record(instance: dg.DagsterInstance, course: Course, day: date) -> str:
    """Make a run that goes like this; returns its id."""
    if course.is_outside:
        run_id = Tracker(instance).update_job_status(job_id(course.job, day), course.status.value).run_id
    elif course.status == _STATUS.QUEUED:
        run_id = _enqueue(instance, course.job, day)
    else:
        run_id = _execute(instance, course, day)
    run = instance.get_run_by_id(run_id)
    if run is None or (run.job_name, run.status) != (course.job, course.status):
        raise RuntimeError(f"{course} was recorded as {run}")
    return run_id


def _execute(instance: dg.DagsterInstance, course: Course, day: date) -> str:
    form = code_location().get_reconstructable_job(course.job)
    run = day_run.begin(instance, form, day, worker=None, run_config={"loggers": {"progress": {}}})
    reporter = _Reporter(instance, run)
    reporter.event(_EVENT.RUN_START)
    _report_steps(reporter, course, day)
    if course.status == _STATUS.SUCCESS:
        reporter.event(_EVENT.RUN_SUCCESS)
    elif course.status == _STATUS.FAILURE:
        instance.report_run_failed(run, f"Execution of run failed. Steps failed: ['{course.stops_at}'].")
    elif course.status == _STATUS.CANCELED:
        instance.report_run_canceled(run)
    return run.run_id


def _enqueue(instance: dg.DagsterInstance, job: JobName, day: date) -> str:
    """Make a run that waits, as the UI does: the queue takes only those that name their code location."""
    location = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("capstone"), "__repository__")
    run = instance.create_run_for_job(
        defs.resolve_job_def(job),
        status=_STATUS.QUEUED,
        tags={PARTITION_TAG: day.isoformat()},
        remote_job_origin=location.get_job_origin(job),
    )
    return run.run_id


def _report_steps(reporter: "_Reporter", course: Course, day: date) -> None:
    steps = HALVES.get(course.job) or tuple(step for half in HALVES.values() for step in half)
    lines = _EVENT_ROWS // len(steps) - 3
    for step in steps:
        if step == course.stops_at and course.status == _STATUS.CANCELED:
            return
        reporter.event(_EVENT.STEP_START, step)
        for _ in range(lines):
            reporter.line(step)
        if step == course.stops_at:
            if course.status == _STATUS.FAILURE:
                reporter.failure(step)
            return
        for materialization in _materializations(step, day):
            reporter.event(_EVENT.ASSET_MATERIALIZATION, step, StepMaterializationData(materialization))
        done = StepSuccessData(duration_ms=2000.0)  # type: ignore[no-untyped-call]
        reporter.event(_EVENT.STEP_SUCCESS, step, done)


def _materializations(step: str, day: date) -> Iterator[dg.AssetMaterialization]:
    for table in TABLES.values():
        if step in (table.layer, table.path.replace("/", "__")):
            metadata: dict[str, dg.MetadataValue[Any] | int] = {
                "preview": dg.MetadataValue.md(_PREVIEW),
                "dagster/partition_row_count": 1,
            }
            yield dg.AssetMaterialization(table.path.split("/"), metadata=metadata, partition=day.isoformat())


class _Reporter:
    """What the steps of one run tell the run storage."""

    def __init__(self, instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
        self._instance = instance
        self._run = run

    def event(self, what: dg.DagsterEventType, step: str | None = None, data: object = None) -> None:
        """Report one event of Dagster's."""
        tags = {"job_name": self._run.job_name, "op_name": f"{step}", "run_id": self._run.run_id, "step_key": f"{step}"}
        event = dg.DagsterEvent(
            what.value,
            self._run.job_name,
            step_key=step,
            event_specific_data=data,  # type: ignore[arg-type]  # one of many classes
            logging_tags=tags if step else None,
            message=f"{what.value} of {step or self._run.job_name}",
        )
        self._instance.report_dagster_event(event, self._run.run_id)

    def line(self, step: str) -> None:
        """Report one line of a step's log."""
        entry = dg.EventLogEntry(  # type: ignore[no-untyped-call]
            error_info=None,
            level="info",
            user_message=_LINE,
            run_id=self._run.run_id,
            timestamp=time.time(),
            step_key=step,
            job_name=self._run.job_name,
        )
        self._instance.handle_new_event(entry)

    def failure(self, step: str) -> None:
        """Report that a step failed: one of the reports for a missing input, others with Spark's stack."""
        said = UserFailureData("intentional-failure", "eod/closes of the day before is not published")  # type: ignore[no-untyped-call]
        data = StepFailureData(_ERROR, said if step == "report" else None)  # type: ignore[no-untyped-call]
        self.event(_EVENT.STEP_FAILURE, step, data)
