"""``capstone glue-sync``: what it registers of a lake that has days, and what it refuses."""

from datetime import date
from pathlib import Path

import pytest

from capstone_dagster_tests.builders.catalogs import ALL, events_of, folder_of, point_to
from capstone_dagster_tests.builders.command_line import Run
from capstone_dagster_tests.servers.glue_server import (  # noqa: F401 -- pytest finds fixtures by their import
    GlueServer,
    glue_front,
    glue_server,
)
from capstone_dagster_tests.servers.s3_server import (  # noqa: F401 -- pytest finds fixtures by their import
    s3_endpoint,
    s3_uri,
    uri_of,
)
from spark_code.lake import Lake
from spark_code.schemas import CLOSES, EVENTS

# No variable but the home, whatever the machine has set.
pytestmark = pytest.mark.usefixtures("home")

DAYS = (date(2020, 8, 5), date(2020, 8, 6), date(2020, 8, 7))


@pytest.fixture
def lake(home: Path, glue: GlueServer, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """The lake that the settings name, beside the catalog that they name; no day is published."""
    assert home
    uri = uri_of("s3", request)
    monkeypatch.setenv("CAPSTONE_LAKE_URI", uri)
    monkeypatch.setenv("CAPSTONE_GLUE_DATABASE", glue.database)
    return Lake(uri)


@pytest.fixture
def published(lake: Lake) -> Lake:
    """Three days of closes and one of events, of which Glue knows nothing."""
    for day in DAYS:
        point_to(lake, CLOSES, 1, day=day)
    point_to(lake, EVENTS, 1, ALL, day=DAYS[1])
    return lake


def closes_of(lake: Lake, *days: date) -> dict[tuple[str, ...], str]:
    return {(f"{day}",): folder_of(lake, CLOSES, 1, day) for day in days}


def test_all_that_is_published_is_registered(capstone: Run, glue: GlueServer, published: Lake) -> None:
    code, out, err = capstone("glue-sync")

    assert (code, err) == (0, "")
    assert out.splitlines() == [
        f"{glue.database}.ingested_events  1 day, the last is 2020-08-06",
        f"{glue.database}.eod_closes  3 days, the last is 2020-08-07",
    ]
    assert glue.locations("eod_closes") == closes_of(published, *DAYS)
    assert glue.locations("ingested_events") == events_of(published, 1, ALL, DAYS[1])
    assert {table["Name"] for table in glue.client.get_tables(DatabaseName=glue.database)["TableList"]} == {
        "ingested_events",
        "eod_closes",
    }


@pytest.mark.parametrize(
    ("days", "registered"), [("2020-08-05", DAYS[:1]), ("2020-08-06..2020-08-07", DAYS[1:]), ("2020-08-07", DAYS[2:])]
)
def test_only_the_days_that_are_asked_for_are_registered(
    capstone: Run, glue: GlueServer, published: Lake, days: str, registered: tuple[date, ...]
) -> None:
    code, _, err = capstone("glue-sync", days)

    assert (code, err) == (0, "")
    assert glue.locations("eod_closes") == closes_of(published, *registered)


def test_a_catalog_that_fell_behind_is_brought_up(capstone: Run, glue: GlueServer, published: Lake) -> None:
    assert capstone("glue-sync")[0] == 0
    point_to(published, CLOSES, 2, day=DAYS[0])
    point_to(published, EVENTS, 2, ("T", "Q"), day=DAYS[1])

    assert capstone("glue-sync")[0] == 0

    moved = {("2020-08-05",): folder_of(published, CLOSES, 2, DAYS[0])}
    assert glue.locations("eod_closes") == closes_of(published, *DAYS[1:]) | moved
    assert glue.locations("ingested_events") == events_of(published, 2, ("T", "Q"), DAYS[1])


def test_a_day_of_which_attempts_were_only_given_up_is_not_published(
    capstone: Run, glue: GlueServer, published: Lake
) -> None:
    published.give_up(CLOSES, date(2020, 8, 10), "run/1")
    published.storage.write("eod/closes/_published/notes.json", b"of a person")

    code, _, err = capstone("glue-sync")

    assert (code, err) == (0, "")
    assert glue.locations("eod_closes") == closes_of(published, *DAYS)


@pytest.mark.parametrize(
    ("days", "said"),
    [
        ([], "nothing is published in {lake}; make it with: capstone run DATE"),
        (["2020-08-05"], "nothing of 2020-08-05 is published in {lake}; make it with: capstone run 2020-08-05"),
        (["2020-08-08"], "2020-08-08 cannot be run: the NYSE is closed on Saturdays"),
    ],
)
def test_days_of_which_nothing_is_published_are_an_error(capstone: Run, lake: Lake, days: list[str], said: str) -> None:
    assert capstone("glue-sync", *days) == (1, "", f"capstone: {said.replace('{lake}', lake.storage.root)}\n")


def test_without_a_database_the_command_says_what_to_set(
    capstone: Run, glue: GlueServer, published: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert published
    monkeypatch.setenv("CAPSTONE_GLUE_DATABASE", "")

    assert capstone("glue-sync") == (
        1,
        "",
        "capstone: CAPSTONE_GLUE_DATABASE is not set; name the Glue database to register the tables in\n",
    )
    assert glue.calls == []


def test_a_refusal_is_one_line(capstone: Run, glue: GlueServer, published: Lake) -> None:
    assert published
    glue.refuse("BatchCreatePartition", "AccessDeniedException")

    code, out, err = capstone("glue-sync", "2020-08-05")

    assert (code, out) == (1, "")
    assert err.startswith("capstone: eod/closes of 2020-08-05 is published (2020-08-05-1-run-0001-1), but is not ")
    assert err.endswith("; once that is mended: capstone glue-sync 2020-08-05\n")
    assert err.count("\n") == 1
