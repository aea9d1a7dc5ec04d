"""The SQL view job_status on a real server: how it is made and replaced, and who may read it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import psycopg2
import pytest

from capstone_dagster.job_status import view
from capstone_dagster.job_status.view import COLUMNS, JobStatusViewError, migrate
from capstone_dagster.tracker import Tracker
from capstone_dagster_tests.builders.run_histories import DAY, FAILURE, STARTED, SUCCESS, Histories, failed
from capstone_dagster_tests.servers.job_status_database import Database


@pytest.fixture
def reader(database: Database) -> Iterator[str]:
    """A role that may log in, and nothing else."""
    database.query('CREATE ROLE "Reader of jobs" LOGIN')
    yield "Reader of jobs"
    database.query('DROP OWNED BY "Reader of jobs"')
    database.query('DROP ROLE "Reader of jobs"')


@pytest.fixture(params=[False, True], ids=["as it is", "outdated"])
def is_outdated(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether the next migrations find tables of an older Dagster, and so make the view anew."""
    monkeypatch.setattr(view, "_is_outdated", lambda _: request.param)


def number_of_the_view(database: Database) -> object:
    """Postgres gives one to every view that is made; one that is replaced keeps its own."""
    [(number,)] = database.query("SELECT to_regclass('job_status')::oid")
    return number


def test_a_migration_makes_the_view(database: Database) -> None:
    database.query("DROP VIEW job_status")

    migrate(database.instance)

    day = database.next_day()
    run_id = Histories(database.instance).run("preprocessing", STARTED, SUCCESS, day=day)
    [(job_id, status, _, of_run, attempts)] = database.jobs_of(day)
    assert (job_id, status, of_run, attempts) == (f"preprocessing_{day}", "SUCCESS", run_id, 1)


def test_the_next_migration_replaces_the_view_in_place(database: Database) -> None:
    before = number_of_the_view(database)

    migrate(database.instance)

    assert number_of_the_view(database) == before is not None


def test_dagster_s_own_migrations_may_change_the_columns_that_the_view_stands_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Postgres refuses this for a column that a view uses.
    change = "ALTER TABLE runs ALTER COLUMN status TYPE varchar(100)"
    with pytest.raises(psycopg2.errors.FeatureNotSupported):
        database.query(change)
    monkeypatch.setattr(view, "_is_outdated", lambda _: True)
    monkeypatch.setattr(dg.DagsterInstance, "upgrade", lambda _: database.query(change))

    migrate(database.instance)

    assert database.jobs_of(database.next_day()) == []


@pytest.mark.usefixtures("is_outdated")
def test_migrations_at_the_same_time_all_succeed(database: Database) -> None:
    database.query("DROP VIEW job_status")

    with ThreadPoolExecutor() as threads:
        migrations = [threads.submit(migrate, database.instance) for _ in range(3)]

    assert [migration.exception() for migration in migrations] == [None, None, None]
    assert number_of_the_view(database)


def test_a_storage_that_is_not_on_postgres_is_one_clear_error() -> None:
    with dg.DagsterInstance.ephemeral() as instance, pytest.raises(JobStatusViewError, match="run storage on Postgres"):
        migrate(instance)


def test_a_reader_reads_the_view_and_none_of_dagster_s_tables(database: Database, reader: str) -> None:
    day = database.next_day()
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        database.jobs_of(day, user=reader)

    migrate(database.instance, grant_to=reader)

    assert database.jobs_of(day, user=reader) == []
    for table in COLUMNS:
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            database.query(f"SELECT * FROM {table}", user=reader)  # noqa: S608


@pytest.mark.usefixtures("is_outdated")
def test_who_may_read_the_view_still_may_after_the_next_migration(database: Database, reader: str) -> None:
    migrate(database.instance, grant_to=reader)

    migrate(database.instance)

    assert database.jobs_of(database.next_day(), user=reader) == []


@pytest.mark.usefixtures("is_outdated")
def test_a_view_that_everybody_may_read_stays_one(database: Database, reader: str) -> None:
    migrate(database.instance, grant_to="PUBLIC")

    migrate(database.instance)

    assert database.jobs_of(database.next_day(), user=reader) == []
    database.query("REVOKE SELECT ON job_status FROM PUBLIC")


def test_a_role_that_does_not_exist_is_one_clear_error(database: Database) -> None:
    with pytest.raises(JobStatusViewError) as refused:
        migrate(database.instance, grant_to="nobody")

    message = str(refused.value)
    assert message.startswith('job_status cannot be granted to nobody: role "nobody" does not exist')
    assert "\n" not in message
    assert number_of_the_view(database)


def test_who_may_read_the_view_still_may_after_a_migration_that_failed_and_one_that_did_not(
    database: Database, reader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(database.instance, grant_to=reader)
    monkeypatch.setattr(view, "_is_outdated", lambda _: True)
    with monkeypatch.context() as failing:
        failing.setattr(dg.DagsterInstance, "upgrade", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            migrate(database.instance)

    migrate(database.instance)

    assert database.jobs_of(database.next_day(), user=reader) == []


def test_who_may_read_another_schema_s_job_status_may_not_read_this_one(database: Database, reader: str) -> None:
    database.query("CREATE SCHEMA elsewhere CREATE VIEW job_status AS SELECT 1 AS jobs")
    database.query(f'GRANT SELECT ON elsewhere.job_status TO "{reader}"')
    try:
        migrate(database.instance)
    finally:
        database.query("DROP SCHEMA elsewhere CASCADE")

    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        database.jobs_of(database.next_day(), user=reader)


def test_a_role_that_may_only_read_gets_statuses_in_python_before_the_first_migration(
    database: Database, reader: str, tmp_path: Path
) -> None:
    run_id = Histories(database.instance).run("daily_pipeline", STARTED, failed("eod", "no raw files"), FAILURE)
    made = database.query("SELECT oid::regprocedure::text FROM pg_proc WHERE proname LIKE 'job\\_status\\_%'")
    database.query(f"DROP VIEW job_status; DROP FUNCTION {', '.join(name for (name,) in made)}")
    database.query(f'GRANT SELECT ON ALL TABLES IN SCHEMA public TO "{reader}"')
    try:
        with database.instance_of(reader, tmp_path) as instance:
            status = Tracker(instance).get_job_status(f"preprocessing_{DAY}")
    finally:
        migrate(database.instance)

    assert (status.status, status.run_id, status.error) == ("FAILURE", run_id, "no raw files")


@pytest.mark.parametrize("role", ["100%", "of :capstone"])
def test_an_odd_name_of_a_role_is_granted(database: Database, role: str) -> None:
    database.query(f'CREATE ROLE "{role}" LOGIN')
    try:
        migrate(database.instance, grant_to=role)
        assert database.jobs_of(database.next_day(), user=role) == []
    finally:
        database.query(f'DROP OWNED BY "{role}"')
        database.query(f'DROP ROLE "{role}"')
