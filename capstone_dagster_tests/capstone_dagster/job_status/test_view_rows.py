"""What the SQL view job_status says beside the tracker, and what both stand on in Dagster's tables."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import dagster as dg
import pytest
from dagster._core.events import EngineEventData, JobFailureData
from dagster._core.execution.plan.objects import StepFailureData
from dagster_shared.error import SerializableErrorInfo

from capstone_dagster.assets.job_of_run import job_of
from capstone_dagster.assets.jobs import HALVES, JOB_NAMES, job_id
from capstone_dagster.job_status.view import COLUMNS
from capstone_dagster.job_status.view_sql import VIEW_COLUMNS
from capstone_dagster.run_tags import OUTSIDE_TAG, PARTITION_TAG, REFUSED_TAG, was_refused
from capstone_dagster.runs.worker import Worker
from capstone_dagster.tracker import Tracker
from capstone_dagster_tests.builders.run_histories import (
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
from capstone_dagster_tests.servers.job_status_database import Database, Rows

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
        "end_time": "double precision",
        "run_body": "text",
    },
    "run_tags": {"run_id": "character varying", "key": "text", "value": "text"},
    "event_logs": {
        "id": "bigint",
        "run_id": "character varying",
        "step_key": "text",
        "dagster_event_type": "text",
        "timestamp": "timestamp without time zone",
        "event": "text",
    },
}


def tracked(instance: dg.DagsterInstance) -> Rows:
    """What the tracker says of the newest day, in the form of the view."""
    jobs = Tracker(instance).latest(days=1)
    return sorted(tuple(getattr(job, column) for column in VIEW_COLUMNS) for job in jobs)


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


LOADED = ["ingested/events", "eod/closes", "eod/quotes", "eod/trades"]
REPORTED = ["quality/measures", "report/bars", "report/daily_summary", "report/quote_analytics"]
COPIED = ["report/index", "report/page", "warehouse/bars_30m", "warehouse/daily_summary"]
SELECTIONS = [
    *(None, None, [*LOADED, *REPORTED], LOADED, REPORTED, LOADED[:1], ["eod/trades", *REPORTED], []),
    *([*LOADED, *REPORTED, *COPIED], [*REPORTED, *COPIED], COPIED, [*LOADED, *COPIED]),
]
RESUMES = [{"dagster/is_resume_retry": "true"}, {"dagster/is_asset_resume_retry": "true"}, {}]


def make_a_run(histories: Histories, day: date, chance: Random, before: Sequence[str]) -> tuple[str, list[Event]]:
    """A run at random; returns its id, and what shall happen to it after other runs have been made."""
    histories.tick = chance.choice(TICKS)
    job = chance.choice([*JOB_NAMES, "daily_pipeline", "__ASSET_JOB", "__ASSET_JOB"])
    run_id = str(UUID(int=chance.getrandbits(128)))
    outside = chance.choice([None, None, "another run", run_id])
    # What is done outside Dagster has no steps.
    done = did(*STEPS[: chance.randint(0, len(STEPS))]) if outside != run_id else []
    odd = chance.sample(STEP_EVENTS, chance.randint(0, 2)) if outside != run_id else []
    parent = chance.choice([None, None, "deleted", *before])
    tags = {
        **({OUTSIDE_TAG: outside} if outside else {}),
        **(chance.choice(RESUMES) if parent else {}),
        **chance.choice([{}, {}, {}, {REFUSED_TAG: chance.choice([run_id, "copied"])}]),
        **chance.choice([{}, Worker("a-host:4026531836", 17, "1234").signature(chance.choice([run_id, "copied"]))]),
    }
    only_steps = chance.choice([None, None, HALVES["analytical"], STEPS[1:], STEPS])
    assets = chance.choice(SELECTIONS)
    happened = [*chance.choice(BEGINNINGS), *done]
    histories.run(
        job, *happened, day=day, run_id=run_id, tags=tags, only_steps=only_steps, assets=assets, parent=parent
    )
    return run_id, [*odd, *chance.choice(ENDINGS)]


def test_view_tracker_and_job_of_agree_on_random_histories(database: Database, rounds: Callable[[int], int]) -> None:
    instance, tracker = database.instance, Tracker(database.instance)
    for seed in range(rounds(2)):
        chance = Random(seed)  # noqa: S311
        for _ in range(12):
            day = database.next_day()
            histories = Histories(instance)
            runs: list[tuple[str, list[Event]]] = []
            for _ in range(chance.randint(1, 4)):
                runs.append(make_a_run(histories, day, chance, [run_id for run_id, _ in runs]))
            for run_id, later in chance.sample(runs, len(runs)):
                histories.happened(run_id, *later)

            # Where all runs of the newest day were refused, the tracker goes on to the day before.
            assert database.all_of(day) == [row for row in tracked(instance) if day in row], seed
            known = [run for run_id, _ in runs if (run := instance.get_run_by_id(run_id)) and not was_refused(run)]
            for job in JOB_NAMES:
                own = [attempt for attempt in tracker.history(job_id(job, day)) if attempt.run_job == job]
                done = [(run.run_id, run.status.value) for run in known if job_of(instance, run) == job]
                assert [(attempt.run_id, attempt.status) for attempt in own] == done, seed


def test_work_outside_dagster_that_has_steps_is_judged_as_a_whole(database: Database) -> None:
    day, begun, ended = database.next_day(), FIRST_EVENT, FIRST_EVENT + timedelta(minutes=len(did(*STEPS)) + 1)
    tags = {OUTSIDE_TAG: "itself"}
    happened = [STARTED, *did(*STEPS), SUCCESS]
    Histories(database.instance).run("daily_pipeline", *happened, day=day, run_id="itself", tags=tags)

    assert database.all_of(day) == tracked(database.instance)
    assert [(row[5], row[1], row[7], row[8], row[10]) for row in database.all_of(day)] == [
        (job, "SUCCESS", begun, ended, "outside Dagster") for job in sorted(JOB_NAMES)
    ]


def test_a_run_that_resumes_one_of_another_day_is_about_what_that_one_was_about(database: Database) -> None:
    histories, before, day = Histories(database.instance), database.next_day(), database.next_day()
    first = histories.run("__ASSET_JOB", STARTED, FAILURE, day=before, assets=[*LOADED, *REPORTED])
    second = histories.run(
        "__ASSET_JOB", STARTED, began("report"), day=day, assets=REPORTED, tags=RESUMES[0], parent=first
    )

    assert [row[:4:3] for row in database.all_of(day)] == [
        (f"analytical_{day}", second),
        (f"daily_pipeline_{day}", second),
        (f"preprocessing_{day}", second),
    ]
    assert database.all_of(day) == tracked(database.instance)


def test_the_time_of_a_status_is_right_on_a_server_in_new_york(database: Database, tmp_path: Path) -> None:
    database.query("CREATE ROLE new_yorker SUPERUSER LOGIN")
    database.query("ALTER ROLE new_yorker SET timezone TO 'America/New_York'")
    day = database.next_day()

    with database.instance_of("new_yorker", tmp_path) as instance:
        Histories(instance).run("preprocessing", STARTED, SUCCESS, day=day)
        [(_, _, updated_time, *_)] = tracked(instance)

    assert updated_time == FIRST_EVENT + timedelta(minutes=1)
    assert database.jobs_of(day)[0][2] == FIRST_EVENT + timedelta(minutes=1)


def error(message: str, name: str = "ValueError", cause: Any = None, stack: Sequence[str] = ()) -> Any:
    return SerializableErrorInfo(message, list(stack), name, cause)


OF_SPARK = """An error occurred while calling o42.parquet.
: org.apache.spark.SparkException: [TASK_WRITE_FAILED] Task failed while writing rows. SQLSTATE: 58030
\tat org.apache.spark.sql.errors.QueryExecutionErrors$.taskFailedWhileWritingRowsError(QueryExecutionErrors.scala:776)
Caused by: java.io.IOException: No space left on device
\t... 1 more
Caused by: java.io.IOException: No space left on device
"""
WRAPPED = "dagster._core.errors.DagsterExecutionStepExecutionError: Error occurred while executing op:\n"
STEP_ERRORS = [
    None,
    error("ValueError: out of paper\n"),
    error("spark_code.lake.StaleAttemptError: attempt 1 of 2020-08-06: refused\n", "StaleAttemptError"),
    error(
        WRAPPED, "DagsterExecutionStepExecutionError", error("KeyError: 'é \"x\"'\n", cause=error("IndexError: 1\n"))
    ),
    error(WRAPPED, "RetryRequested", error("DagsterExecutionInterruptedError\n", "DagsterExecutionInterruptedError")),
    error(f"py4j.protocol.Py4JJavaError: {OF_SPARK}", "Py4JJavaError"),
    error("An error\n" + "".join(f"Caused by: cause {number}\n at here\n" for number in range(5))),
    error("Py4JJavaError\n", stack=["  line 1\n", "[OUT_OF_PAPER] in a stack :\n"], cause=error("Caused by: that\n")),
    error("one line\nand another\n"),
]


def step_failure(job: str, of_step: Any) -> dg.DagsterEvent:
    data = StepFailureData(of_step, user_failure_data=None)  # type: ignore[no-untyped-call]
    return dg.DagsterEvent("STEP_FAILURE", job, step_key="eod", event_specific_data=data)


def test_the_view_gives_the_reason_that_the_tracker_gives(database: Database) -> None:
    histories, instance = Histories(database.instance), database.instance
    for of_step in STEP_ERRORS:
        run_id = histories.run("preprocessing", STARTED, day=database.next_day())
        instance.report_dagster_event(step_failure("preprocessing", of_step), run_id)
        histories.happened(run_id, FAILURE)
        assert database.all_of_newest() == tracked(instance)
    for of_run in (None, error("RuntimeError: no such resource\n", cause=error("capstone_dagster.x.YError: why\n"))):
        run_id = histories.run("preprocessing", STARTED, day=database.next_day())
        run = instance.get_run_by_id(run_id)
        assert run
        instance.report_engine_event("Launching", run)
        instance.report_engine_event("It does not load:", run, EngineEventData(error=error("ImportError: pyspark\n")))
        instance.report_run_failed(run, job_failure_data=JobFailureData(of_run) if of_run else None)
        instance.report_engine_event("Retrying", run)
        assert database.all_of_newest() == tracked(instance)


@pytest.mark.parametrize("odd", ["\x00", "\ud83d"])
def test_what_cannot_be_read_as_json_costs_that_reason_and_no_other_row(database: Database, odd: str) -> None:
    histories, good, bad = Histories(database.instance), database.next_day(), database.next_day()
    run_id = histories.run("preprocessing", STARTED, day=bad)
    database.instance.report_dagster_event(step_failure("preprocessing", error(f"ValueError: {odd}\n")), run_id)
    histories.happened(run_id, FAILURE)
    histories.run("preprocessing", STARTED, failed("eod"), FAILURE, day=good)

    errors = "SELECT error FROM job_status WHERE trading_day IN (%s, %s) ORDER BY trading_day"
    assert database.query(errors, [good, bad]) == [("no raw files",), (None,)]


def test_a_run_whose_text_is_no_json_to_postgres_is_that_of_its_job(database: Database) -> None:
    day = database.next_day()
    run = dg.DagsterRun(
        job_name="preprocessing", run_config={"ops": float("nan")}, tags={"dagster/partition": f"{day}"}
    )
    database.instance.add_run(run)

    assert database.jobs_of(day)[0][:2] == (f"preprocessing_{day}", "NOT_STARTED")


def test_the_columns_are_those_of_the_tracker_and_in_its_order(database: Database) -> None:
    Histories(database.instance).run("preprocessing", STARTED, day=database.next_day())
    [status] = Tracker(database.instance).latest(days=1)

    named = (
        "SELECT column_name FROM information_schema.columns WHERE table_name = 'job_status' ORDER BY ordinal_position"
    )
    assert [column for (column,) in database.query(named)] == list(status.facts) == list(VIEW_COLUMNS)


def test_the_view_gives_the_end_and_then_the_refusal_of_a_process_that_was_frozen(database: Database) -> None:
    histories, instance, day = Histories(database.instance), database.instance, database.next_day()
    run_id = histories.run("preprocessing", STARTED, day=day)
    run = instance.get_run_by_id(run_id)
    assert run
    instance.report_run_failed(run, "gone without a result")
    histories.happened(run_id, failed("eod", "given up"))

    assert [row[11] for row in database.all_of(day)] == ["gone without a result; given up"]
    assert database.all_of(day) == tracked(instance)
