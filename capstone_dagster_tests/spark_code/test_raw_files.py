"""What the exchanges delivered: the same on a local path and on S3, except where the name says otherwise."""

import os
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from capstone_dagster_tests.servers.s3_server import (  # noqa: F401 -- pytest finds fixtures by their import
    PLACES,
    s3_client,
    s3_endpoint,
    s3_uri,
    uri_of,
)
from spark_code.raw_files import (
    SOURCES,
    Delivery,
    MissingDeliveryError,
    RawFolder,
    Source,
    UnreadableNameError,
)
from spark_code.raw_lines import lines_of, parts
from spark_code.storage import StoredObject

DAY = date(2020, 8, 5)
NYSE = "csv/2020-08-05/NYSE"
NASDAQ = "json/2020-08-05/NASDAQ"


@pytest.fixture(params=PLACES)
def raw(request: pytest.FixtureRequest) -> RawFolder:
    return RawFolder(uri_of(request.param, request))


@pytest.fixture
def local_raw(tmp_path: Path) -> RawFolder:
    return RawFolder(str(tmp_path / "raw"))


def deliver(raw: RawFolder, *keys: str, content: bytes = b"line\n") -> None:
    for key in keys:
        raw.storage.write(key, content)


def both_delivered(raw: RawFolder) -> None:
    deliver(raw, f"{NYSE}/part-0.csv", f"{NASDAQ}/part-0.json")


def keys_of(deliveries: list[Delivery]) -> dict[str, list[str]]:
    return {delivery.source.exchange: [stored.key for stored in delivery.files] for delivery in deliveries}


def nyse_fingerprint(raw: RawFolder) -> str:
    return next(found.fingerprint for found in raw.deliveries(DAY) if found.source.exchange == "NYSE")


def test_the_deliveries_of_a_day_are_the_files_of_both_exchanges(raw: RawFolder) -> None:
    deliver(raw, f"{NYSE}/b.csv", f"{NYSE}/a.csv.gz", content=b"12345")
    deliver(raw, f"{NASDAQ}/part-0.json", content=b"{}")
    deliver(raw, "csv/2020-08-06/NYSE/of another day.csv", "csv/2020-08-05/NASDAQ/in the wrong format.csv")

    found = raw.deliveries(DAY)

    assert [(each.source, each.day, each.bytes) for each in found] == [
        (Source("NYSE", "csv"), DAY, 10),
        (Source("NASDAQ", "json"), DAY, 2),
    ]
    assert keys_of(found) == {"NYSE": [f"{NYSE}/a.csv.gz", f"{NYSE}/b.csv"], "NASDAQ": [f"{NASDAQ}/part-0.json"]}


def test_a_source_knows_its_table_and_its_folder() -> None:
    source = Source("NASDAQ", "json")

    assert (source.raw_table, source.folder(DAY)) == ("raw/nasdaq", NASDAQ)


@pytest.mark.parametrize(
    ("delivered", "missing"),
    [
        ([], f"NYSE (looked in {{raw}}/{NYSE}/) and NASDAQ (looked in {{raw}}/{NASDAQ}/)"),
        ([NYSE], f"NASDAQ (looked in {{raw}}/{NASDAQ}/)"),
        ([NASDAQ], f"NYSE (looked in {{raw}}/{NYSE}/)"),
    ],
    ids=["both missing", "NASDAQ missing", "NYSE missing"],
)
def test_a_missing_exchange_is_an_error_that_names_it_and_its_path(
    raw: RawFolder, delivered: list[str], missing: str
) -> None:
    deliver(raw, *(f"{folder}/part-0" for folder in delivered))

    with pytest.raises(MissingDeliveryError) as refused:
        raw.deliveries(DAY)

    who, what_to_do = str(refused.value).split("; ")
    assert who == f"no raw files of 2020-08-05 from {missing}".replace("{raw}", raw.storage.root)
    assert what_to_do == "wait for the delivery, or check the raw folder"


def test_the_error_of_missing_exchanges_names_them_for_programs_too(raw: RawFolder) -> None:
    deliver(raw, f"{NYSE}/part-0.csv")

    with pytest.raises(MissingDeliveryError) as refused:
        raw.deliveries(DAY)

    assert refused.value.exchanges == ["NASDAQ"]


