"""Days that are listed many at a time are found as a run finds each of them, on a local path and on S3."""

import logging
import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import pytest
from moto.s3.models import s3_backends

from capstone_dagster.deliveries.listing import DayReader
from capstone_dagster_tests.builders.raw_folders import CountedRaw
from capstone_dagster_tests.servers.s3_server import uri_of
from spark_code.locations import StorageError
from spark_code.raw_files import RawFolder

DAYS = [date(2020, 8, 3) + timedelta(days=number) for number in range(5)]
MISSING = date(2020, 8, 10)


@pytest.fixture(params=["local", "s3 with an odd name"])
def raw(request: pytest.FixtureRequest) -> RawFolder:
    return RawFolder(uri_of(request.param, request))


def reader_of(raw: RawFolder) -> DayReader:
    return DayReader(raw, {top: raw.storage.folders(top) for top in ("csv", "json")})


@contextmanager
def counted(caplog: pytest.LogCaptureFixture) -> Iterator[list[str]]:
    """The list calls that the S3 server answers meanwhile."""
    calls: list[str] = []
    with caplog.at_level(logging.INFO, logger="werkzeug"):
        caplog.clear()
        yield calls
        calls += [message for message in caplog.messages if "list-type=2" in message]


def put_many(uri: str, days: Sequence[date], files: int) -> None:
    """Straight into the server, which runs in this process: a put for each would take a minute."""
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    for day in days:
        for folder in (f"csv/{day}/NYSE", f"json/{day}/NASDAQ"):
            for number in range(files):
                s3_backends["123456789012"]["aws"].put_object(bucket, f"{prefix}/{folder}/part-{number:04}", b"a line")


def test_a_day_is_found_as_a_run_finds_it(raw: RawFolder) -> None:
    for day in DAYS:
        for key in (
            "csv/{}/NYSE/b%20 ü.csv",
            "csv/{}/NYSE/a.csv.gz",
            "json/{}/NASDAQ/part[0]",
            "json/{}/NASDAQ/_SUCCESS",
        ):
            raw.storage.write(key.format(day), f"{day}".encode())
    for key in (
        "csv/2020-08-04-old/NYSE/a",
        "csv/2020-08-04.csv",
        "csv/2020-08-040/NYSE/a",
        "json/2020-08-04 2/NASDAQ/a",
    ):
        raw.storage.write(key, b"none of them")
    reader = reader_of(raw)

    for day in DAYS:
        found = [arrival.delivery for arrival in reader.read(day).arrivals]
        assert found == raw.deliveries(day)
        assert [delivery.has_success for delivery in found] == [False, True]


def test_an_exchange_that_has_delivered_nothing_is_found_with_no_files(raw: RawFolder) -> None:
    raw.storage.write("json/2020-08-03/NASDAQ/a", b"a line")
    reader = reader_of(raw)

    assert [len(arrival.delivery.files) for arrival in reader.read(DAYS[0]).arrivals] == [0, 1]
    assert [len(arrival.delivery.files) for arrival in reader.read(MISSING).arrivals] == [0, 0]


def test_two_hundred_and_fifty_days_of_few_files_are_one_list_call_of_each_format(
    s3_uri: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    days = [date(2020, 1, 1) + timedelta(days=number) for number in range(250)]
    put_many(f"{s3_uri}/raw", days, files=3)
    raw = RawFolder(f"{s3_uri}/raw")
    reader = reader_of(raw)

    with counted(caplog) as calls:
        found = [reader.read(day) for day in days]

    assert {len(arrival.delivery.files) for day in found for arrival in day.arrivals} == {3}
    assert (len(calls), reader.list_calls) == (2, 2)


def test_days_of_more_files_than_a_call_brings_are_read_whole_and_no_further(
    s3_uri: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    put_many(f"{s3_uri}/raw", DAYS[:2], files=1_100)
    reader = reader_of(RawFolder(f"{s3_uri}/raw"))

    with counted(caplog) as calls:
        found = reader.read(DAYS[0])

    assert [len(arrival.delivery.files) for arrival in found.arrivals] == [1_100, 1_100]
    assert (len(calls), reader.list_calls) == (4, 4)


def test_whatever_the_order_every_day_is_found() -> None:
    chance = random.Random(5)  # noqa: S311 -- for the same orders every time
    raw = CountedRaw(page=3)
    for number, day in enumerate(DAYS):
        raw.deliver(day, files=number)
    wanted = {day: number for number, day in enumerate(DAYS)}
    for _ in range(50):
        reader = reader_of(raw)
        for day in chance.choices(DAYS, k=8):
            assert [len(arrival.delivery.files) for arrival in reader.read(day).arrivals] == [wanted[day]] * 2


@pytest.mark.parametrize("name", [b"09:30.csv", b"part#1", b"latin-1 \xfc.csv", b"two\nlines.csv"])
def test_a_name_that_nobody_can_read_spoils_its_delivery_and_no_other(tmp_path: Path, name: bytes) -> None:
    raw = RawFolder(str(tmp_path))
    for day in DAYS[:2]:
        raw.storage.write(f"csv/{day}/NYSE/a", b"a line")
        raw.storage.write(f"json/{day}/NASDAQ/a", b"a line")
    Path(os.fsdecode(os.fsencode(tmp_path / f"csv/{DAYS[0]}/NYSE") + b"/" + name)).write_text("a line")
    reader = reader_of(raw)

    spoilt, well = reader.read(DAYS[0]), reader.read(DAYS[1])

    assert [bool(arrival.unreadable) for arrival in (*spoilt.arrivals, *well.arrivals)] == [True, False, False, False]
    [found] = spoilt.misplaced
    assert found.place == f"csv/{DAYS[0]}/NYSE"
    assert found.why == spoilt.arrivals[0].unreadable
    assert well.misplaced == []


@pytest.mark.parametrize("name", ["/x", "../x", "..", "./x", "a\x01b"])
def test_a_key_that_the_store_cannot_spell_spoils_its_delivery_and_no_other(s3_uri: str, name: str) -> None:
    raw = RawFolder(s3_uri)
    bucket, _, prefix = s3_uri.removeprefix("s3://").partition("/")
    above = f"{prefix}/" if prefix else ""
    for day in DAYS[:3]:
        raw.storage.write(f"csv/{day}/NYSE/a", b"a line")
        raw.storage.write(f"json/{day}/NASDAQ/a", b"a line")
    for odd in (f"csv/{DAYS[1]}/NYSE/{name}", f"csv/{name}"):
        s3_backends["123456789012"]["aws"].put_object(bucket, f"{above}{odd}", b"a line")
    reader = reader_of(raw)

    days = [reader.read(day) for day in DAYS[:3]]

    assert [[len(arrival.delivery.files) for arrival in day.arrivals] for day in days] == [[1, 1], [0, 1], [1, 1]]
    [found] = days[1].misplaced
    assert found.place == f"csv/{DAYS[1]}/NYSE"
    assert "InvalidPathError" in found.why
    assert found.why.endswith("; rename the file")


def test_a_bucket_that_is_not_there_is_an_error(s3_uri: str) -> None:
    reader = DayReader(RawFolder(f"{s3_uri}-gone/raw"), {"csv": [f"{day}" for day in DAYS[:2]], "json": []})

    for day in DAYS[:2]:
        with pytest.raises(StorageError, match="-gone"):
            reader.read(day)
