"""The SQL view ``job_status``, for people with psql: one row per job id, with its current attempt.

It says what ``tracker`` says, by the same SQL text; a test pins the columns of Dagster's run storage it stands on.
Columns are only ever added at the end, so that the view can be replaced in place and keeps its grants.
"""

from contextlib import suppress
from typing import Any

import dagster as dg
from dagster_postgres import PostgresRunStorage
from sqlalchemy import Connection
from sqlalchemy.exc import ProgrammingError, SQLAlchemyError

from capstone_dagster.job_status.view_sql import statements, stub
from capstone_dagster.run_storage.locks import locked
from spark_code.errors import ExpectedError

# What it reads of Dagster's own tables.
COLUMNS = {
    "runs": (
        "id",
        "run_id",
        "pipeline_name",
        "status",
        "partition",
        "update_timestamp",
        "start_time",
        "end_time",
        "run_body",
    ),
    "run_tags": ("run_id", "key", "value"),
    "event_logs": ("id", "run_id", "step_key", "dagster_event_type", "timestamp", "event"),
}


class JobStatusViewError(ExpectedError):
    """The view could not be made or granted."""


def migrate(instance: dg.DagsterInstance, *, grant_to: str | None = None) -> None:
    """Bring the run storage up to this release: Dagster's own tables, then the view over them."""
    storage = instance.run_storage
    if not isinstance(storage, PostgresRunStorage):
        raise JobStatusViewError("the view needs the run storage on Postgres, as deploy/dagster.yaml has it")
    with locked(storage, "capstone migrate") as connection:  # two upgrades at once would fail
        if _is_outdated(instance):
            connection.exec_driver_sql(stub())
            try:
                instance.upgrade()
            except Exception:
                with suppress(SQLAlchemyError):  # the tables may be those of either release
                    _define(connection)
                raise
        _define(connection)
        if grant_to:
            _grant(connection, grant_to)


def _define(connection: Connection) -> None:
    for statement in statements():
        connection.exec_driver_sql(statement)


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
