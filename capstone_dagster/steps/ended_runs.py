"""A run that was recorded as ended stays ended, even if its process was only frozen and goes on.

Canceling a run in the UI, a run's time limit, and a status that is set from outside all write into the run storage. So
the process asks the run storage at the moment it publishes, and before it records its own end.
"""

from datetime import UTC, datetime

import dagster as dg


class RunEndedError(dg.DagsterExecutionInterruptedError):
    """The run was recorded as ended. As an interruption, this error leaves the recorded status as it is."""


def require_in_progress(instance: dg.DagsterInstance, run_id: str) -> None:
    """Refuse to go on with a run that was recorded as ended or deleted."""
    _in_progress(instance, run_id)


def require_wanted(instance: dg.DagsterInstance, run_id: str) -> None:
    """Also refuse to publish for a run that is to stop: the interruption is lost if Python ignores errors just then."""
    run = _in_progress(instance, run_id)
    if run and run.status == dg.DagsterRunStatus.CANCELING:
        raise RunEndedError("the run is to stop; what it has computed is not published")


def _in_progress(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRun | None:
    """The run, if this instance knows it."""
    record = instance.get_run_record_by_id(run_id)
    if record is None:
        if instance.is_ephemeral:  # on a cluster: its host knows the run, and gives up the attempt in the lake
            return None
        raise RunEndedError(f"run {run_id} was deleted while its process went on; its rows are not published")
    if record.dagster_run.is_finished:
        ended = f" at {datetime.fromtimestamp(record.end_time, UTC):%Y-%m-%d %H:%M:%S} UTC" if record.end_time else ""
        raise RunEndedError(
            f"the run was recorded as {record.dagster_run.status.value}{ended}; "
            "what it has computed since is not published"
        )
    return record.dagster_run