def test_a_delivery_knows_whether_the_exchange_said_that_it_is_complete(raw: RawFolder) -> None:
    both_delivered(raw)
    deliver(raw, f"{NYSE}/_SUCCESS", f"{NASDAQ}/deeper/_SUCCESS", f"{NASDAQ}_SUCCESS", content=b"")

    assert [found.has_success for found in raw.deliveries(DAY)] == [True, False]


@pytest.mark.parametrize(
    ("second_of_the_marker", "says_so"),
    [(0, False), (1, False), (2, True), (3, True)],
    ids=["before the correction", "in the middle of it", "in its last second", "behind it"],
)
def test_a_marker_that_is_older_than_a_file_says_nothing_about_it(second_of_the_marker: int, says_so: bool) -> None:
    seconds = {"_SUCCESS": second_of_the_marker, "part-0.csv": 1, "part-1.csv": 2, "_later": 9}
    listed = [
        StoredObject(f"{NYSE}/{name}", 1, datetime(2020, 8, 5, 21, 0, second, tzinfo=UTC), "")
        for name, second in seconds.items()
    ]

    assert RawFolder("/raw").delivery(SOURCES[0], DAY, listed).has_success is says_so


def test_a_delivery_is_the_same_of_whatever_was_listed_around_it(raw: RawFolder) -> None:
    both_delivered(raw)
    deliver(raw, f"{NYSE}/b.csv", f"{NYSE}/_SUCCESS", f"{NYSE}_OLD/part-9.csv", "csv/2020-08-06/NYSE/part-0.csv")

    for found in raw.deliveries(DAY):
        assert raw.delivery(found.source, DAY, raw.storage.objects("")) == found


@pytest.mark.parametrize(
    "name",
    ["_SUCCESS", "_temporary/0/part-0.csv", ".part-0.csv.crc", "deeper/part-0.csv", "deeper/_SUCCESS"],
)
def test_what_is_not_data_is_neither_delivered_nor_a_delivery(raw: RawFolder, name: str) -> None:
    both_delivered(raw)
    before = nyse_fingerprint(raw)
    deliver(raw, f"{NYSE}/{name}")
    keys, after = keys_of(raw.deliveries(DAY)), nyse_fingerprint(raw)
    raw.storage.delete([f"{NYSE}/part-0.csv"])

    assert keys == {"NYSE": [f"{NYSE}/part-0.csv"], "NASDAQ": [f"{NASDAQ}/part-0.json"]}
    assert after == before
    with pytest.raises(MissingDeliveryError, match="NYSE"):
        raw.deliveries(DAY)


def test_a_folder_whose_name_only_begins_like_the_exchange_is_another(raw: RawFolder) -> None:
    both_delivered(raw)
    deliver(raw, f"{NYSE}_OLD/part-9.csv", f"{NYSE}.csv", f"{NYSE} 2/part-9.csv")

    assert keys_of(raw.deliveries(DAY))["NYSE"] == [f"{NYSE}/part-0.csv"]


def test_the_folder_object_that_the_s3_console_makes_is_not_data(request: pytest.FixtureRequest) -> None:
    raw = RawFolder(uri_of("s3", request))
    deliver(raw, f"{NASDAQ}/part-0.json")
    bucket, _, prefix = raw.storage.root.removeprefix("s3://").partition("/")
    s3_client().put_object(Bucket=bucket, Key=f"{prefix}/{NYSE}/", Body=b"")

    with pytest.raises(MissingDeliveryError, match="NYSE"):
        raw.deliveries(DAY)


@pytest.mark.parametrize("inside", [(), ("archive/old.csv",)], ids=["empty", "with a file"])
def test_a_folder_that_the_s3_console_makes_below_an_exchange_is_not_data(
    request: pytest.FixtureRequest, inside: Sequence[str]
) -> None:
    raw = RawFolder(uri_of("s3", request))
    both_delivered(raw)
    deliver(raw, f"{NYSE}/empty.csv", *(f"{NYSE}/{name}" for name in inside))
    before = raw.deliveries(DAY)
    bucket, _, prefix = raw.storage.root.removeprefix("s3://").partition("/")
    s3_client().put_object(Bucket=bucket, Key=f"{prefix}/{NYSE}/archive/", Body=b"")

    assert raw.deliveries(DAY) == before
    [listed] = raw.storage.pages(NYSE, after="")  # as the sensor lists it
    assert raw.delivery(SOURCES[0], DAY, listed).fingerprint == before[0].fingerprint


