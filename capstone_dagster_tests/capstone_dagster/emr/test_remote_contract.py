"""Where a step on the cluster runs in another way than the parent's: each test holds what both do.

A test that fails after an upgrade of dagster-aws says that the parent has changed: look whether the deviation
is still needed. How the host submits and awaits is in ``test_launcher_contract`` and ``test_step_watch_contract``.
"""

# The parent has no types.
# mypy: disallow-untyped-calls=False

import itertools
import pickle
from pathlib import Path
from queue import Queue
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest
from dagster_aws.emr import emr_step_main

from capstone_dagster.emr.on_cluster import remote_step
from capstone_dagster_tests.capstone_dagster.emr import remote_job
from capstone_dagster_tests.capstone_dagster.emr.remote_job import step_run_ref
from capstone_dagster_tests.servers.s3_server import s3_client
from spark_code.locations import StorageError
from spark_code.storage import Storage

FOLDER = "staging/runs/run/work/1"


def run_by_parent(bucket: str, ref: bytes) -> Any:
    name = bucket.removeprefix("s3://")
    s3_client().put_object(Bucket=name, Key=f"{FOLDER}/step_run_ref.pkl", Body=ref)
    return emr_step_main.main(name, f"{FOLDER}/step_run_ref.pkl")


def test_a_failure_in_python_is_a_failed_step_of_emr(s3_uri: str) -> None:
    """The parent's program ends with 0, so that EMR shows the step as COMPLETED."""
    ref = step_run_ref(remote_job.fail, "")

    assert run_by_parent(s3_uri, ref) is None
    told = pickle.loads(Storage(s3_uri).read(f"{FOLDER}/events.pkl") or b"")  # noqa: S301 - as the parent's host does
    assert dg.deserialize_value(told, list)[-1].dagster_event.is_step_failure

    assert remote_step.run(f"{s3_uri}/{FOLDER}", ref) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_step_that_can_tell_nothing_any_more_fails(s3_uri: str) -> None:
    ref, name = step_run_ref(remote_job.cut_off, s3_uri.removeprefix("s3://")), s3_uri.removeprefix("s3://")

    assert run_by_parent(s3_uri, ref) is None

    s3_client().create_bucket(Bucket=name)
    s3_client().put_object(Bucket=name, Key="something", Body=b"")
    with pytest.raises(StorageError, match=f"{s3_uri}/{FOLDER}/events/"):
        remote_step.run(f"{s3_uri}/{FOLDER}", ref)


def test_only_what_is_new_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # For the parent more than a second passes between any two events.
    ticks = itertools.count(step=2)
    monkeypatch.setattr(emr_step_main, "time", SimpleNamespace(time=lambda: next(ticks)))
    waiting: Queue[Any] = Queue()
    for event in ("a", "b", "c", emr_step_main.DONE):
        waiting.put(event)
    puts: list[list[str]] = []
    emr_step_main.event_writing_loop(waiting, lambda events: puts.append(list(events)))
    assert puts == [["a"], ["a", "b"], ["a", "b", "c"]]

    monkeypatch.setattr(remote_step, "_BATCH_SECONDS", 0.0)
    remote_step.run(str(tmp_path), step_run_ref(remote_job.succeed, tmp_path))
    batches = [dg.deserialize_value(path.read_text(), list) for path in sorted(tmp_path.glob("events/*.json"))]
    written = [(entry.timestamp, entry.user_message) for batch in batches for entry in batch]
    assert len(batches) > 1
    assert len(set(written)) == len(written)
