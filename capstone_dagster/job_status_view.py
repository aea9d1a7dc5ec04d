"""The SQL view ``job_status``, for people with psql: one row per job id, with its current attempt.

It says what ``tracker`` says, over the same tables of Dagster's run storage; a test compares the two and
another pins the columns it stands on. Columns are only ever added at the end, so that the view can be
replaced in place and keeps its grants.
"""

from contextlib import suppress
from typing import Any

import dagster as dg
from dagster_postgres import PostgresRunStorage
from sqlalchemy import Connection
from sqlalchemy.exc import ProgrammingError, SQLAlchemyError

from capstone_dagster.database_locks import locked
from capstone_dagster.errors import ExpectedError
from capstone_dagster.jobs import HALVES, JOB_NAMES, OUTSIDE_TAG, REFUSED_TAG
from capstone_dagster.tracker import STEP_EVENTS

# What it reads of Dagster's own tables.
COLUMNS = {
    "runs": ("id", "run_id", "pipeline_name", "status", "partition", "update_timestamp", "start_time"),
    "run_tags": ("run_id", "key", "value"),
    "event_logs": ("id", "run_id", "step_key", "dagster_event_type", "timestamp"),
}

# The view looks up the steps of every run of daily_pipeline; without this it reads all their events.
_INDEX = """
CREATE INDEX IF NOT EXISTS job_status_steps ON event_logs (run_id, step_key, id DESC)
INCLUDE (dagster_event_type, "timestamp")
WHERE dagster_event_type IN ({step_events})
"""

# The view while Dagster's own tables are changed: it stands on none of them, and keeps the grants.
_STUB = """
CREATE OR REPLACE VIEW job_status AS
SELECT NULL::text AS job_id, NULL::text AS status, NULL::timestamptz AS updated_time, NULL::text AS run_id,
    NULL::bigint AS attempts
WHERE false
"""


class JobStatusViewError(ExpectedError):
    """The view could not be made or granted."""


_VIEW = """
CREATE OR REPLACE VIEW job_status AS
WITH halves (job, step_keys) AS (VALUES {halves}),
accepted AS (
    SELECT * FROM runs
    WHERE partition IS NOT NULL AND pipeline_name IN ({jobs}) AND NOT EXISTS (
        SELECT FROM run_tags WHERE run_tags.run_id = runs.run_id AND key = {refused} AND value = runs.run_id
    )
),
attempts AS (
    SELECT pipeline_name || '_' || partition AS job_id, status, update_timestamp AS updated, run_id, start_time, id
    FROM accepted
    UNION ALL
    -- A run of daily_pipeline as an attempt at each half, judged by the last event of each of the half's steps.
    SELECT
        halves.job || '_' || runs.partition,
        CASE
            WHEN is_outside THEN runs.status
            WHEN steps.begun = 0 AND halves.job = 'analytical' AND runs.status IN ('STARTING', 'STARTED') THEN 'QUEUED'
            WHEN steps.failed > 0 AND NOT is_stopped THEN 'FAILURE'
            WHEN steps.succeeded = steps.planned THEN 'SUCCESS'
            ELSE runs.status
        END,
        CASE
            WHEN is_outside OR steps.begun = 0 THEN runs.update_timestamp
            WHEN (steps.failed > 0 AND NOT is_stopped) OR steps.succeeded = steps.planned THEN steps.updated
            ELSE runs.update_timestamp
        END,
        runs.run_id, runs.start_time, runs.id
    FROM accepted AS runs
    CROSS JOIN halves
    CROSS JOIN LATERAL (
        SELECT EXISTS (
            SELECT FROM run_tags
            WHERE run_tags.run_id = runs.run_id AND key = {outside} AND value = runs.run_id
        ) AS is_outside,
        runs.status IN ('CANCELING', 'CANCELED') AS is_stopped
    ) AS facts
    CROSS JOIN LATERAL (
        SELECT
            count(*) AS planned,
            count(*) FILTER (WHERE starts_with(last.type, 'STEP_')) AS begun,
            count(*) FILTER (WHERE last.type = 'STEP_FAILURE') AS failed,
            count(*) FILTER (WHERE last.type = 'STEP_SUCCESS') AS succeeded,
            max(last.at) FILTER (WHERE starts_with(last.type, 'STEP_')) AS updated
        FROM (
            SELECT DISTINCT ON (step_key) dagster_event_type AS type, "timestamp" AS at
            FROM event_logs
            WHERE event_logs.run_id = runs.run_id
                AND step_key = ANY (halves.step_keys)
                AND dagster_event_type IN ({step_events})
            ORDER BY step_key, id DESC
        ) AS last
    ) AS steps
    WHERE runs.pipeline_name = 'daily_pipeline'
        AND (
            is_outside OR steps.begun > 0
            OR (steps.planned > 0 AND runs.status NOT IN ('SUCCESS', 'FAILURE', 'CANCELED'))
        )
)
SELECT DISTINCT ON (job_id)
    job_id,
    status::text,
    updated AT TIME ZONE 'UTC' AS updated_time,
    run_id::text,
    count(*) OVER (PARTITION BY job_id) AS attempts
FROM attempts
-- One in progress speaks for the job, else one that waits, else the latest begun.
ORDER BY
    job_id,
    CASE WHEN status IN ('STARTING', 'STARTED', 'CANCELING') THEN 2 WHEN status = 'QUEUED' THEN 1 ELSE 0 END DESC,
    coalesce(start_time, 0) DESC,
    id DESC
"""


