"""The SQL text ``attempts``: the attempts at jobs, from Dagster's tables, and which of them decides the job's status.

It is the only definition of statuses: ``attempts`` runs it for some days, and the SQL view is made of it for all days.
It uses nothing of ours in the database, so that a read-only role can run it. ``assets.job_of_run`` finds the job of a
single run in Python; a test compares the two.
"""

from collections.abc import Iterable

from capstone_dagster.assets.job_of_run import table_steps
from capstone_dagster.assets.jobs import ASSETS, BESIDE_TABLES, HALVES, JOB_NAMES
from capstone_dagster.run_tags import OUTSIDE_TAG, REFUSED_TAG, RESUME_TAGS, ROLLBACK_TAG, WORKER_TAG
from capstone_dagster.runs.day_slot import IN_PROGRESS

# What tells how far a step is; a step that is planned and has not begun has only the first two.
STEP_EVENTS = (
    "ASSET_MATERIALIZATION_PLANNED",
    "ASSET_CHECK_EVALUATION_PLANNED",
    "STEP_START",
    "STEP_SUCCESS",
    "STEP_FAILURE",
)
# What tells in which order runs began, whatever their clocks said: the storage numbers events as they come. A run that
# failed before it began counts from its failure; one that was canceled before says nothing about its job.
BEGINNING, FAILURE = "PIPELINE_START", "PIPELINE_FAILURE"

_TABLES = r"""
jobs (job, assets, step_keys) AS (VALUES {jobs}),
halves (job, step_keys) AS (VALUES {halves}),
-- A run that goes on where another has failed is about what that one was about.
resumed (run_id, origin, origin_id) AS (
    SELECT run_id::text, run_id::text, id FROM runs WHERE {of_days}
    UNION
    SELECT resumed.run_id, parent.run_id::text, parent.id
    FROM resumed
    JOIN run_tags ON run_tags.run_id = resumed.origin AND key IN ({resume}) AND value = 'true'
    JOIN runs AS child ON child.run_id = resumed.origin
    JOIN runs AS parent ON parent.run_id = substring(
        split_part(child.run_body, '"partitions_subset"', 1) FROM '"parent_run_id": "([^"]+)"')
),
origins AS (
    SELECT DISTINCT ON (run_id) run_id, origin FROM resumed ORDER BY run_id, origin_id
),
read_runs AS MATERIALIZED (
    SELECT
        id, run_id, pipeline_name, status::text, update_timestamp, start_time, end_time, partition, tags.*,
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
            FROM (SELECT split_part(run_body, '"step_keys_to_execute": ', 2) AS steps OFFSET 0) AS read
        ) END AS step_keys
    FROM (SELECT run_id FROM origins UNION SELECT origin FROM origins) AS named
    JOIN runs USING (run_id)
    -- The text of a run has 27,000 characters, most of them holidays. Its fields are in the order of the alphabet: what
    -- is asked for of every run comes first, before anything that people write.
    CROSS JOIN LATERAL (SELECT left(run_body, 2500) AS text OFFSET 0) AS beginning
    CROSS JOIN LATERAL (
        SELECT split_part(
            CASE WHEN strpos(text, '"execution_plan_snapshot_id"') > 0 THEN text ELSE run_body END,
            '"execution_plan_snapshot_id"', 1
        ) AS selections
        OFFSET 0
    ) AS heads
    -- Copies of another run's tags name that run.
    CROSS JOIN LATERAL (
        SELECT
            coalesce(bool_or(key = {outside} AND value = runs.run_id), false) AS is_outside,
            coalesce(bool_or(key = {refused} AND value = runs.run_id), false) AS is_refused,
            coalesce(bool_or(key IN ({resume}) AND value = 'true'), false) AS resumes,
            max(value) FILTER (WHERE key = {worker}) AS signature,
            max(substr(value, length(runs.run_id) + 2)) FILTER (
                WHERE key = {rollback} AND starts_with(value, runs.run_id)
            ) AS rolled_back
        FROM run_tags
        WHERE run_tags.run_id = runs.run_id
    ) AS tags
),
subjects AS (
    SELECT
        own.*,
        CASE WHEN NOT lacks_steps THEN jobs.job END AS run_job,
        coalesce(jobs.assets, origin.selection) AS assets,
        CASE WHEN jobs.job IS NULL THEN array_to_string(origin.selection, ', ')
            ELSE 'the steps ' || array_to_string(origin.step_keys, ', ') || ' of ' || jobs.job END AS part
    FROM origins
    JOIN read_runs AS own ON own.run_id = origins.run_id
    JOIN read_runs AS origin ON origin.run_id = origins.origin
    LEFT JOIN jobs ON CASE WHEN origin.selection IS NULL
        THEN NOT origin.is_of_checks AND jobs.job = CASE
            WHEN starts_with(origin.pipeline_name, '__ASSET_JOB') THEN 'daily_pipeline' ELSE origin.pipeline_name END
        ELSE jobs.assets = ARRAY(
            SELECT asset FROM unnest(origin.selection) WITH ORDINALITY AS selected (asset, number)
            WHERE asset NOT IN ({beside}) ORDER BY number
        ) END
    CROSS JOIN LATERAL (
        SELECT origin.step_keys IS NOT NULL AND NOT coalesce(origin.step_keys @> jobs.step_keys, false) AS lacks_steps
    ) AS steps
    WHERE NOT own.is_refused
),
-- Of each job and day, the latest run that did only a part of it.
parts AS (
    SELECT DISTINCT ON (jobs.job, partition)
        jobs.job, partition, id,
        'run ' || run_id || ' of ' || part || ' alone: ' || status || coalesce('; ' || rolled_back, '') AS note
    FROM subjects
    JOIN jobs ON subjects.assets && jobs.assets
    WHERE run_job IS NULL
    ORDER BY jobs.job, partition, id DESC
),
standings AS (
    SELECT run_job AS job, status, update_timestamp AS updated,
        to_timestamp(start_time) AS started, to_timestamp(end_time) AS ended,
        id, run_id, run_job, partition, is_outside, signature
    FROM subjects
    WHERE run_job IS NOT NULL
    UNION ALL
    -- A run of daily_pipeline as an attempt at each half, judged by the last event of each of the half's steps.
    SELECT
        halves.job,
        CASE
            WHEN is_outside THEN status
            WHEN steps.begun = 0 AND halves.job = 'analytical' AND status IN ('STARTING', 'STARTED') THEN 'QUEUED'
            WHEN steps.has_failed THEN 'FAILURE'
            WHEN steps.has_succeeded THEN 'SUCCESS'
            ELSE status
        END,
        CASE WHEN NOT is_outside AND (steps.has_failed OR steps.has_succeeded) THEN steps.updated
            ELSE update_timestamp END,
        CASE WHEN is_outside THEN to_timestamp(start_time) ELSE steps.started AT TIME ZONE 'UTC' END,
        CASE WHEN NOT is_outside AND (steps.has_failed OR steps.has_succeeded) THEN steps.updated AT TIME ZONE 'UTC'
            ELSE to_timestamp(end_time) END,
        id, run_id, run_job, partition, is_outside, signature
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
ranked AS (
    SELECT
        standings.*, number,
        count(*) OVER (PARTITION BY job, partition) AS attempts,
        -- One in progress speaks for the job, else one that waits, else the latest begun: by the order in which the
        -- storage has numbered the events, not by clocks.
        row_number() OVER (
            PARTITION BY job, partition
            ORDER BY
                CASE WHEN status IN ({in_progress}) THEN 2 WHEN status = 'QUEUED' THEN 1 ELSE 0 END DESC,
                number DESC,
                id DESC
        ) = 1 AS is_current
    FROM standings
    CROSS JOIN LATERAL (
        SELECT coalesce(
            max(event_logs.id) FILTER (WHERE dagster_event_type = {beginning}), max(event_logs.id), 0
        ) AS number
        FROM event_logs
        WHERE event_logs.run_id = standings.run_id AND dagster_event_type IN ({beginning}, {failure})
    ) AS begun
),
-- A row without a run is of a job that was never run as a whole.
attempts AS (
    SELECT
        job, partition, job || '_' || partition AS job_id, ranked.id, run_id, run_job, status,
        updated AT TIME ZONE 'UTC' AS updated_time, started, ended,
        CASE WHEN ended IS NOT NULL AND started IS NOT NULL
            THEN greatest(0, floor(extract(epoch FROM ended - started)))::bigint END AS seconds,
        CASE
            WHEN worker[3] = run_id THEN 'process ' || worker[2] || ' on ' || split_part(worker[1], ':', 1)
            WHEN is_outside THEN 'outside Dagster'
        END AS worker,
        number, attempts, is_current,
        CASE WHEN parts.id > coalesce(ranked.id, 0) THEN note END AS note
    FROM (SELECT *, regexp_match(signature, '^(\S+) (\d+) \d+(?:\.\d+)? (\S+)$') AS worker FROM ranked) AS ranked
    FULL JOIN parts USING (job, partition)
)
"""


