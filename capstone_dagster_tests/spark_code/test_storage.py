"""Objects by key: every test holds on a local path and on S3, except where the name says otherwise."""

import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from capstone_dagster_tests.s3_server import (  # noqa: F401 -- pytest finds fixtures by their import
    LOCAL_PLACES,
    PLACES,
    VERSIONED,
    s3_client,
    s3_endpoint,
    s3_uri,
    uri_of,
)
from spark_code.storage import Storage, StorageError, StoredObject, location

ODD_KEYS = ["a b", "a%20b", "ü", "[x]", "tr*?{y}", "a#b&c=d", "_a/.b", "a:b", "back\\slash"]


@pytest.fixture(params=PLACES)
def storage(request: pytest.FixtureRequest) -> Storage:
    return Storage(uri_of(request.param, request))


@pytest.fixture(params=LOCAL_PLACES)
def local_storage(request: pytest.FixtureRequest) -> Storage:
    return Storage(uri_of(request.param, request))


@pytest.fixture
def s3_storage(request: pytest.FixtureRequest) -> Storage:
    return Storage(uri_of("s3", request))


def keys_and_sizes(objects: list[StoredObject]) -> list[tuple[str, int]]:
    return [(stored.key, stored.size) for stored in objects]


def etag(storage: Storage, folder: str) -> str:
    [stored] = storage.objects(folder)
    return stored.etag


@pytest.mark.parametrize("content", [b"", b"{}", bytes(range(256)) * 5000], ids=["empty", "short", "1 MB"])
def test_what_was_written_is_read_back(storage: Storage, content: bytes) -> None:
    storage.write("folder/name", content)

    assert storage.read("folder/name") == content


def test_odd_keys_are_kept_to_the_letter(storage: Storage) -> None:
    for key in ODD_KEYS:
        storage.write(f"folder/{key}", key.encode())

    assert [stored.key for stored in storage.objects("folder")] == sorted(f"folder/{key}" for key in ODD_KEYS)
    assert {key: storage.read(f"folder/{key}") for key in ODD_KEYS} == {key: key.encode() for key in ODD_KEYS}


def test_writing_again_replaces_the_content(storage: Storage) -> None:
    storage.write("name", b"a longer first content")
    storage.write("name", b"second")

    assert storage.read("name") == b"second"
    assert keys_and_sizes(storage.objects("")) == [("name", 6)]


def test_a_missing_object_reads_as_none(storage: Storage) -> None:
    storage.write("folder/name", b"1")

    assert [storage.read(key) for key in ("name", "folder/other", "folder", "other/name")] == [None] * 4


def test_an_empty_object_is_not_a_missing_one(storage: Storage) -> None:
    storage.write("name", b"")

    assert storage.read("name") == b""


def test_objects_are_all_below_the_folder_in_the_order_of_their_keys(storage: Storage) -> None:
    for key in ("day/b", "day/a", "day/deep/er/c", "day_2/d", "day.json", "dax"):
        storage.write(key, key.encode())

    assert keys_and_sizes(storage.objects("day")) == [("day/a", 5), ("day/b", 5), ("day/deep/er/c", 13)]


def test_objects_tell_when_they_were_written(storage: Storage) -> None:
    storage.write("name", b"1")

    [stored] = storage.objects("")
    assert abs(datetime.now(UTC) - stored.last_modified) < timedelta(seconds=30)


def test_folders_are_those_directly_below_without_the_objects(storage: Storage) -> None:
    for key in ("data/v2/a", "data/v1/deep/b", "data/name", "data_2/v3/c"):
        storage.write(key, b"1")

    assert storage.folders("data") == ["v1", "v2"]


def test_a_missing_folder_is_empty(storage: Storage) -> None:
    assert (storage.objects("nowhere"), storage.folders("nowhere")) == ([], [])


def test_the_etag_changes_with_the_content_and_only_then(storage: Storage) -> None:
    storage.write("name", b"one")
    first = etag(storage, "")
    untouched = etag(storage, "")
    storage.write("name", b"two")

    assert first
    assert untouched == first
    assert etag(storage, "") != first