def definition() -> str:
    """The statement that creates or replaces the view."""
    halves = ", ".join(f"({_quoted(job)}, ARRAY[{_list(steps)}])" for job, steps in HALVES.items())
    return _VIEW.format(
        halves=halves,
        jobs=_list(JOB_NAMES),
        outside=_quoted(OUTSIDE_TAG),
        refused=_quoted(REFUSED_TAG),
        step_events=_list(STEP_EVENTS),
    )


def migrate(instance: dg.DagsterInstance, *, grant_to: str | None = None) -> None:
    """Bring the run storage up to this release: Dagster's own tables, then the view over them."""
    storage = instance.run_storage
    if not isinstance(storage, PostgresRunStorage):
        raise JobStatusViewError("the view needs the run storage on Postgres, as deploy/dagster.yaml has it")
    with locked(storage, "capstone migrate") as connection:  # two upgrades at once would fail
        if _is_outdated(instance):
            connection.exec_driver_sql(_STUB)
            try:
                instance.upgrade()
            except Exception:
                with suppress(SQLAlchemyError):  # the tables may be those of either release
                    connection.exec_driver_sql(definition())
                raise
        connection.exec_driver_sql(_INDEX.format(step_events=_list(STEP_EVENTS)))
        connection.exec_driver_sql(definition())
        if grant_to:
            _grant(connection, grant_to)


def _is_outdated(instance: dg.DagsterInstance) -> bool:
    storages: tuple[Any, ...] = (instance.run_storage, instance.event_log_storage, instance.schedule_storage)
    revisions = [storage.alembic_version() for storage in storages]
    return any(current != newest for current, newest in revisions)


def _grant(connection: Connection, role: str) -> None:
    name = role if role == "PUBLIC" else '"' + role.replace('"', '""') + '"'
    escaped = name.replace("%", "%%")  # the driver looks for parameters
    try:
        connection.exec_driver_sql(f"GRANT SELECT ON job_status TO {escaped}")
    except ProgrammingError as error:
        raise JobStatusViewError(
            f"job_status cannot be granted to {role}: {str(error.orig).strip()}; make the role first, e.g. with: "
            f"capstone exec -- psql -c 'CREATE ROLE {name} LOGIN'"
        ) from None


def _list(names: tuple[str, ...]) -> str:
    return ", ".join(_quoted(name) for name in names)


def _quoted(name: str) -> str:
    return f"'{name}'"
