"""A step is tried again after a fault that passes, so often as is set, and never after one that does not.

S3 is a server on loopback that misbehaves; waits are set to next to nothing.
"""

import os
import signal
import subprocess
import sys
import threading
from datetime import date
from pathlib import Path

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from capstone_dagster.definitions import build_defs
from capstone_dagster.readers.rows import arrow_schema
from capstone_dagster.runs.executor import signing_executor
from capstone_dagster.runs.failure_reasons import retry_reason
from capstone_dagster.settings import CHECKOUT, Settings
from capstone_dagster.steps.retries import Retries, backoff
from capstone_dagster_tests.builders.published_files import publish
from capstone_dagster_tests.servers.on_s3 import raw_and_lake_below, real_jars  # noqa: F401 -- pytest finds fixtures by their import
from capstone_dagster_tests.servers.platform import Platform, failure
from capstone_dagster_tests.servers.processes import eventually
from capstone_dagster_tests.servers.s3_faults import (  # noqa: F401 -- pytest finds fixtures by their import
    ASKED_AT_ONCE,
    BREAK,
    Faults,
    faulty_front,
    faulty_s3,
)
from capstone_dagster_tests.servers.s3_server import s3_endpoint, s3_uri  # noqa: F401 -- the same
from spark_code.lake import LakeError
from spark_code.schemas import EVENTS, QUALITY

DAY = date(2020, 8, 5)
QUICK = {"first_seconds": 0.001}
CHECK = dg.AssetCheckKey(dg.AssetKey(["ingested", "events"]), "lines")


def retries_in(result: dg.ExecuteInProcessResult) -> int:
    return sum(event.is_step_up_for_retry for event in result.all_events)


# --- how long it waits ---


@given(retries_before=st.integers(0, 1000), first_seconds=st.floats(0, 1e6))
def test_a_wait_is_between_a_half_and_the_whole_of_its_bound_and_never_above_five_minutes(
    retries_before: int, first_seconds: float
) -> None:
    bound = min(300.0, first_seconds * 2.0**retries_before)
    drawn = [backoff(retries_before, first_seconds) for _ in range(20)]

    assert all(bound / 2 <= seconds <= bound for seconds in drawn)


@pytest.mark.parametrize("retries_before", range(3))
def test_no_wait_is_shorter_than_the_one_before(retries_before: int) -> None:
    before, after = ([backoff(number) for _ in range(100)] for number in (retries_before, retries_before + 1))

    assert max(before) <= min(after)
    assert len(set(before)) > 90  # steps that failed together do not come back together


# --- S3 that fails ---


@pytest.fixture
def on_s3(tmp_path: Path, faults: Faults, s3_uri: str, real_jars: None) -> Platform:  # noqa: F811 -- the fixtures
    """Raw files and lake in a bucket of a server with which nothing is wrong yet."""
    del faults, real_jars
    return Platform(tmp_path, DAY, more=raw_and_lake_below(s3_uri))


def put_manifest(platform: Platform) -> None:
    """A measured day of which a tenth was rejected."""
    row = dict.fromkeys(QUALITY.columns) | {"subject": EVENTS.path, "verdict": "warn", "sentence": "a tenth"}
    publish(platform.lake, QUALITY, {"part-0.parquet": [row]}, schema=arrow_schema(QUALITY))


def checked(defs: dg.Definitions, **retries: float) -> dg.ExecuteInProcessResult:
    """Run a step that reads the day's manifest."""
    job = defs.resolve_implicit_global_asset_job_def().get_subset(asset_check_selection={CHECK})
    config = {"resources": {"retries": {"config": {**QUICK, **retries}}}}
    with dg.DagsterInstance.ephemeral() as instance:
        return job.execute_in_process(
            run_config=config, tags={"dagster/partition": f"{DAY}"}, instance=instance, raise_on_error=False
        )


@pytest.mark.faults("F9", sample=True)
@pytest.mark.parametrize("fault", ["503 SlowDown", "500 InternalError", BREAK])
def test_a_manifest_that_s3_cannot_give_twice_in_a_row_is_read_at_the_third_try(
    on_s3: Platform, faults: Faults, fault: str
) -> None:
    put_manifest(on_s3)
    undisturbed = checked(on_s3.defs)
    faults.add(fault, f"GET .*/_published/{DAY}.json", times=2 * ASKED_AT_ONCE)

    disturbed = checked(on_s3.defs)

    assert undisturbed.success
    assert disturbed.success
    assert (retries_in(undisturbed), retries_in(disturbed)) == (0, 2)
    (expected,), (found,) = (result.get_asset_check_evaluations() for result in (undisturbed, disturbed))
    assert found.metadata == expected.metadata
    assert found.description == f"{DAY}: None: a tenth"


