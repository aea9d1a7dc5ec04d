"""Objects by key: every test holds on a local path and on S3, except where the name says otherwise."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from capstone_dagster_tests.servers.s3_server import s3_client
from spark_code.locations import StorageError, location
from spark_code.storage import NoBucketError, Storage, StoredObject

ODD_KEYS = ["a b", "a%20b", "ü", "[x]", "tr*?{y}", "a#b&c=d", "_a/.b", "a:b", "back\\slash"]


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


@pytest.mark.parametrize("key", ["../secret", "folder/../../secret"])
def test_no_key_leads_out_of_the_root(local_storage: Storage, key: str) -> None:
    local_storage.write("folder/object", b"")
    Path(local_storage.root).with_name("secret").write_text("of somebody else")

    for use in (local_storage.read, local_storage.open, local_storage.find, local_storage.objects):
        with pytest.raises(StorageError, match=r"illegal character sequence \"\.\.\""):
            use(key)
    with pytest.raises(StorageError, match="illegal character sequence"):
        local_storage.write(key, b"changed")
    assert Path(local_storage.root).with_name("secret").read_text() == "of somebody else"


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


def test_names_are_those_of_folders_and_objects_directly_below(storage: Storage) -> None:
    for key in ("data/v2/a", "data/v1/deep/b", "data/z", "data/a", "data_2/v3/c", "top"):
        storage.write(key, b"1")

    assert storage.names("data") == (["v1", "v2"], ["a", "z"])
    assert storage.names("") == (["data", "data_2"], ["top"])
    assert storage.names("nowhere") == ([], [])


def test_the_folder_object_that_the_s3_console_makes_is_none_of_the_names(s3_storage: Storage) -> None:
    bucket, _, prefix = s3_storage.root.removeprefix("s3://").partition("/")
    for key in ("", "data/"):
        s3_client().put_object(Bucket=bucket, Key=f"{prefix}/{key}", Body=b"")

    assert (s3_storage.names(""), s3_storage.names("data")) == ((["data"], []), ([], []))


def test_the_folder_objects_that_hadoop_makes_are_no_objects(s3_storage: Storage) -> None:
    for key in ("version/day=1/part", "version/day=1-2/part", "version/empty", "version/_SUCCESS"):
        s3_storage.write(key, b"" if key in ("version/empty", "version/_SUCCESS") else b"1")
    objects = s3_storage.objects("version")
    bucket, _, prefix = s3_storage.root.removeprefix("s3://").partition("/")
    for folder in ("version/", "version/day=1/", "version/day=1-2/"):
        s3_client().put_object(Bucket=bucket, Key=f"{prefix}/{folder}", Body=b"")

    assert s3_storage.objects("version") == objects
    assert [stored.key for stored in objects] == sorted(
        ["version/day=1/part", "version/day=1-2/part", "version/empty", "version/_SUCCESS"]
    )


def test_a_local_name_that_the_store_cannot_spell_hides_no_other(local_storage: Storage) -> None:
    local_storage.write("data/folder/a", b"1")
    odd = os.fsdecode(b"latin-1 \xfc")
    Path(local_storage.root, "data", odd).mkdir()

    assert local_storage.names("data") == (["folder", odd], [])


def test_pages_are_the_objects_behind_a_key_in_their_order(storage: Storage) -> None:
    keys = sorted([*(f"day/{name}" for name in ODD_KEYS), "day/deep/er/c"])
    for key in (*keys, "day_2/d"):
        storage.write(key, b"1")

    for after in ("", "day", "day/a", keys[3], keys[-1]):
        found = [stored.key for page in storage.pages("day", after) for stored in page]
        assert found == [key for key in keys if key > after], after
    assert [stored for page in storage.pages("nowhere", "") for stored in page] == []


def test_a_location_whose_links_lead_to_themselves_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")

    with pytest.raises(StorageError, match="loop"):
        Storage(f"{tmp_path}/loop/raw").names("")


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
        ("file://localhost/lake#2?x", "/lake#2?x"),
        ("file:///lake#2", "/lake#2"),
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


def test_a_bucket_that_is_there_is_enough(storage: Storage) -> None:
    storage.require_bucket()


def test_a_bucket_that_is_not_there_is_named(s3_storage: Storage) -> None:
    del s3_storage  # for its server
    with pytest.raises(NoBucketError, match=r"^s3://no-such-bucket/lake: the bucket no-such-bucket does not exist$"):
        Storage("s3://no-such-bucket/lake").require_bucket()


def test_a_deleted_folder_is_gone_with_all_below_it_and_nothing_beside_it(storage: Storage) -> None:
    for key in ("data/v1/trade_dt=1/a", "data/v1/b", "data/v10/c"):
        storage.write(key, b"1")

    storage.delete_folder("data/v1")

    assert [stored.key for stored in storage.objects("")] == ["data/v10/c"]
    assert storage.folders("data") == ["v10"]


def test_the_empty_objects_that_hadoop_leaves_for_folders_go_with_them(s3_storage: Storage) -> None:
    bucket, _, prefix = s3_storage.root.removeprefix("s3://").partition("/")
    s3_client().put_object(Bucket=bucket, Key=f"{prefix}/data/v1/trade_dt=1/", Body=b"")
    assert s3_storage.folders("data") == ["v1"]

    s3_storage.delete_folder("data/v1")

    assert s3_storage.folders("data") == []
