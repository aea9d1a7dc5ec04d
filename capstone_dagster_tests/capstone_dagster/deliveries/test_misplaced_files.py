"""What lies in the raw folder where nobody reads it: each is named, with why and what to do."""

from datetime import date
from pathlib import Path

import pytest

from capstone_dagster.deliveries.scan import RawScan, Scan
from capstone_dagster.trading_days import trading_days
from capstone_dagster_tests.servers.s3_server import s3_client, uri_of
from spark_code.locations import shown
from spark_code.raw_files import RawFolder

DAY = date(2020, 8, 6)


def look(raw: RawFolder) -> Scan:
    return RawScan(raw, trading_days(date(2020, 8, 5)), lambda: 0.0).look(date(2020, 11, 27), 250, (), None)


@pytest.fixture(params=["local", "s3"])
def raw(request: pytest.FixtureRequest) -> RawFolder:
    found = RawFolder(uri_of(request.param, request))
    for key in (f"csv/{DAY}/NYSE/a.csv", f"json/{DAY}/NASDAQ/a.json"):
        found.storage.write(key, b"a line")
    return found


CLOSED = "nothing of this day is run: move the files to their trading day, or away"


@pytest.mark.faults("F7", sample=True)
@pytest.mark.parametrize(
    ("key", "place", "why"),
    [
        ("xml/2020-08-06/NYSE/a", "xml", "only csv and json are read; move it there"),
        ("a.csv", "a.csv", "only csv and json are read; move it there"),
        (
            "reference/corporate-actions.csv",
            "reference/corporate-actions.csv",
            "only reference/corporate_actions.csv is read here; rename it, or move it away",
        ),
        ("csv/a.csv", "csv/a.csv", "files belong in csv/<yyyy-mm-dd>/NYSE/"),
        ("csv/2020-8-6/NYSE/a", "csv/2020-8-6", "'2020-8-6' is not a date; write yyyy-mm-dd, or move it away"),
        ("csv/2020-09-07/NYSE/a", "csv/2020-09-07", f"the NYSE is closed on Labor Day; {CLOSED}"),
        ("json/2020-08-08/NASDAQ/a", "json/2020-08-08", f"the NYSE is closed on Saturdays; {CLOSED}"),
        (
            "csv/2020-08-04/NYSE/a",
            "csv/2020-08-04",
            f"it is before the first trading day 2020-08-05 (CAPSTONE_FIRST_TRADING_DAY); {CLOSED}",
        ),
        (
            "csv/2020-11-30/NYSE/a",
            "csv/2020-11-30",
            "it is in the future, in New York it is 2020-11-27; it is watched from that day on, unless you rename it",
        ),
        (
            f"csv/{DAY}/LSE/a",
            f"csv/{DAY}/LSE",
            f"a: no exchange of this name is known; files belong in csv/{DAY}/NYSE/",
        ),
        (f"csv/{DAY}/NASDAQ/a", f"csv/{DAY}/NASDAQ", f"a: NASDAQ delivers json; move it into json/{DAY}/NASDAQ/"),
        (f"json/{DAY}/loose", f"json/{DAY}", f"loose: files belong in json/{DAY}/NASDAQ/"),
        (
            f"csv/{DAY}/NYSE/deep/er/a",
            f"csv/{DAY}/NYSE/deep",
            f"er/a: a delivery has no deeper folders; move it into csv/{DAY}/NYSE/",
        ),
    ],
)
def test_a_misplaced_file_is_named_with_why_and_what_to_do_and_spoils_nothing(
    raw: RawFolder, key: str, place: str, why: str
) -> None:
    raw.storage.write(key, b"a line")

    scan = look(raw)

    assert [(found.place, found.why) for found in scan.misplaced] == [(place, why)]
    assert [len(arrival.delivery.files) for arrival in scan.days[DAY].arrivals] == [1, 1]


@pytest.mark.parametrize(
    "key",
    [
        "_archive/a",
        ".git/config",
        "csv/_SUCCESS",
        "json/.staging/a",
        f"csv/{DAY}/_temporary/0/a",
        f"csv/{DAY}/NYSE/_x/a",
        "reference/corporate_actions.csv",
    ],
)
def test_names_that_are_no_deliveries_are_not_misplaced(raw: RawFolder, key: str) -> None:
    raw.storage.write(key, b"")

    assert look(raw).misplaced == []


def test_the_folder_objects_that_the_s3_console_makes_are_not_misplaced(s3_uri: str) -> None:
    for key in ("raw/", "raw/csv/", f"raw/csv/{DAY}/", f"raw/csv/{DAY}/NYSE/"):
        s3_client().put_object(Bucket=s3_uri.removeprefix("s3://"), Key=key, Body=b"")

    scan = look(RawFolder(f"{s3_uri}/raw"))

    assert (scan.watched, scan.misplaced) == ([DAY], [])


def test_many_files_of_one_place_are_named_together(raw: RawFolder) -> None:
    for number in range(5):
        raw.storage.write(f"csv/{DAY}/LSE/{number}", b"")

    [found] = look(raw).misplaced

    assert found.why.startswith("0, 1, 2, and 2 more: no exchange")


def test_of_a_folder_that_is_no_raw_folder_not_everything_is_told(tmp_path: Path) -> None:
    for number in range(120):
        (tmp_path / f"{number:03}").mkdir()

    misplaced = look(RawFolder(str(tmp_path))).misplaced

    assert (len(misplaced), misplaced[-1].why) == (101, "20 more names have no place here; is it the raw folder?")


def test_a_raw_folder_that_is_not_there_yet_has_nothing(tmp_path: Path) -> None:
    scan = look(RawFolder(str(tmp_path / "nowhere")))

    assert (scan.watched, scan.misplaced) == ([], [])
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("name", "safe"), [("ü.csv", "ü.csv"), ("two\nlines", r"two\nlines"), ("latin-1 \udcfc", r"latin-1 \udcfc")]
)
def test_a_name_is_shown_so_that_it_can_be_printed(name: str, safe: str) -> None:
    assert shown(name) == safe