def test_the_fingerprint_stays_while_nothing_is_delivered(raw: RawFolder) -> None:
    both_delivered(raw)
    deliver(raw, "csv/2020-08-06/NYSE/of another day.csv")
    before = nyse_fingerprint(raw)
    deliver(raw, f"{NASDAQ}/of another exchange.json")

    assert nyse_fingerprint(raw) == before


@pytest.mark.parametrize("change", ["other content of the same size", "longer", "added", "removed", "renamed"])
def test_the_fingerprint_changes_with_what_is_delivered(raw: RawFolder, change: str) -> None:
    both_delivered(raw)
    deliver(raw, f"{NYSE}/part-1.csv", content=b"1,2\n")
    before = nyse_fingerprint(raw)

    if change == "other content of the same size":
        deliver(raw, f"{NYSE}/part-1.csv", content=b"1,3\n")
    elif change == "longer":
        deliver(raw, f"{NYSE}/part-1.csv", content=b"1,2\n1,3\n")
    elif change == "added":
        deliver(raw, f"{NYSE}/part-2.csv", content=b"1,2\n")
    else:
        raw.storage.delete([f"{NYSE}/part-1.csv"])
        if change == "renamed":
            deliver(raw, f"{NYSE}/part-2.csv", content=b"1,2\n")

    assert nyse_fingerprint(raw) != before


def test_the_fingerprint_does_not_depend_on_the_order_of_arrival_on_s3(request: pytest.FixtureRequest) -> None:
    # A local ETag holds the time of the write: there only the order of the listing could differ.
    raw = RawFolder(uri_of("s3", request))
    keys = [f"{NYSE}/part-{number}.csv" for number in range(3)]
    both_delivered(raw)
    deliver(raw, *keys)
    before = nyse_fingerprint(raw)
    raw.storage.delete(keys)
    deliver(raw, *reversed(keys))

    assert nyse_fingerprint(raw) == before


def test_a_third_exchange_is_one_more_source(raw: RawFolder) -> None:
    raw = RawFolder(raw.storage.root, [Source("IEX", "json")])
    deliver(raw, "json/2020-08-05/IEX/x.json")

    assert keys_of(raw.deliveries(DAY)) == {"IEX": ["json/2020-08-05/IEX/x.json"]}


# What exchanges, browsers and people make of a file name; each is one line of data.
ODD_NAMES = [
    "no extension",
    "a b.csv",
    "a%20b.csv",
    "100%.csv",
    "ü.csv",
    "u\u0308.csv",
    "[x].csv",
    "tr*?{y}.csv",
    "part(1).csv",
    "part#1.csv",
    "a+b&c=d,e;f.csv",
    "back\\slash.csv",
    "'quoted\".csv",
    "~",
    "-rf",
]


def test_every_odd_name_is_read_and_only_what_was_listed(local_raw: RawFolder) -> None:
    both_delivered(local_raw)
    local_raw.storage.delete([f"{NYSE}/part-0.csv"])
    for name in ODD_NAMES:
        deliver(local_raw, f"{NYSE}/{name}", content=f"{name}\n".encode())

    delivery = local_raw.deliveries(DAY)[0]
    # Would match the globs of the odd names, if they were read as such.
    deliver(local_raw, f"{NYSE}/x.csv", f"{NYSE}/troy.csv")

    listed = [part for lot in parts(delivery, 10_000) for part in lot]
    lines = [line.as_py() for part in listed for some in lines_of(delivery.storage, part) for line in some]
    assert sorted(lines) == sorted(name.encode() for name in ODD_NAMES)


@pytest.mark.parametrize("name", ["09:30.csv", ":"])
def test_a_local_name_with_a_colon_is_an_error_that_names_the_file(local_raw: RawFolder, name: str) -> None:
    both_delivered(local_raw)
    deliver(local_raw, f"{NYSE}/{name}")

    with pytest.raises(UnreadableNameError) as refused:
        local_raw.deliveries(DAY)

    path = f"{local_raw.storage.root}/{NYSE}/{name}"
    assert str(refused.value) == f"{path}: a local file name must not contain ':' or end in #digits; rename it"


