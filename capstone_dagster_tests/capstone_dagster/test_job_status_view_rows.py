"""What the SQL view job_status says: the same as the tracker; and what it stands on in Dagster's tables."""

import os
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from uuid import UUID

import dagster as dg
import pytest

from capstone_dagster.job_status_view import COLUMNS
from capstone_dagster.jobs import HALVES, JOB_NAMES, OUTSIDE_TAG, PARTITION_TAG
from capstone_dagster.run_storage import ready
from capstone_dagster.settings import Settings
from capstone_dagster.tracker import Tracker
from capstone_dagster_tests.capstone_dagster.job_status_database import Database, Rows, job_status_database
from capstone_dagster_tests.capstone_dagster.run_histories import (
    CANCELED,
    CANCELING,
    FAILURE,
    FIRST_EVENT,
    QUEUED,
    STARTED,
    STARTING,
    SUCCESS,
    Event,
    Histories,
    began,
    did,
    failed,
    succeeded,
)

# Of Dagster's own tables. If a release of Dagster changes one, see whether the view still reads it right.
TYPES = {
    "runs": {
        "id": "bigint",
        "run_id": "character varying",
        "pipeline_name": "text",
        "status": "character varying",
        "partition": "text",
        "update_timestamp": "timestamp without time zone",
        "start_time": "double precision",
    },
    "run_tags": {"run_id": "character varying", "key": "text", "value": "text"},
    "event_logs": {
        "id": "bigint",
        "run_id": "character varying",
        "step_key": "text",
        "dagster_event_type": "text",
        "timestamp": "timestamp without time zone",
    },
}


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    with job_status_database() as database:
        # As the webserver does: hundreds of runs over one connection.
        database.instance.optimize_for_webserver(statement_timeout=60_000, pool_recycle=600, max_overflow=10)
        yield database


def tracked(instance: dg.DagsterInstance) -> Rows:
    """What the tracker says of the newest day, in the form of the view."""
    jobs = Tracker(instance).latest(days=1)
    return sorted((job.job_id, job.status, job.updated_time, job.run_id, job.attempts) for job in jobs)


def test_the_view_stands_on_columns_of_these_types(database: Database) -> None:
    all_columns = (
        "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public'"
    )
    types = {(table, column): data_type for table, column, data_type in database.query(all_columns)}

    assert {table: {column: types.get((table, column)) for column in COLUMNS[table]} for table in COLUMNS} == TYPES


def test_the_view_stands_on_no_other_columns(database: Database) -> None:
    used = "SELECT table_name, column_name FROM information_schema.view_column_usage WHERE view_name = 'job_status'"

    assert set(database.query(used)) == {(table, column) for table in COLUMNS for column in COLUMNS[table]}


@pytest.mark.parametrize(
    ("events", "status"),
    [
        ([], "NOT_STARTED"),
        ([QUEUED], "QUEUED"),
        ([STARTING], "STARTING"),
        ([STARTED], "STARTED"),
        ([STARTED, CANCELING], "CANCELING"),
        ([STARTED, CANCELED], "CANCELED"),
        ([STARTED, FAILURE], "FAILURE"),
        ([STARTED, SUCCESS], "SUCCESS"),
    ],
)
def test_dagster_writes_these_columns_of_a_run(database: Database, events: list[Event], status: str) -> None:
    day = database.next_day()
    run_id = Histories(database.instance).run("preprocessing", *events, day=day, tags={OUTSIDE_TAG: "its run"})

    run = database.query('SELECT pipeline_name, status, "partition", start_time FROM runs WHERE run_id = %s', [run_id])
    tags = database.query("SELECT key, value FROM run_tags WHERE run_id = %s", [run_id])

    assert run == [("preprocessing", status, day.isoformat(), FIRST_EVENT.timestamp() if STARTED in events else None)]
    assert {(PARTITION_TAG, day.isoformat()), (OUTSIDE_TAG, "its run")} <= set(tags)


@dg.op
def well(context: dg.OpExecutionContext) -> None:
    context.log.info("an entry that is no event of a step")


@dg.op(ins={"after": dg.In(dg.Nothing)})
def badly() -> None:
    raise dg.Failure("no raw files")


@dg.op(ins={"after": dg.In(dg.Nothing)})
def never() -> None:
    pass


@dg.job
def three_steps() -> None:
    never(badly(well()))


