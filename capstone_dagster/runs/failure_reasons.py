"""Why a step or a run failed, in a sentence a person can act on; the stacks are in the run storage."""

import re
from typing import Any

import dagster as dg

_CAUSES_SHOWN = 3
# Where nothing was.
NOT_RECORDED = "no reason was recorded"
INTERRUPTED = "interrupted: the run was stopped, or its process was asked to end"
# Of errors that are a sentence the class says nothing to a person.
_OUR_CLASS = r"^(?:capstone_dagster|spark_code|dagster)\.[\w.]+: "

# What Dagster writes where nobody gave a reason; the engine event before it says more.
NO_REASON = "This run has been marked as failed from outside the execution context."


def run_reason(instance: dg.DagsterInstance, run_id: str) -> str | None:
    """Why a run failed or was canceled, or None if it was not."""
    types = dg.DagsterEventType
    wanted = {types.STEP_FAILURE, types.RUN_FAILURE, types.RUN_CANCELED, types.ENGINE_EVENT}
    said_before = reason = None
    for entry in instance.all_logs(run_id, of_type=wanted):
        event = entry.dagster_event
        if event is None or event.event_type == types.ENGINE_EVENT:
            error = event and event.engine_event_data.error
            said_before = f"{entry.message} {error.message.strip()}" if error else entry.message
        elif event.event_type == types.STEP_FAILURE:
            # After the end that was recorded: a process that was only frozen has gone on, and was refused.
            return f"{reason}; {failure_reason(event)}" if reason else failure_reason(event)
        elif reason is None:
            reason = _ended_because(event, said_before)
    return reason


def _ended_because(event: dg.DagsterEvent, said_before: str | None) -> str | None:
    if error := getattr(event.event_specific_data, "error", None):
        return _root(error)
    return said_before if said_before and event.message == NO_REASON else event.message


def _root(error: Any) -> str:
    """What was raised where no step had begun, as in the making of a resource."""
    while error.cause:
        error = error.cause
    return _in_words(error)


def failure_reason(event: dg.DagsterEvent) -> str:
    """Why a step failed, without the stack: that is in the run storage."""
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    return _told(data.error)


def retry_reason(event: dg.DagsterEvent) -> str:
    """Why a step is tried again."""
    return _told(event.step_retry_data.error)


def _told(error: Any) -> str:
    if error is None:
        return NOT_RECORDED
    # Dagster wraps what a step raised.
    while error.cause and (error.cls_name or "").startswith(("Dagster", dg.RetryRequested.__name__)):
        error = error.cause
    if error.cls_name == dg.DagsterExecutionInterruptedError.__name__:
        return INTERRUPTED
    # Spark wraps the reason in stacks of two languages; the reasons are these lines.
    causes = re.findall(r"^(?:.*\[[A-Z][A-Z_.]{3,}\].*|Caused by: .*)$", error.to_string(), re.MULTILINE)
    distinct = list(dict.fromkeys(cause.strip(" :") for cause in causes))
    if distinct:
        return "; ".join(
            [*distinct[: _CAUSES_SHOWN - 1], *distinct[-1:]] if len(distinct) > _CAUSES_SHOWN else distinct
        )
    return _in_words(error)


def _in_words(error: Any) -> str:
    return re.sub(_OUR_CLASS, "", error.message.strip())
