"""What host and cluster tell each other: versions first, then events in batches, each relayed once."""

import __future__

import ast
import importlib.metadata
import inspect
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.execution.context.system import StepExecutionContext

from capstone_dagster.emr import attempt_folder
from capstone_dagster.emr.attempt_folder import End, Launch, Versions, events_name
from capstone_dagster.emr.event_relay import ForeignEventsError, Relay
from capstone_dagster.settings import CHECKOUT
from capstone_dagster_tests.builders.run_histories import SUCCESS, Event, began, failed, succeeded
from capstone_dagster_tests.capstone_dagster.emr.one_step import STEP, begun_step, entry
from capstone_dagster_tests.servers.emr_platform import DAY
from capstone_dagster_tests.servers.platform import Platform
from capstone_dagster_tests.servers.s3_server import s3_client
from spark_code.storage import Storage

HERE = Versions.here()
OTHERS = [replace(HERE, python="3.9"), replace(HERE, dagster="1.12.0")]
ADVICE = (
    "they must be the same; let the cluster install the deploy/runtime.lock of this checkout "
    "(deploy/emr/bootstrap.sh), or run the host with the cluster's Python"
)

STEP_MAIN = """
import sys
from capstone_dagster.emr.on_cluster.step_main import main
code = main(*sys.argv[1:])
print([name for name in sys.modules if name.split(".")[0] in ("dagster", "pyspark", "dagster_shared")])
sys.exit(code)
"""


def test_versions_are_those_of_this_process() -> None:
    major, minor, _ = platform.python_version_tuple()
    assert Versions(f"{major}.{minor}", dg.__version__) == HERE


def test_a_cluster_without_dagster_has_it_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)

    assert Launch(HERE, {}).refusal() == (
        f"the cluster has Python {HERE.python} with Dagster missing, this host {HERE}: {ADVICE}"
    )


@pytest.mark.faults("F17", sample=True)
@pytest.mark.parametrize("host", OTHERS, ids=["another Python", "another Dagster"])
def test_other_versions_are_refused_and_both_sides_are_named(host: Versions) -> None:
    assert Launch(host, {}).refusal() == (
        f"the cluster has {HERE}, this host Python {host.python} with Dagster {host.dagster}: {ADVICE}"
    )


def test_the_same_versions_are_not_refused() -> None:
    assert Launch(HERE, {}).refusal() is None


@pytest.mark.parametrize(
    ("told", "stored"),
    [
        (
            Launch(Versions("3.11", "1.13.4"), {"CAPSTONE_LAKE_URI": "s3://bucket/lake"}),
            {
                "versions": {"python": "3.11", "dagster": "1.13.4"},
                "environment": {"CAPSTONE_LAKE_URI": "s3://bucket/lake"},
            },
        ),
        (End(3), {"batches": 3, "refusal": None}),
        (End(0, "because"), {"batches": 0, "refusal": "because"}),
    ],
    ids=["launch.json", "end.json", "end.json of a refusal"],
)
def test_what_is_told_is_json_and_read_back_as_it_was(told: Launch | End, stored: dict[str, Any]) -> None:
    assert json.loads(told.to_json()) == stored
    assert type(told).from_json(told.to_json()) == told


@pytest.mark.faults("F17", sample=True)
@pytest.mark.parametrize("host", OTHERS, ids=["another Python", "another Dagster"])
def test_a_cluster_with_other_versions_refuses_before_it_imports_dagster(s3_uri: str, host: Versions) -> None:
    bucket, folder = s3_uri.removeprefix("s3://"), "staging/runs/run/step/1"
    Storage(f"{s3_uri}/{folder}").write("launch.json", Launch(host, {}).to_json())

    ended = subprocess.run(
        [sys.executable, "-c", STEP_MAIN, bucket, f"{folder}/step_run_ref.pkl", "us-east-1"],
        cwd=CHECKOUT,
        env=os.environ,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (ended.returncode, ended.stdout) == (1, "[]\n"), ended.stderr
    assert json.loads(s3_client().get_object(Bucket=bucket, Key=f"{folder}/end.json")["Body"].read()) == {
        "batches": 0,
        "refusal": f"the cluster has {HERE}, this host Python {host.python} with Dagster {host.dagster}: {ADVICE}",
    }
    # Nothing more was asked of S3: the boto3 of another Python may not know how.
    assert Storage(f"{s3_uri}/{folder}").read("begun") is None


def test_the_handshake_needs_no_newer_python_than_clusters_have() -> None:
    """Python 3.9 is still on some: it has no ``typing.Self``, and ``str | None`` only where nobody evaluates it."""
    tree = ast.parse(inspect.getsource(attempt_folder), feature_version=(3, 9))
    from_typing = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module == "typing"]
    assert [name.name for node in from_typing for name in node.names] == ["TYPE_CHECKING"]
    assert vars(attempt_folder)["annotations"] is __future__.annotations