def attempts(of_days: str) -> str:
    """Tables for a WITH RECURSIVE, the last of them ``attempts``; the condition says of which rows of ``runs``."""
    assets = {job: sorted(key.to_user_string() for key in ASSETS[job]) for job in JOB_NAMES}
    steps = {job: sorted(table_steps(job)) for job in JOB_NAMES}
    return _TABLES.format(
        of_days=of_days,
        jobs=", ".join(f"({quoted(job)}, {_array(assets[job])}, {_array(steps[job])})" for job in JOB_NAMES),
        halves=", ".join(f"({quoted(job)}, {_array(HALVES[job])})" for job in HALVES),
        step_events=listed(STEP_EVENTS),
        in_progress=listed(status.value for status in IN_PROGRESS),
        beginning=quoted(BEGINNING),
        failure=quoted(FAILURE),
        beside=listed(sorted(key.to_user_string() for key in BESIDE_TABLES)),
        outside=quoted(OUTSIDE_TAG),
        refused=quoted(REFUSED_TAG),
        worker=quoted(WORKER_TAG),
        rollback=quoted(ROLLBACK_TAG),
        resume=listed(RESUME_TAGS),
    )


def _array(names: Iterable[str]) -> str:
    return f"ARRAY[{listed(names)}]"


def listed(names: Iterable[str]) -> str:
    """Texts as SQL writes them, for an IN."""
    return ", ".join(quoted(name) for name in names)


def quoted(name: str) -> str:
    """A text as SQL writes it."""
    return "'" + name.replace("'", "''") + "'"