def test_what_is_tried_again_says_why(on_s3: Platform, faults: Faults) -> None:
    put_manifest(on_s3)
    faults.add("503 SlowDown", "GET ", times=ASKED_AT_ONCE)

    (event,) = [event for event in checked(on_s3.defs).all_events if event.is_step_up_for_retry]

    key = f"{on_s3.settings.lake_uri}/quality/measures/_published/{DAY}.json"
    assert retry_reason(event).startswith(f"{key}: GenericError: ")
    assert "status code: 503" in retry_reason(event)


@pytest.mark.faults("F9", sample=True)
@pytest.mark.parametrize(("max_retries", "tries"), [(3, 4), (0, 1)])
def test_a_listing_that_s3_never_gives_fails_with_its_place_after_the_last_try_and_publishes_nothing(
    on_s3: Platform, faults: Faults, max_retries: int, tries: int
) -> None:
    on_s3.sample(DAY)
    faults.add("503 SlowDown", "GET .*list-type=2")

    result = on_s3.run("preprocessing", DAY, retries={**QUICK, "max_retries": max_retries})
    told, hits = failure(result), faults.hits
    faults.clear()

    assert not result.success
    assert retries_in(result) == tries - 1
    assert hits == tries * ASKED_AT_ONCE
    assert told.startswith(f"{on_s3.settings.raw_uri}/csv/{DAY}/NYSE: GenericError: ")
    assert "503" in told
    assert on_s3.lake.storage.objects("") == []


def test_what_s3_refuses_is_not_asked_for_again(on_s3: Platform, faults: Faults) -> None:
    on_s3.sample(DAY)
    faults.add("403 AccessDenied", "GET .*list-type=2")

    result = on_s3.run("preprocessing", DAY, retries=QUICK)

    assert not result.success
    assert (retries_in(result), faults.hits) == (0, 1)
    assert "status code: 403" in failure(result)


def test_missing_files_are_not_looked_for_again(on_s3: Platform) -> None:
    result = on_s3.run("preprocessing", DAY, retries=QUICK)

    assert retries_in(result) == 0
    assert failure(result).startswith(f"no raw files of {DAY} from NYSE")


def test_how_often_is_the_setting_unless_a_run_says_otherwise(on_s3: Platform, faults: Faults) -> None:
    defs = build_defs(Settings.from_mapping({**on_s3.environment, "CAPSTONE_MAX_RETRIES": "1"}))
    faults.add("503 SlowDown", "GET ")

    assert retries_in(checked(defs)) == 1
    assert retries_in(checked(defs, max_retries=2)) == 2
    assert defs.resolve_job_def("preprocessing").tags["dagster/max_retries"] == "1"


# --- what a step raises ---


@pytest.mark.parametrize("error", [LakeError("one of two ingests"), KeyError("symbol"), OSError(28, "disk full")])
def test_bad_data_programs_and_disks_are_not_tried_again(error: Exception) -> None:
    with pytest.raises(Exception, match=r"one of two|symbol|disk full") as raised:  # noqa: SIM117
        with Retries(max_retries=3).judging_failures(0):
            raise error

    assert not isinstance(raised.value, dg.RetryRequested)
    assert isinstance(raised.value, dg.Failure) == isinstance(error, LakeError)


def test_what_a_step_has_decided_itself_stays() -> None:
    for own in (dg.Failure("a bad day", allow_retries=False), dg.RetryRequested(max_retries=1)):
        own.__cause__ = ConnectionResetError()
        with pytest.raises(type(own)) as raised, Retries(max_retries=3).judging_failures(0):
            raise own
        assert raised.value is own


# --- the process ---


@dg.op
def fails() -> None:
    raise dg.RetryRequested(max_retries=1, seconds_to_wait=60)


@dg.job(executor_def=signing_executor(Settings.from_environment()))
def waits_to_be_tried_again() -> None:
    fails()


