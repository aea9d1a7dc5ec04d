"""The statements behind the SQL view ``job_status``: the attempts that speak for their jobs, and why they failed.

What migrates a database is in ``job_status.view``.
"""

from capstone_dagster.job_status.attempts_sql import BEGINNING, FAILURE, STEP_EVENTS, attempts, listed, quoted
from capstone_dagster.job_status.reasons_sql import functions
from capstone_dagster.runs.failure_reasons import NO_REASON

# The columns, in an order that stays: new ones come at the end.
VIEW_COLUMNS = {
    "job_id": "text",
    "status": "text",
    "updated_time": "timestamptz",
    "run_id": "text",
    "attempts": "bigint",
    "job": "text",
    "trading_day": "date",
    "started": "timestamptz",
    "ended": "timestamptz",
    "seconds": "bigint",
    "worker": "text",
    "error": "text",
    "note": "text",
}

# The view looks up these events of every run; without the indexes it reads all there are.
_INDEXES = """
CREATE INDEX IF NOT EXISTS job_status_steps ON event_logs (run_id, step_key, id DESC)
INCLUDE (dagster_event_type, "timestamp")
WHERE dagster_event_type IN ({step_events});

CREATE INDEX IF NOT EXISTS job_status_ends ON event_logs (run_id, dagster_event_type, id)
WHERE dagster_event_type IN ({ends});
"""

_VIEW = r"""
CREATE OR REPLACE VIEW job_status AS
WITH RECURSIVE
{attempts}
SELECT
    job_id, status, updated_time, run_id, attempts, job, job_status_day(partition) AS trading_day, started, ended,
    seconds, worker,
    CASE WHEN status IN ('FAILURE', 'CANCELED') THEN (
        -- A step tells why it failed; what was recorded before, while its process was frozen, comes first.
        SELECT CASE
            WHEN step.id IS NULL THEN ended.words
            WHEN ending.id < step.id THEN concat_ws('; ', nullif(ended.words, ''), step.reason)
            ELSE step.reason
        END
        FROM (SELECT) AS one
        LEFT JOIN LATERAL (
            SELECT id, job_status_reason(job_status_json(event)) AS reason
            FROM event_logs
            WHERE event_logs.run_id = attempts.run_id AND dagster_event_type = 'STEP_FAILURE'
            ORDER BY id
            LIMIT 1
        ) AS step ON true
        LEFT JOIN LATERAL (
            SELECT id, job_status_reason(job_status_json(event)) AS reason
            FROM event_logs
            WHERE event_logs.run_id = attempts.run_id AND dagster_event_type IN ({failure}, 'PIPELINE_CANCELED')
            ORDER BY id
            LIMIT 1
        ) AS ending ON true
        LEFT JOIN LATERAL (
            SELECT concat_ws(' ', coalesce(said->'dagster_event'->>'message', said->>'user_message'), btrim(
                said->'dagster_event'->'event_specific_data'->'error'->>'message', E' \t\r\n')) AS words
            FROM (
                SELECT job_status_json(event) AS said
                FROM event_logs
                WHERE event_logs.run_id = attempts.run_id
                    AND dagster_event_type = 'ENGINE_EVENT' AND event_logs.id < ending.id
                ORDER BY event_logs.id DESC
                LIMIT 1
            ) AS last
        ) AS said_before ON ending.reason = {no_reason}
        CROSS JOIN LATERAL (SELECT coalesce(said_before.words, ending.reason) AS words) AS ended
    ) END AS error,
    note
FROM attempts
WHERE is_current
"""


def statements() -> list[str]:
    """What makes or replaces the view, and what it stands on."""
    values = {
        "attempts": attempts("job_status_day(partition) IS NOT NULL"),
        "step_events": listed(STEP_EVENTS),
        "ends": listed((BEGINNING, FAILURE, "PIPELINE_CANCELED", "STEP_FAILURE")),
        "failure": quoted(FAILURE),
        "no_reason": quoted(NO_REASON),
    }
    return [functions(), *(statement.format(**values) for statement in (_INDEXES, _VIEW))]


def stub() -> str:
    """The view while Dagster's own tables are changed: it stands on none of them, and keeps the grants."""
    columns = ", ".join(f"NULL::{kind} AS {name}" for name, kind in VIEW_COLUMNS.items())
    return f"CREATE OR REPLACE VIEW job_status AS SELECT {columns} WHERE false"