def test_dagster_writes_these_events_of_steps(database: Database) -> None:
    before = datetime.now(UTC).replace(tzinfo=None)
    ran = three_steps.execute_in_process(instance=database.instance, raise_on_error=False)

    of_steps = (
        'SELECT step_key, dagster_event_type, "timestamp" FROM event_logs '
        "WHERE run_id = %s AND dagster_event_type IN ('STEP_START', 'STEP_SUCCESS', 'STEP_FAILURE') ORDER BY id"
    )
    events = database.query(of_steps, [ran.run_id])

    assert [event[:2] for event in events] == [
        ("well", "STEP_START"),
        ("well", "STEP_SUCCESS"),
        ("badly", "STEP_START"),
        ("badly", "STEP_FAILURE"),
    ]
    assert before <= min(event[2] for event in events)
    assert max(event[2] for event in events) <= datetime.now(UTC).replace(tzinfo=None)


STEPS = [step for half in HALVES.values() for step in half]
STEP_EVENTS = [event(step) for step in STEPS for event in (began, succeeded, failed)]
BEGINNINGS = [[], [QUEUED], [STARTING], [STARTED], [QUEUED, STARTING, STARTED], [STARTING, QUEUED]]
ENDINGS = [[], [STARTED], [QUEUED], [CANCELING], [CANCELED], [FAILURE], [SUCCESS]]
# Runs that begin in the same instant, and times that no float holds exactly.
TICKS = [timedelta(0), timedelta(microseconds=333_333), timedelta(minutes=1)]


def make_a_run(histories: Histories, day: date, chance: Random) -> tuple[str, list[Event]]:
    """A run at random; returns its id, and what shall happen to it after other runs have been made."""
    histories.tick = chance.choice(TICKS)
    job = chance.choice([*JOB_NAMES, "daily_pipeline", "__ASSET_JOB"])
    run_id = str(UUID(int=chance.getrandbits(128)))
    outside = chance.choice([None, None, "another run", run_id])
    # What is done outside Dagster has no steps.
    done = did(*STEPS[: chance.randint(0, len(STEPS))]) if outside != run_id else []
    odd = chance.sample(STEP_EVENTS, chance.randint(0, 2)) if outside != run_id else []
    tags = {OUTSIDE_TAG: outside} if outside else {}
    only_steps = chance.choice([None, None, HALVES["analytical"], STEPS[3:]])
    histories.run(job, *chance.choice(BEGINNINGS), *done, day=day, run_id=run_id, tags=tags, only_steps=only_steps)
    return run_id, [*odd, *chance.choice(ENDINGS)]


@pytest.mark.parametrize("seed", range(4))
def test_the_view_says_what_the_tracker_says(database: Database, seed: int) -> None:
    chance = Random(seed)  # noqa: S311
    for _ in range(20):
        day = database.next_day()
        histories = Histories(database.instance)
        runs = [make_a_run(histories, day, chance) for _ in range(chance.randint(1, 4))]
        for run_id, later in chance.sample(runs, len(runs)):
            histories.happened(run_id, *later)

        assert database.jobs_of(day) == tracked(database.instance)


def test_view_and_tracker_agree_on_work_outside_dagster_that_has_steps(database: Database) -> None:
    day = database.next_day()
    tags = {OUTSIDE_TAG: "itself"}
    Histories(database.instance).run(
        "daily_pipeline", STARTED, *did(*STEPS), SUCCESS, day=day, run_id="itself", tags=tags
    )

    assert database.jobs_of(day) == tracked(database.instance)


def test_the_time_of_a_status_is_right_on_a_server_in_new_york(
    database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    database.query("CREATE ROLE new_yorker SUPERUSER LOGIN")
    database.query("ALTER ROLE new_yorker SET timezone TO 'America/New_York'")
    for variable in ("DAGSTER_HOME", "DAGSTER_COMPUTE_LOGS", "CAPSTONE_POSTGRES_URL"):
        monkeypatch.setenv(variable, os.environ.get(variable, ""))
    home = {"CAPSTONE_HOME": str(tmp_path), "CAPSTONE_POSTGRES_URL": database.url_of("new_yorker")}
    day = database.next_day()

    with ready(Settings.from_mapping(home)), dg.DagsterInstance.get() as instance:
        Histories(instance).run("preprocessing", STARTED, SUCCESS, day=day)
        [(_, _, updated_time, _, _)] = tracked(instance)

    assert updated_time == FIRST_EVENT + timedelta(minutes=1)
    assert database.jobs_of(day)[0][2] == FIRST_EVENT + timedelta(minutes=1)