@pytest.mark.faults("F7", sample=True)
@pytest.mark.parametrize("name", ["part.zst", "part.csv.snappy", "part.LZ4", "part.csv.zip", "part.XZ", "part.tgz"])
def test_a_file_packed_otherwise_than_gz_and_bz2_is_an_error_that_names_it(raw: RawFolder, name: str) -> None:
    both_delivered(raw)
    deliver(raw, f"{NYSE}/{name}")

    with pytest.raises(UnreadableNameError) as refused:
        raw.deliveries(DAY)

    path = f"{raw.storage.root}/{NYSE}/{name}"
    assert str(refused.value) == f"{path}: only plain, .gz and .bz2 files can be read; deliver it as one of these"


def test_a_name_with_a_colon_is_data_on_s3(request: pytest.FixtureRequest) -> None:
    raw = RawFolder(uri_of("s3", request))
    both_delivered(raw)
    deliver(raw, f"{NYSE}/09:30.csv")

    assert keys_of(raw.deliveries(DAY))["NYSE"] == [f"{NYSE}/09:30.csv", f"{NYSE}/part-0.csv"]


@pytest.mark.parametrize("linked", [f"{NYSE}/part-1.csv", NYSE, "csv/2020-08-05", "csv"])
def test_a_link_out_of_the_raw_folder_is_not_followed(local_raw: RawFolder, tmp_path: Path, linked: str) -> None:
    both_delivered(local_raw)
    link, elsewhere = tmp_path / "raw" / linked, tmp_path / "elsewhere"
    if link.exists():
        link.rename(elsewhere)
    else:
        elsewhere.write_text("a secret of the user who runs this\n")
    link.symlink_to(elsewhere)

    with pytest.raises(UnreadableNameError) as refused:
        local_raw.deliveries(DAY)

    named = linked if linked.startswith(NYSE) else NYSE
    path = f"{local_raw.storage.root}/{named}"
    assert str(refused.value) == f"{path} leads out of the raw folder by a link; deliver the files themselves"


def test_links_within_the_raw_folder_and_of_the_folder_itself_are_followed(tmp_path: Path) -> None:
    there = RawFolder(str(tmp_path / "disk"))
    both_delivered(there)
    (tmp_path / "disk" / NYSE / "part-1.csv").symlink_to("part-0.csv")
    (tmp_path / "disk" / "csv" / "2020-08-06").symlink_to("2020-08-05")
    (tmp_path / "raw").symlink_to("disk")

    found = RawFolder(str(tmp_path / "raw")).found(date(2020, 8, 6))

    assert keys_of(found)["NYSE"] == ["csv/2020-08-06/NYSE/part-0.csv", "csv/2020-08-06/NYSE/part-1.csv"]


def test_what_is_no_file_is_not_delivered(local_raw: RawFolder, tmp_path: Path) -> None:
    both_delivered(local_raw)
    os.mkfifo(tmp_path / "raw" / NYSE / "pipe.csv")
    for name, target in {"endless.csv": "/dev/zero", "gone.csv": "nowhere"}.items():
        (tmp_path / "raw" / NYSE / name).symlink_to(target)

    assert keys_of(local_raw.deliveries(DAY))["NYSE"] == [f"{NYSE}/part-0.csv"]


@pytest.mark.faults("F7", sample=True)
@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"part.csv#1", "part.csv#1"),
        (b"two\nlines.csv", r"two\nlines.csv"),
        (b"latin-1 \xfc.csv", "latin-1"),
        (b"tab\t.csv", r"tab\t.csv"),
        (b"esc\x1b[31m.csv", r"esc\x1b[31m.csv"),
    ],
)
def test_a_local_name_that_the_store_cannot_list_is_delivered_or_refused_by_name(
    local_raw: RawFolder, name: bytes, shown: str
) -> None:
    both_delivered(local_raw)
    folder = f"{local_raw.storage.root}/{NYSE}/"
    Path(os.fsdecode(folder.encode() + name)).write_text("a line that must not get lost\n")

    try:
        outcome = str(keys_of(local_raw.deliveries(DAY)))
    except Exception as refused:  # noqa: BLE001 -- which error it is stays open, only not that it names the file
        outcome = str(refused)

    assert f"{NYSE}/{shown}" in outcome
    assert outcome.isprintable()
