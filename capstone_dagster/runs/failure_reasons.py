"""Why a step or a run failed, in a sentence that people can act on; the stack traces are in the run storage."""

import re
from typing import Any

import dagster as dg

_CAUSES_SHOWN = 3
NOT_RECORDED = "no reason was recorded"
INTERRUPTED = "interrupted: the run was stopped, or its process was asked to end"
# The class of our errors, which says nothing to people: their messages are sentences.
_OUR_CLASS = r"^(?:capstone_dagster|spark_code|dagster)\.[\w.]+: "

# Dagster writes this if there is no reason; the engine event before it says more.
NO_REASON = "This run has been marked as failed from outside the execution context."


def run_reason(instance: dg.DagsterInstance, run_id: str) -> str | None:
    """Why a run failed or was canceled, or None if it was not."""
    types = dg.DagsterEventType
    wanted = {types.STEP_FAILURE, types.RUN_FAILURE, types.RUN_CANCELED, types.ENGINE_EVENT}
    message_before = reason = None
    for entry in instance.all_logs(run_id, of_type=wanted):
        event = entry.dagster_event
        if event is None or event.event_type == types.ENGINE_EVENT:
            error = event and event.engine_event_data.error
            message_before = f"{entry.message} {error.message.strip()}" if error else entry.message
        elif event.event_type == types.STEP_FAILURE:
            # If it comes after a recorded end, a process that was only frozen has gone on, and was refused.
            return f"{reason}; {failure_reason(event)}" if reason else failure_reason(event)
        elif reason is None:
            reason = _end_reason(event, message_before)
    return reason


def _end_reason(event: dg.DagsterEvent, message_before: str | None) -> str | None:
    if error := getattr(event.event_specific_data, "error", None):
        return _root_message(error)
    return message_before if message_before and event.message == NO_REASON else event.message


def _root_message(error: Any) -> str:
    """The message of an error before the first step, for example from a resource."""
    while error.cause:
        error = error.cause
    return _message(error)


def failure_reason(event: dg.DagsterEvent) -> str:
    """Why a step failed, without the stack trace."""
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    return _step_reason(data.error)


def retry_reason(event: dg.DagsterEvent) -> str:
    """Why a step is tried again."""
    return _step_reason(event.step_retry_data.error)


def _step_reason(error: Any) -> str:
    if error is None:
        return NOT_RECORDED
    # Dagster wraps the error of a step.
    while error.cause and (error.cls_name or "").startswith(("Dagster", dg.RetryRequested.__name__)):
        error = error.cause
    if error.cls_name == dg.DagsterExecutionInterruptedError.__name__:
        return INTERRUPTED
    # Spark wraps the reason in stack traces of two languages; these lines are the reasons.
    causes = re.findall(r"^(?:.*\[[A-Z][A-Z_.]{3,}\].*|Caused by: .*)$", error.to_string(), re.MULTILINE)
    distinct = list(dict.fromkeys(cause.strip(" :") for cause in causes))
    if distinct:
        return "; ".join(
            [*distinct[: _CAUSES_SHOWN - 1], *distinct[-1:]] if len(distinct) > _CAUSES_SHOWN else distinct
        )
    return _message(error)


def _message(error: Any) -> str:
    return re.sub(_OUR_CLASS, "", error.message.strip())
