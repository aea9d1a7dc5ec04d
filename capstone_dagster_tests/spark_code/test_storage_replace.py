"""Objects replaced while others use them: on a local path and on S3, except where the name says otherwise."""

import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from capstone_dagster_tests.servers.s3_server import PLACES, VERSIONED
from spark_code import file_lock
from spark_code.locations import StorageError
from spark_code.storage import Storage


@pytest.mark.parametrize("storage", [*PLACES, VERSIONED], indirect=True)
def test_replace_makes_the_object_from_nothing(storage: Storage) -> None:
    seen = []

    def revise(current: bytes | None) -> bytes:
        seen.append(current)
        return b"new"

    storage.replace("folder/name", revise)

    assert (seen, storage.read("folder/name")) == ([None], b"new")


@pytest.mark.parametrize("storage", [*PLACES, VERSIONED], indirect=True)
def test_replace_revises_what_is_there(storage: Storage) -> None:
    storage.write("name", b"old")

    for suffix in (b"1", b"2", b"3"):
        storage.replace("name", appending(suffix))

    assert storage.read("name") == b"old123"


def appending(suffix: bytes) -> Callable[[bytes | None], bytes]:
    return lambda current: (current or b"") + suffix


def test_a_revision_that_refuses_leaves_the_object_and_the_way_free(storage: Storage) -> None:
    storage.write("name", b"old")

    def refuse(current: bytes | None) -> bytes:
        raise ValueError(f"will not replace {current!r}")

    with pytest.raises(ValueError, match="will not replace b'old'"):
        storage.replace("name", refuse)

    assert storage.read("name") == b"old"
    assert finishes(lambda: storage.write("name", b"new"))


def test_a_write_that_comes_in_between_is_seen_by_the_revision_on_s3(s3_storage: Storage) -> None:
    s3_storage.write("name", b"old")
    seen = []

    def revise(current: bytes | None) -> bytes:
        seen.append(current)
        if len(seen) == 1:
            s3_storage.write("name", b"of another")
        return (current or b"") + b" revised"

    s3_storage.replace("name", revise)

    assert (seen, s3_storage.read("name")) == ([b"old", b"of another"], b"of another revised")


def test_what_killed_writers_left_beside_an_object_goes_when_it_is_replaced(local_storage: Storage) -> None:
    folder = Path(local_storage.root, "folder")
    folder.mkdir(parents=True)
    for name in ("name#1", "name#12", "name#new", "other#1", "na[m]e#1"):
        (folder / name).write_bytes(b"half")

    local_storage.replace("folder/name", appending(b"new"))
    local_storage.replace("folder/na[m]e", appending(b"new"))

    assert sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) == [
        "na[m]e",
        "name",
        "name#new",
        "other#1",
    ]


def test_a_writer_that_is_frozen_stops_the_others_with_an_error_that_says_how_to_end_it(
    local_storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_lock, "_LONGEST_SECONDS", 0.0)

    def frozen(current: bytes | None) -> bytes:
        lock = re.escape(f"{local_storage.root}/folder/.name.lock")
        with pytest.raises(StorageError, match=rf"folder/name is locked by a process .* \(fuser {lock} shows its id"):
            Storage(local_storage.root).replace("folder/name", appending(b"of another"))
        return appending(b"mine")(current)

    local_storage.replace("folder/name", frozen)

    assert local_storage.read("folder/name") == b"mine"


def test_losing_the_race_for_ever_is_an_error_that_says_so_on_s3(s3_storage: Storage) -> None:
    tries = []

    def always_late(_: bytes | None) -> bytes:
        tries.append(1)
        s3_storage.write("folder/name", str(len(tries)).encode())
        return b"mine"

    with pytest.raises(StorageError, match=f"{s3_storage.uri('folder/name')} was replaced by others 20 times"):
        s3_storage.replace("folder/name", always_late)

    assert s3_storage.read("folder/name") == b"20"


@pytest.mark.parametrize("storage", [*PLACES, VERSIONED], indirect=True)
def test_threads_that_count_in_one_object_lose_no_count(storage: Storage) -> None:
    # Twenty counts in all: nobody can lose the race more often than S3 is tried.
    everyone_is_there = threading.Barrier(5)
    errors: list[Exception] = []

    def count_up() -> None:
        everyone_is_there.wait()
        for _ in range(4):
            try:
                storage.replace("folder/count", plus_one)
            except Exception as error:  # noqa: BLE001 -- shown by the assertion below
                errors.append(error)

    threads = [threading.Thread(target=count_up) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (errors, storage.read("folder/count")) == ([], b"20")


def plus_one(current: bytes | None) -> bytes:
    return str(int(current or 0) + 1).encode()


COUNT_UP = """
import sys
from spark_code.storage import Storage
storage = Storage(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for _ in range(50):
    storage.replace("folder/count", lambda current: str(int(current or 0) + 1).encode())
"""


def test_processes_that_count_in_one_local_object_lose_no_count(local_storage: Storage) -> None:
    processes = [start(COUNT_UP, local_storage.root) for _ in range(4)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()

    outputs = [process.communicate(timeout=30) for process in processes]

    assert outputs == [("", "")] * 4
    assert local_storage.read("folder/count") == b"200"


HOLD_THE_LOCK = """
import sys, time
from spark_code.storage import Storage
def revise(current):
    print("ready", flush=True)
    time.sleep(600)
    return b"never written"
Storage(sys.argv[1]).replace("folder/name", revise)
"""


def test_a_process_killed_while_it_holds_the_local_lock_does_not_block_the_next(local_storage: Storage) -> None:
    local_storage.write("folder/name", b"old")
    holder = start(HOLD_THE_LOCK, local_storage.root)
    waiting = threading.Thread(target=lambda: local_storage.replace("folder/name", appending(b"+")), daemon=True)
    waiting.start()
    waiting.join(timeout=0.3)
    had_to_wait = waiting.is_alive()

    holder.kill()
    holder.communicate(timeout=10)
    waiting.join(timeout=10)

    assert (had_to_wait, waiting.is_alive()) == (True, False)
    assert local_storage.read("folder/name") == b"old+"


def start(script: str, *args: str) -> "subprocess.Popen[str]":
    """Start a script and wait until it says that it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def finishes(work: Callable[[], None]) -> bool:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(timeout=10)
    return not thread.is_alive()


def test_a_reader_sees_the_old_content_or_the_new_and_never_a_part(storage: Storage) -> None:
    contents = [letter * 300_000 for letter in (b"a", b"b")]
    storage.write("name", contents[0])
    stop = threading.Event()

    def keep_writing() -> None:
        while not stop.is_set():
            for content in contents:
                storage.write("name", content)

    writer = threading.Thread(target=keep_writing)
    writer.start()
    seen = [storage.read("name") for _ in range(20)]
    stop.set()
    writer.join()

    assert [content in contents for content in seen] == [True] * 20