def test_batches_are_counted_from_one_and_sorted_by_name() -> None:
    assert [events_name(number) for number in (1, 12, 999_999)] == [
        "events/000001.json",
        "events/000012.json",
        "events/999999.json",
    ]


@pytest.fixture
def step(tmp_path: Path, instance: dg.DagsterInstance) -> Iterator[StepExecutionContext]:
    with begun_step(Platform(tmp_path, DAY).defs, instance) as step:
        yield step


def put(storage: Storage, number: int, step: StepExecutionContext, *events: Event | str) -> None:
    """A batch as the cluster writes it."""
    entries = [entry(step, event) for event in events]
    storage.write(f"events/{number:06}.json", dg.serialize_value(entries).encode())


def stored(step: StepExecutionContext) -> list[str | None]:
    return [record.message for record in step.instance.all_logs(step.run_id)]


def test_events_are_stored_and_yielded_in_their_order_each_once(tmp_path: Path, step: StepExecutionContext) -> None:
    storage = Storage(str(tmp_path / "staging"))
    relay, before = Relay(step, storage), stored(step)

    put(storage, 1, step, began(STEP), "reading")
    first = [event.event_type_value for event in relay.new_events()]
    again = list(relay.new_events())
    put(storage, 2, step, "writing")
    put(storage, 3, step, succeeded(STEP))
    put(storage, 5, step, failed(STEP))  # what comes behind a gap is not there yet
    second = [event.event_type_value for event in relay.new_events()]

    assert (first, again, second) == (["STEP_START"], [], ["STEP_SUCCESS"])
    assert stored(step)[len(before) :] == ["STEP_START", "reading", "writing", "STEP_SUCCESS"]
    assert list(Relay(step, Storage(str(tmp_path / "of another attempt"))).new_events()) == []


@pytest.mark.parametrize(
    "change",
    [
        {"run_id": "another"},
        {"step_key": "eod__trades"},
        {"step_key": None, "dagster_event": SUCCESS.of("preprocessing")},
    ],
    ids=["of another run", "of another step", "of the whole run"],
)
def test_a_cluster_decides_about_nothing_but_its_step(
    tmp_path: Path, step: StepExecutionContext, change: dict[str, Any]
) -> None:
    storage, before = Storage(str(tmp_path / "staging")), stored(step)
    forged = entry(step, "nothing to see")._replace(**change)
    storage.write("events/000001.json", dg.serialize_value([entry(step, "reading"), forged]).encode())

    with pytest.raises(ForeignEventsError, match=r"events/000001\.json is not of this step alone"):
        list(Relay(step, storage).new_events())

    assert stored(step) == before


def test_what_happens_there_is_shown_here(
    tmp_path: Path, step: StepExecutionContext, capfd: pytest.CaptureFixture[str]
) -> None:
    storage = Storage(str(tmp_path / "staging"))
    put(storage, 1, step, "reading the day")

    list(Relay(step, storage).new_events())

    assert "reading the day" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("event", "is_decided"),
    [
        (succeeded(STEP), True),
        (failed(STEP), True),
        (Event(dg.DagsterEventType.STEP_UP_FOR_RETRY, STEP), True),
        (began(STEP), False),
    ],
    ids=lambda value: value.type.value if isinstance(value, Event) else str(value),
)
def test_the_step_itself_decides_how_it_ended(
    tmp_path: Path, step: StepExecutionContext, event: Event, is_decided: bool
) -> None:
    storage = Storage(str(tmp_path / "staging"))
    put(storage, 1, step, event)
    relay = Relay(step, storage)

    assert not relay.is_decided
    list(relay.new_events())
    assert relay.is_decided == is_decided


def test_the_last_word_is_none_until_it_is_there(tmp_path: Path, step: StepExecutionContext) -> None:
    storage = Storage(str(tmp_path / "staging"))
    relay = Relay(step, storage)
    assert relay.end() is None

    storage.write("end.json", b'{"batches": 2, "refusal": null}')

    assert relay.end() == End(2)
