"""The statements behind the SQL view ``job_status``: the rules of ``job_status`` and ``assets.job_of_run``.

A test compares the two on random histories. What migrates a database is in ``job_status.view``.
"""

from collections.abc import Iterable

from capstone_dagster.assets.job_of_run import table_steps
from capstone_dagster.assets.jobs import ASSETS, HALVES, JOB_NAMES
from capstone_dagster.job_status.attempts import BEGINNING, FAILURE, STEP_EVENTS
from capstone_dagster.job_status.reasons_sql import functions
from capstone_dagster.run_tags import OUTSIDE_TAG, REFUSED_TAG, RESUME_TAGS, WORKER_TAG
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
jobs (job, assets, step_keys) AS (VALUES {jobs}),
halves (job, step_keys) AS (VALUES {halves}),
days AS MATERIALIZED (
    SELECT
        runs.id, runs.run_id::text, runs.pipeline_name, runs.status::text, runs.update_timestamp, runs.start_time,
        runs.end_time, job_status_day(runs.partition) AS trading_day, parent, resumes,
        CASE WHEN strpos(selections, '"asset_selection": {{"__frozenset__": [{{') > 0 THEN ARRAY(
            SELECT asset
            FROM regexp_matches(
                substr(selections, strpos(selections, '"asset_selection": {{')), '"path": \["([^]]*)"\]', 'g'
            ) AS path
            CROSS JOIN LATERAL (SELECT replace(path[1], '", "', '/') AS asset) AS named
            ORDER BY asset COLLATE "C"
        ) END AS selection,
        strpos(selections, '"asset_check_selection": {{"__frozenset__": [{{') > 0 AS is_of_checks,
        CASE WHEN NOT resumes THEN (
            SELECT CASE WHEN starts_with(steps, '["') THEN
                string_to_array(substr(split_part(steps, '"]', 1), 3), '", "')
            END
            FROM (SELECT split_part(runs.run_body, '"step_keys_to_execute": ', 2) AS steps OFFSET 0) AS read
        ) END AS step_keys,
        EXISTS (
            SELECT FROM run_tags WHERE run_tags.run_id = runs.run_id AND key = {outside} AND value = runs.run_id
        ) AS is_outside,
        EXISTS (
            SELECT FROM run_tags WHERE run_tags.run_id = runs.run_id AND key = {refused} AND value = runs.run_id
        ) AS is_refused
    FROM runs
    -- The text of a run has 27,000 characters, most of them holidays. Its fields are in the order of the alphabet: what
    -- is asked for of every run comes first, before anything that people write.
    CROSS JOIN LATERAL (SELECT left(runs.run_body, 2500) AS text OFFSET 0) AS beginning
    CROSS JOIN LATERAL (
        SELECT split_part(
            CASE WHEN strpos(text, '"partitions_subset"') > 0 THEN text ELSE runs.run_body END,
            '"partitions_subset"', 1
        ) AS head
        OFFSET 0
    ) AS heads
    CROSS JOIN LATERAL (
        SELECT
            split_part(head, '"execution_plan_snapshot_id"', 1) AS selections,
            substring(head FROM '"parent_run_id": "([^"]+)"') AS parent
        OFFSET 0
    ) AS named
    CROSS JOIN LATERAL (
        SELECT parent IS NOT NULL AND EXISTS (
            SELECT FROM run_tags
            WHERE run_tags.run_id = runs.run_id AND key IN ({resume}) AND value = 'true'
        ) AS resumes
        OFFSET 0
    ) AS known
    WHERE job_status_day(runs.partition) IS NOT NULL
),
-- A run that goes on where another has failed is about what that one was about.
resumed (run_id, origin) AS (
    SELECT run_id, run_id FROM days WHERE resumes
    UNION
    SELECT resumed.run_id, parent.run_id
    FROM resumed
    JOIN days AS child ON child.run_id = resumed.origin AND child.resumes
    JOIN days AS parent ON parent.run_id = child.parent
),
origins AS (
    SELECT DISTINCT ON (resumed.run_id) resumed.run_id, days.run_id AS origin
    FROM resumed
    JOIN days ON days.run_id = resumed.origin
    ORDER BY resumed.run_id, days.id
),
subjects AS (
    SELECT
        days.*,
        CASE WHEN NOT lacks_steps THEN jobs.job END AS run_job,
        coalesce(jobs.assets, origin.selection) AS assets,
        CASE WHEN jobs.job IS NULL THEN array_to_string(origin.selection, ', ')
            ELSE 'the steps ' || array_to_string(origin.step_keys, ', ') || ' of ' || jobs.job END AS part
    FROM days
    LEFT JOIN origins USING (run_id)
    JOIN days AS origin ON origin.run_id = coalesce(origins.origin, days.run_id)
    LEFT JOIN jobs ON CASE WHEN origin.selection IS NULL
        THEN NOT origin.is_of_checks AND jobs.job = CASE
            WHEN starts_with(origin.pipeline_name, '__ASSET_JOB') THEN 'daily_pipeline' ELSE origin.pipeline_name END
        ELSE jobs.assets = origin.selection END
    CROSS JOIN LATERAL (
        SELECT origin.step_keys IS NOT NULL AND NOT coalesce(origin.step_keys @> jobs.step_keys, false) AS lacks_steps
    ) AS steps
    WHERE NOT days.is_refused
),
-- Of each job and day, the latest run that did only a part of it.
parts AS (
    SELECT DISTINCT ON (jobs.job, subjects.trading_day)
        jobs.job, subjects.trading_day, subjects.id, subjects.run_id, subjects.part, subjects.status
    FROM subjects
    JOIN jobs ON subjects.assets && jobs.assets
    WHERE subjects.run_job IS NULL
    ORDER BY jobs.job, subjects.trading_day, subjects.id DESC
),
attempts AS (
    SELECT run_job AS job, status, update_timestamp AS updated,
        to_timestamp(start_time) AS started, to_timestamp(end_time) AS ended,
        id, run_id, trading_day, is_outside
    FROM subjects
    WHERE run_job IS NOT NULL
    UNION ALL
    -- A run of daily_pipeline as an attempt at each half, judged by the last event of each of the half's steps.
    SELECT
        halves.job,
        CASE
            WHEN is_outside THEN subjects.status
            WHEN steps.begun = 0 AND halves.job = 'analytical' AND subjects.status IN ('STARTING', 'STARTED')
                THEN 'QUEUED'
            WHEN steps.has_failed THEN 'FAILURE'
            WHEN steps.has_succeeded THEN 'SUCCESS'
            ELSE subjects.status
        END,
        CASE WHEN NOT is_outside AND (steps.has_failed OR steps.has_succeeded) THEN steps.updated
            ELSE update_timestamp END,
        CASE WHEN is_outside THEN to_timestamp(start_time) ELSE steps.started AT TIME ZONE 'UTC' END,
        CASE WHEN NOT is_outside AND (steps.has_failed OR steps.has_succeeded) THEN steps.updated AT TIME ZONE 'UTC'
            ELSE to_timestamp(end_time) END,
        id, run_id, trading_day, is_outside
    FROM subjects
    CROSS JOIN halves
    CROSS JOIN LATERAL (
        SELECT
            planned, begun, updated, started,
            failed > 0 AND subjects.status NOT IN ('CANCELING', 'CANCELED') AS has_failed,
            begun > 0 AND succeeded = planned AS has_succeeded
        FROM (
            SELECT
                count(*) AS planned,
                count(*) FILTER (WHERE starts_with(last.type, 'STEP_')) AS begun,
                count(*) FILTER (WHERE last.type = 'STEP_FAILURE') AS failed,
                count(*) FILTER (WHERE last.type = 'STEP_SUCCESS') AS succeeded,
                max(last.at) FILTER (WHERE starts_with(last.type, 'STEP_')) AS updated
            FROM (
                SELECT DISTINCT ON (step_key) dagster_event_type AS type, "timestamp" AS at
                FROM event_logs
                WHERE event_logs.run_id = subjects.run_id
                    AND step_key = ANY (halves.step_keys)
                    AND dagster_event_type IN ({step_events})
                ORDER BY step_key, id DESC
            ) AS last
        ) AS counted
        CROSS JOIN LATERAL (
            SELECT min("timestamp") AS started
            FROM event_logs
            WHERE event_logs.run_id = subjects.run_id
                AND step_key = ANY (halves.step_keys)
                AND dagster_event_type = 'STEP_START'
        ) AS beginning
    ) AS steps
    WHERE run_job = 'daily_pipeline'
        AND (
            is_outside OR steps.begun > 0
            OR (steps.planned > 0 AND subjects.status NOT IN ('SUCCESS', 'FAILURE', 'CANCELED'))
        )
),
current AS (
    SELECT DISTINCT ON (job, trading_day)
        job, trading_day, status, updated, started, ended, run_id, is_outside, id,
        count(*) OVER (PARTITION BY job, trading_day) AS attempts
    FROM attempts
    CROSS JOIN LATERAL (
        SELECT coalesce(
            max(event_logs.id) FILTER (WHERE dagster_event_type = {beginning}), max(event_logs.id), 0
        ) AS number
        FROM event_logs
        WHERE event_logs.run_id = attempts.run_id AND dagster_event_type IN ({beginning}, {failure})
    ) AS begun
    -- One in progress speaks for the job, else one that waits, else the latest begun: by the order in which the
    -- storage has numbered the events, not by clocks.
    ORDER BY
        job, trading_day,
        CASE WHEN status IN ('STARTING', 'STARTED', 'CANCELING') THEN 2 WHEN status = 'QUEUED' THEN 1 ELSE 0 END DESC,
        begun.number DESC,
        id DESC
)
SELECT
    current.job || '_' || current.trading_day AS job_id,
    current.status,
    updated AT TIME ZONE 'UTC' AS updated_time,
    current.run_id,
    attempts,
    current.job,
    current.trading_day,
    started,
    ended,
    CASE WHEN ended IS NOT NULL AND started IS NOT NULL
        THEN greatest(0, floor(extract(epoch FROM ended - started)))::bigint END AS seconds,
    CASE
        WHEN worker IS NOT NULL THEN 'process ' || worker[2] || ' on ' || split_part(worker[1], ':', 1)
        WHEN is_outside THEN 'outside Dagster'
    END AS worker,
    CASE WHEN current.status IN ('FAILURE', 'CANCELED') THEN (
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
            WHERE event_logs.run_id = current.run_id AND dagster_event_type = 'STEP_FAILURE'
            ORDER BY id
            LIMIT 1
        ) AS step ON true
        LEFT JOIN LATERAL (
            SELECT id, job_status_reason(job_status_json(event)) AS reason
            FROM event_logs
            WHERE event_logs.run_id = current.run_id AND dagster_event_type IN ({failure}, 'PIPELINE_CANCELED')
            ORDER BY id
            LIMIT 1
        ) AS ending ON true
        LEFT JOIN LATERAL (
            SELECT concat_ws(' ', coalesce(said->'dagster_event'->>'message', said->>'user_message'), btrim(
                said->'dagster_event'->'event_specific_data'->'error'->>'message', E' \t\r\n')) AS words
            FROM (
                SELECT job_status_json(event) AS said
                FROM event_logs
                WHERE event_logs.run_id = current.run_id
                    AND dagster_event_type = 'ENGINE_EVENT' AND event_logs.id < ending.id
                ORDER BY event_logs.id DESC
                LIMIT 1
            ) AS last
        ) AS said_before ON ending.reason = {no_reason}
        CROSS JOIN LATERAL (SELECT coalesce(said_before.words, ending.reason) AS words) AS ended
    ) END AS error,
    'run ' || parts.run_id || ' of ' || parts.part || ' alone: ' || parts.status AS note
