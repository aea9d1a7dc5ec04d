"""Why a step or a run failed, in a sentence a person can act on; the stacks are in the run storage."""

import re

import dagster as dg

_CAUSES_SHOWN = 3

# What Dagster writes where nobody gave a reason; the engine event before it says more.
_NO_REASON = "This run has been marked as failed from outside the execution context."


def run_reason(instance: dg.DagsterInstance, run_id: str) -> str | None:
    """Why a run failed or was canceled, or None if it was not."""
    types = dg.DagsterEventType
    ended = {types.STEP_FAILURE, types.RUN_FAILURE, types.RUN_CANCELED}
    events = [entry.dagster_event for entry in instance.all_logs(run_id, of_type=ended) if entry.dagster_event]
    by_type = {event.event_type: event for event in reversed(events)}  # the first of each type
    if types.STEP_FAILURE in by_type:
        return failure_reason(by_type[types.STEP_FAILURE])
    last = by_type.get(types.RUN_FAILURE) or by_type.get(types.RUN_CANCELED)
    if last is None:
        return None
    if last.message == _NO_REASON:
        engine = [entry.message for entry in instance.all_logs(run_id, of_type=types.ENGINE_EVENT)]
        return engine[-1] if engine else last.message
    return last.message


def failure_reason(event: dg.DagsterEvent) -> str:
    """Why a step failed, without the stack: that is in the run storage."""
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    error = data.error
    if error is None:
        return "no reason was recorded"
    # Dagster wraps what a step raised.
    while error.cause and (error.cls_name or "").startswith("Dagster"):
        error = error.cause
    # Spark wraps the reason in stacks of two languages; the reasons are these lines.
    causes = re.findall(r"^(?:.*\[[A-Z][A-Z_.]{3,}\].*|Caused by: .*)$", error.to_string(), re.MULTILINE)
    distinct = list(dict.fromkeys(cause.strip() for cause in causes))
    if distinct:
        return "; ".join(
            [*distinct[: _CAUSES_SHOWN - 1], *distinct[-1:]] if len(distinct) > _CAUSES_SHOWN else distinct
        )
    return error.message.strip()
