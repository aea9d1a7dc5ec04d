"""What no manifest needs is found and removed, on local paths and on S3; what anybody may need stays."""

import json
import os
import time
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from capstone_dagster_tests.builders.closes import (
    DATA,
    DAY,
    NEXT_DAY,
    POINTER,
    die_half_way,
    point_to,
    put_version,
    version_of,
)
from capstone_dagster_tests.builders.lakes import make_old
from spark_code import retention
from spark_code.garbage import Found, garbage, remove
from spark_code.lake import Lake
from spark_code.manifest import Attempt
from spark_code.schemas import CLOSES

WHOLE = "it is whole, and nothing of its day is published: is its pointer lost?"


def publish(lake: Lake, token: int, day: date = DAY) -> None:
    put_version(lake, token, day)
    point_to(lake, token, day)


def let_a_day_pass(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    if lake.storage.is_local:
        make_old(Path(lake.storage.root))
    else:
        monkeypatch.setattr(retention, "MIN_AGE_TO_REMOVE", timedelta(0))


def found_in(lake: Lake, busy: date | None = None) -> list[Found]:
    return list(garbage(lake, lambda day: day == busy))


def removed_from(lake: Lake) -> list[Found]:
    removed = []
    for found in garbage(lake, lambda _: False):
        if found.is_garbage:
            remove(lake, found)
            removed.append(found)
    return removed


def folder(token: int, day: date = DAY) -> str:
    return f"{DATA}/{version_of(token, day)}"


def test_old_versions_and_what_never_published_is_removed(any_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    for token in (1, 2, 3):
        publish(any_lake, token)
    publish(any_lake, 1, NEXT_DAY)
    put_version(any_lake, 4)
    die_half_way(any_lake, 5)
    let_a_day_pass(any_lake, monkeypatch)

    assert removed_from(any_lake) == [Found(folder(token), bytes=4, objects=1) for token in (1, 4, 5)]
    assert any_lake.storage.folders(DATA) == [version_of(2), version_of(3), version_of(1, NEXT_DAY)]
    assert removed_from(any_lake) == []


@pytest.mark.parametrize(("kept", "goes"), [(2, [1, 2]), (3, [1]), (4, [])])
def test_as_many_versions_stay_as_the_setting_says(local_lake: Lake, kept: int, goes: list[int]) -> None:
    local_lake.keep_versions = kept
    for token in (1, 2, 3, 4):
        publish(local_lake, token)
    make_old(Path(local_lake.storage.root))

    assert [found.key for found in found_in(local_lake)] == [folder(token) for token in goes]


def test_what_is_younger_than_a_day_stays(any_lake: Lake) -> None:
    for token in (1, 2, 3):
        publish(any_lake, token)
    put_version(any_lake, 4)

    assert found_in(any_lake) == []


def test_a_version_that_was_replaced_today_stays(local_lake: Lake) -> None:
    publish(local_lake, 1)
    make_old(Path(local_lake.storage.root))
    for token in (2, 3):
        publish(local_lake, token)

    assert found_in(local_lake) == []


def test_a_day_that_somebody_works_on_is_named_and_left(local_lake: Lake) -> None:
    for token in (1, 2, 3):
        publish(local_lake, token)
    make_old(Path(local_lake.storage.root))

    assert [(found.key, found.why) for found in found_in(local_lake, busy=DAY)] == [
        (folder(1), "a run works on its day, or waits for it")
    ]
    assert [found.is_garbage for found in found_in(local_lake, busy=NEXT_DAY)] == [True]


def test_a_whole_version_of_a_day_without_a_pointer_is_named_and_left(local_lake: Lake) -> None:
    publish(local_lake, 1)
    local_lake.storage.write(f"{folder(1)}/trade_dt={DAY}/_SUCCESS", b"")
    die_half_way(local_lake, 2)
    make_old(Path(local_lake.storage.root))
    local_lake.storage.delete([POINTER])

    assert found_in(local_lake) == [Found(folder(1), 4, 2, WHOLE), Found(folder(2), 4, 1)]


def test_nothing_is_removed_of_a_day_whose_pointer_cannot_be_read(local_lake: Lake) -> None:
    put_version(local_lake, 1)
    local_lake.storage.write(POINTER, b"torn")
    make_old(Path(local_lake.storage.root))

    (found,) = found_in(local_lake)

    assert (found.is_garbage, found.key) == (False, folder(1))
    assert f"{POINTER} is no manifest" in (found.why or "")


@pytest.mark.parametrize(
    ("says", "why"),
    [
        ({"trade_dt": f"{NEXT_DAY}"}, "is the manifest of another day, 2020-08-06"),
        ({"version": version_of(8)}, "names a file that is not of this table, day and version: eod/closes/data/"),
        ({"version": version_of(8), "paths": []}, f"names {version_of(8)}, which is gone"),
        ({"earlier_versions": "none"}, "is no manifest: earlier_versions cannot be 'none'"),
    ],
)
def test_nothing_is_removed_of_a_day_whose_pointer_is_wrong(local_lake: Lake, says: dict[str, Any], why: str) -> None:
    for token in (1, 2, 3):
        publish(local_lake, token)
    pointer = Path(local_lake.storage.uri(POINTER))
    pointer.write_text(json.dumps(json.loads(pointer.read_text()) | says))
    make_old(Path(local_lake.storage.root))

    found = found_in(local_lake)

    assert {folder(1), folder(3)} <= {each.key for each in found}
    assert all((each.why or "").startswith(f"{pointer} {why}") for each in found)


def test_a_version_that_is_begun_and_has_no_file_yet_stays(local_lake: Lake) -> None:
    publish(local_lake, 1)
    begun = folder(Attempt.begin("a-run").token)
    (Path(local_lake.storage.uri(begun)) / "_temporary").mkdir(parents=True)
    make_old(Path(local_lake.storage.root))

    assert found_in(local_lake) == []
    local_lake._retire(CLOSES, DAY)
    assert Path(local_lake.storage.uri(begun)).exists()


def test_what_is_not_of_the_platform_is_named_and_left(any_lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(any_lake, 1)
    foreign = [
        f"{CLOSES.path}/notes",
        f"{DATA}/mine.parquet",
        f"{DATA}/2020-02-31-1-of-no-day-1",
        f"{DATA}/copy-of-{version_of(1)}",
        f"{CLOSES.path}/_published/readme.txt",
    ]
    for key in foreign:
        any_lake.storage.write(f"{key}/part-0.parquet" if "." not in key else key, b"mine")
    let_a_day_pass(any_lake, monkeypatch)

    found = found_in(any_lake)

    assert sorted(each.key for each in found) == sorted(foreign)
    assert {each.why for each in found} == {"it does not belong to this platform"}
    assert removed_from(any_lake) == []


def test_unfinished_files_of_killed_processes_are_removed_and_locks_stay(local_lake: Lake) -> None:
    publish(local_lake, 1)
    root = Path(local_lake.storage.root)
    torn = [root / f"{POINTER}#1", root / "report" / "index.html#27"]
    for path in torn:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("half of")
    of_people = [root / "notes#1", root / "report" / "page" / "my.html#2", root / CLOSES.path / "data" / "a#3"]
    for path in of_people:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    make_old(root)
    young = root / f"{POINTER}#2"
    young.write_text("half of")
    then = time.time() - timedelta(hours=23).total_seconds()
    os.utime(young, (then, then))

    assert [(found.key, found.bytes) for found in removed_from(local_lake)] == [
        (f"{POINTER}#1", 7),
        ("report/index.html#27", 7),
    ]
    assert all(path.exists() for path in of_people)
    assert sorted(path.name for path in (root / POINTER).parent.iterdir()) == [
        ".2020-08-05.json.lock",
        "2020-08-05.json",
        "2020-08-05.json#2",
    ]


def test_a_folder_without_files_goes_with_the_version(local_lake: Lake) -> None:
    publish(local_lake, 2)
    (Path(local_lake.storage.uri(folder(1))) / "empty").mkdir(parents=True)
    put_version(local_lake, 1)
    make_old(Path(local_lake.storage.root))

    removed_from(local_lake)

    assert not Path(local_lake.storage.uri(folder(1))).exists()