FROM current
LEFT JOIN LATERAL (
    SELECT regexp_match(value, '^(\S+) (\d+) \d+(?:\.\d+)? (\S+)$') AS worker
    FROM run_tags
    WHERE run_tags.run_id = current.run_id AND key = {worker}
) AS signature ON worker[3] = current.run_id
LEFT JOIN parts ON parts.job = current.job AND parts.trading_day = current.trading_day AND parts.id > current.id
"""


def statements() -> list[str]:
    """What makes or replaces the view, and what it stands on."""
    assets = {job: sorted(key.to_user_string() for key in ASSETS[job]) for job in JOB_NAMES}
    steps = {job: sorted(table_steps(job)) for job in JOB_NAMES}
    values = {
        "jobs": ", ".join(f"({_quoted(job)}, {_array(assets[job])}, {_array(steps[job])})" for job in JOB_NAMES),
        "halves": ", ".join(f"({_quoted(job)}, {_array(HALVES[job])})" for job in HALVES),
        "step_events": _list(STEP_EVENTS),
        "ends": _list((BEGINNING, FAILURE, "PIPELINE_CANCELED", "STEP_FAILURE")),
        "beginning": _quoted(BEGINNING),
        "failure": _quoted(FAILURE),
        "outside": _quoted(OUTSIDE_TAG),
        "refused": _quoted(REFUSED_TAG),
        "worker": _quoted(WORKER_TAG),
        "resume": _list(RESUME_TAGS),
        "no_reason": _quoted(NO_REASON),
    }
    return [functions(), *(statement.format(**values) for statement in (_INDEXES, _VIEW))]


def stub() -> str:
    """The view while Dagster's own tables are changed: it stands on none of them, and keeps the grants."""
    columns = ", ".join(f"NULL::{kind} AS {name}" for name, kind in VIEW_COLUMNS.items())
    return f"CREATE OR REPLACE VIEW job_status AS SELECT {columns} WHERE false"


def _array(names: Iterable[str]) -> str:
    return f"ARRAY[{_list(names)}]"


def _list(names: Iterable[str]) -> str:
    return ", ".join(_quoted(name) for name in names)


def _quoted(name: str) -> str:
    return "'" + name.replace("'", "''") + "'"