def test_deleted_objects_are_gone_with_the_folder_they_leave_empty(storage: Storage) -> None:
    for key in ("data/v1/trade_dt=1/a", "data/v1/b", "data/v2/c"):
        storage.write(key, b"1")

    storage.delete(["data/v1/trade_dt=1/a", "data/v1/b"])

    assert keys_and_sizes(storage.objects("data")) == [("data/v2/c", 1)]
    assert storage.folders("data") == ["v2"]


def test_deleting_nothing_deletes_nothing(storage: Storage) -> None:
    storage.write("name", b"1")

    storage.delete([])

    assert storage.read("name") == b"1"


def test_deleting_what_is_gone_already_is_no_error(storage: Storage) -> None:
    for key in ("folder/a", "folder/b"):
        storage.write(key, b"1")

    storage.delete(["folder/a", "folder/never was", "folder/b"])

    assert storage.objects("folder") == []


def test_other_programs_find_the_object_at_its_uri(storage: Storage) -> None:
    storage.write("folder/a b%20ü[x]", b"1")

    uri = storage.uri("folder/a b%20ü[x]")
    if storage.is_local:
        assert Path(uri).read_bytes() == b"1"
    else:
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        assert [found["Key"] for found in s3_client().list_objects_v2(Bucket=bucket)["Contents"]] == [key]


def test_the_path_for_spark_has_its_globs_escaped(tmp_path: Path) -> None:
    storage = Storage(str(tmp_path))

    assert storage.spark_path("a[1]/b*?{c}\\d e%20") == f"{tmp_path}/a\\[1\\]/b\\*\\?\\{{c\\}}\\\\d e%20"


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


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("/lake", "/lake"),
        ("/lake/", "/lake"),
        ("/lake/../raw/./x", "/raw/x"),
        ("/a b%20ü[x]#y?z", "/a b%20ü[x]#y?z"),
        ("/a:b", "/a:b"),
        ("lake", "{here}/lake"),
        (".", "{here}"),
        ("~/lake", "{home}/lake"),
        ("file:///lake/", "/lake"),
        ("file:///a b%20ü[x]", "/a b%20ü[x]"),
        ("file:/lake", "/lake"),
        ("s3://bucket", "s3://bucket"),
        ("s3://bucket/", "s3://bucket"),
        ("s3://bucket/a/b/", "s3://bucket/a/b"),
        ("s3://bucket/a b%20ü[x]", "s3://bucket/a b%20ü[x]"),
        ("s3://bucket/a#b?c", "s3://bucket/a#b?c"),
    ],
)
def test_a_location_is_normalised(given: str, wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/of the trader")

    assert location(given) == wanted.replace("{here}", str(tmp_path)).replace("{home}", "/home/of the trader")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "an empty location; give a local path or s3://bucket/prefix"),
        ("s3://", "'s3://' names no bucket; write s3://bucket/prefix"),
        ("s3:///prefix", "'s3:///prefix' names no bucket; write s3://bucket/prefix"),
        ("s3:bucket", "'s3:bucket' names no bucket; write s3://bucket/prefix"),
        ("s3a://bucket/x", "'s3a://bucket/x' is neither a local path, file:// nor s3://"),
        ("gs://bucket/x", "'gs://bucket/x' is neither a local path, file:// nor s3://"),
        ("https://host/x", "'https://host/x' is neither a local path, file:// nor s3://"),
    ],
)
def test_a_location_that_cannot_be_used_is_an_error_that_says_why(given: str, message: str) -> None:
    with pytest.raises(StorageError) as refused:
        location(given)

    assert str(refused.value) == message


def test_a_local_file_where_a_folder_should_be_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "trades.csv").write_text("1")

    with pytest.raises(Exception, match=r"trades\.csv"):
        Storage(str(tmp_path / "trades.csv"))
