"""A step on the cluster, run in this process: what it says on the way, and its exit code."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from capstone_dagster.emr.attempt_folder import Launch, Versions
from capstone_dagster.emr.on_cluster import remote_step, step_main
from capstone_dagster.settings import CHECKOUT
from capstone_dagster_tests.capstone_dagster.emr import remote_job
from capstone_dagster_tests.capstone_dagster.emr.remote_job import step_run_ref
from spark_code.locations import StorageError
from spark_code.storage import Storage

FOLDER = "staging/runs/run/work/1"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_step, "_BATCH_SECONDS", 0.0)


def batches(storage: Storage) -> list[list[dg.EventLogEntry]]:
    """What was written, in the order of its names."""
    contents = [storage.read(stored.key) for stored in storage.objects("events")]
    return [dg.deserialize_value((content or b"").decode(), list) for content in contents]


def messages(storage: Storage) -> list[str]:
    return [entry.user_message for batch in batches(storage) for entry in batch]


def types(storage: Storage) -> list[str]:
    events = [entry.dagster_event for batch in batches(storage) for entry in batch]
    return [event.event_type_value for event in events if event]


def end(storage: Storage) -> Any:
    content = storage.read("end.json")
    return content and json.loads(content)


@pytest.mark.parametrize(
    ("way", "code", "last"),
    [
        (remote_job.succeed, 0, "STEP_SUCCESS"),
        (remote_job.fail, 1, "STEP_FAILURE"),
        (remote_job.ask_to_be_tried_again, 1, "STEP_UP_FOR_RETRY"),
    ],
)
def test_the_exit_code_is_0_only_for_success(tmp_path: Path, way: Callable[..., None], code: int, last: str) -> None:
    assert remote_step.run(str(tmp_path), step_run_ref(way, tmp_path)) == code
    assert types(Storage(str(tmp_path)))[-1] == last


def test_events_come_while_the_step_works_in_counted_batches_and_the_last_word_counts_them(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))

    remote_step.run(storage.root, step_run_ref(remote_job.succeed, tmp_path))

    said = messages(storage)
    # The step says the second only when the first batch can be read.
    assert [line for line in said if line in ("first", "second")] == ["first", "second"]
    assert len(set(said)) == len(said)
    written = batches(storage)
    assert len(written) > 1
    assert [stored.key for stored in storage.objects("events")] == [
        f"events/{number:06}.json" for number in range(1, len(written) + 1)
    ]
    assert end(storage) == {"batches": len(written), "refusal": None}


def test_without_one_of_its_batches_there_is_no_last_word_and_the_program_fails(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))
    (tmp_path / "events" / "000002.json").mkdir(parents=True)  # where the second batch cannot be stored

    with pytest.raises(StorageError, match=r"events/000002\.json"):
        remote_step.run(storage.root, step_run_ref(remote_job.succeed, tmp_path))

    assert storage.read("events/000001.json") is not None
    assert end(storage) is None


def test_a_step_that_cannot_even_be_loaded_fails_without_a_last_word(tmp_path: Path) -> None:
    unknown = step_run_ref(remote_job.succeed, tmp_path).replace(b"one_step", b"no__step")

    with pytest.raises(Exception, match="no__step"):
        remote_step.run(str(tmp_path), unknown)

    assert end(Storage(str(tmp_path))) is None


def test_the_program_of_the_step_takes_the_settings_of_the_host_and_exits_with_the_steps_code(s3_uri: str) -> None:
    storage = Storage(f"{s3_uri}/{FOLDER}")
    storage.write("launch.json", Launch(Versions.here(), {"CAPSTONE_LAKE_URI": "s3://lake/of/the/host"}).to_json())
    storage.write("step_run_ref.pkl", step_run_ref(remote_job.tell_lake, ""))

    ended = subprocess.run(
        [sys.executable, step_main.__file__, s3_uri.removeprefix("s3://"), f"{FOLDER}/step_run_ref.pkl", "us-east-1"],
        # No Java: this step wants no Spark.
        env=os.environ | {"PYTHONPATH": str(CHECKOUT), "CAPSTONE_LAKE_URI": "", "JAVA_HOME": "/nowhere"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 1, ended.stderr
    (failure,) = [
        event.step_failure_data.user_failure_data
        for batch in batches(storage)
        for entry in batch
        if (event := entry.dagster_event) and event.is_step_failure
    ]
    assert failure
    assert failure.description == "s3://lake/of/the/host"
    assert end(storage) == {"batches": len(batches(storage)), "refusal": None}
    assert storage.read("begun") == b""


def test_a_step_that_was_submitted_twice_runs_once(s3_uri: str) -> None:
    storage = Storage(f"{s3_uri}/{FOLDER}")
    storage.write("launch.json", Launch(Versions.here(), {}).to_json())
    storage.write("begun", b"")

    assert step_main.main(s3_uri.removeprefix("s3://"), f"{FOLDER}/step_run_ref.pkl", "us-east-1") == 0

    assert sorted(stored.key for stored in storage.objects("")) == ["begun", "launch.json"]