def test_a_run_that_waits_to_try_a_step_again_can_be_stopped(tmp_path: Path) -> None:
    # In files, as two threads that share SQLite's memory lock each other out at once.
    with dg.DagsterInstance.local_temp(f"{tmp_path}") as instance:

        def types() -> list[str]:
            runs = instance.get_runs()
            events = instance.all_logs(runs[0].run_id) if runs else []
            return [entry.dagster_event.event_type_value for entry in events if entry.dagster_event]

        def stop() -> None:
            eventually(types, lambda seen: "STEP_UP_FOR_RETRY" in seen)
            os.kill(os.getpid(), signal.SIGINT)

        stopping = threading.Thread(target=stop)
        stopping.start()
        dg.execute_job(dg.reconstructable(waits_to_be_tried_again), instance, raise_on_error=False)
        stopping.join()

        assert "STEP_RESTARTED" not in types()
        assert instance.get_runs()[0].is_finished


LOSES_ITS_JVMS = """
import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path

import dagster as dg
import psutil
from pyspark import SparkContext

from capstone_dagster.runs.failure_reasons import retry_reason
from capstone_dagster.steps.local_spark import LocalSpark
from capstone_dagster.steps.retries import Retries
from spark_code.session import local_conf

def name(process):
    with contextlib.suppress(psutil.NoSuchProcess):  # the shell around Java ends between the list and the look
        return process.name()

def jvms():
    return [child for child in psutil.Process().children(recursive=True) if name(child) == "java"]

def kill_as_soon_as_it_answers():
    while not SparkContext._gateway:
        time.sleep(0.001)
    jvms()[0].kill()

@dg.op(required_resource_keys={"spark", "retries"})
def count(context):
    with context.resources.retries.judging_failures(context.retry_number):
        if context.retry_number == 0:  # killed while the session is being made
            threading.Thread(target=kill_as_soon_as_it_answers).start()
        spark = context.resources.spark.spark_session
        if context.retry_number == 1:  # killed while the step works
            jvms()[0].kill()
        context.log_event(dg.AssetMaterialization("rows", metadata={"count": spark.range(5).count()}))

spark = LocalSpark(spark_config=local_conf("1g", Path(sys.argv[1])), needs_s3=False)
retries = Retries(max_retries=2, first_seconds=0.001)

@dg.job(resource_defs={"spark": spark, "retries": retries})
def loses_its_jvms():
    count()

def interrupt_as_soon_as_it_is_there():
    while not jvms():
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt_as_soon_as_it_is_there).start()
try:
    LocalSpark(spark_config=local_conf("1g", Path(sys.argv[1])), needs_s3=False).spark_session
except KeyboardInterrupt:
    print("interrupted, and left", len(psutil.wait_procs(jvms(), timeout=60)[1]))

ran = loses_its_jvms.execute_in_process(raise_on_error=False)
for event in ran.all_events:
    if event.is_step_up_for_retry:
        print(retry_reason(event))
(event,) = ran.get_asset_materialization_events()
print(event.materialization.metadata["count"].value)
"""

# A shell that is set up for another Spark.
OF_ANOTHER_SPARK = {
    "SPARK_HOME": "/nonexistent",
    "SPARK_CONF_DIR": "/nonexistent",
    "SPARK_REMOTE": "sc://127.0.0.1:1",
    "SPARK_CONNECT_MODE_ENABLED": "1",
    "PYSPARK_SUBMIT_ARGS": "--master yarn pyspark-shell",
    "PYSPARK_GATEWAY_PORT": "1",
    "HADOOP_CONF_DIR": "/nonexistent",
}


@pytest.mark.faults("F16", sample=True)
def test_a_jvm_that_is_interrupted_ends_and_one_that_is_killed_is_replaced_whatever_spark_the_shell_is_set_up_for(
    tmp_path: Path,
) -> None:
    child = subprocess.run(
        [sys.executable, "-c", LOSES_ITS_JVMS, str(tmp_path)],
        cwd=CHECKOUT,
        env=os.environ | OF_ANOTHER_SPARK,
        capture_output=True,
        text=True,
        check=False,
    )

    killed = (
        "Spark's process was killed by SIGKILL, as the system does when the machine has no memory left "
        f"(CAPSTONE_DRIVER_MEMORY=1g; log of Spark: {tmp_path}/spark.log)"
    )
    assert child.stdout.splitlines() == ["interrupted, and left 0", killed, killed, "5"], child.stdout + child.stderr
    assert "EOFError" not in child.stderr
