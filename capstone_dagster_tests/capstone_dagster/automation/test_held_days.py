"""A day of which people have rolled back a table: automation leaves it as it is, until its files change."""

from dataclasses import replace

import pytest

from capstone_dagster.assets.jobs import JOB_NAMES
from capstone_dagster.automation.needed_runs import Decision, fingerprint
from capstone_dagster.cli.run_command import is_missing
from capstone_dagster.run_tags import DELIVERIES_TAG
from capstone_dagster_tests.builders.hand_made_days import FRIDAY, THURSDAY, TUESDAY, HandMadeDays, files, pointer
from capstone_dagster_tests.builders.lakes import deliver
from spark_code.raw_files import RawFolder
from spark_code.schemas import CLOSES, EVENTS, QUOTE_ANALYTICS, TABLES, Table

HELD = "2020-09-04 is left as it is until its files change: {} was rolled back by ann on desk: wrong prices"


@pytest.fixture
def twice(days: HandMadeDays) -> HandMadeDays:
    """Friday was run from files A, and then from files B."""
    days.ran("daily_pipeline", THURSDAY)
    days.ran("daily_pipeline", FRIDAY, "A")
    days.ran("daily_pipeline", FRIDAY, "B", price="11")
    return days


def roll_back(days: HandMadeDays, table: Table, content: str = "B") -> None:
    """As the command does: an older version counts, and the files that were known are those."""
    known = {found.source.raw_table: found.fingerprint for found in files(content)}
    before = days.lake.require(table, FRIDAY)
    rolled_back = {"by": "ann on desk", "reason": "wrong prices", "withdrawn": before.version, "files": known}
    inputs = {name: f"older {value}" for name, value in before.inputs.items()}
    manifest = replace(before, version="v-before", inputs=inputs, digest="closes at 10", rolled_back=rolled_back)
    days.lake.storage.write(pointer(table, FRIDAY), replace(manifest, token=before.token + 1).to_json())


def asked(days: HandMadeDays, content: str) -> Decision:
    return days.judge().files(FRIDAY, THURSDAY, files(content), on_the_way=False)


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
def test_the_files_and_closes_that_were_known_start_no_run(twice: HandMadeDays, table: Table) -> None:
    assert asked(twice, "B").job is None
    roll_back(twice, table)

    for decision in (asked(twice, "B"), twice.judge().closes(FRIDAY, THURSDAY)):
        assert (decision.job, decision.is_settled) == (None, True)


@pytest.mark.parametrize("table", [EVENTS, QUOTE_ANALYTICS], ids=lambda table: table.path)
def test_the_reason_is_said(twice: HandMadeDays, table: Table) -> None:
    roll_back(twice, table)

    assert asked(twice, "B").reason == HELD.format(table.path)


def test_new_files_are_run(twice: HandMadeDays) -> None:
    roll_back(twice, EVENTS)

    assert asked(twice, "C").job == "daily_pipeline"


def test_a_report_that_was_rolled_back_is_made_again_from_new_files(twice: HandMadeDays) -> None:
    roll_back(twice, QUOTE_ANALYTICS)
    twice.ran("preprocessing", FRIDAY, "C", tags={DELIVERIES_TAG: fingerprint(files("C"))})

    assert [decision.job for decision in (asked(twice, "C"), twice.judge().closes(FRIDAY, THURSDAY))] == [
        "analytical",
        "analytical",
    ]


def test_the_report_of_the_next_day_is_made_again_when_closes_were_rolled_back(twice: HandMadeDays) -> None:
    twice.ran("daily_pipeline", TUESDAY)
    assert twice.judge().closes(TUESDAY, FRIDAY).job is None
    roll_back(twice, CLOSES)

    assert twice.judge().closes(TUESDAY, FRIDAY).job == "analytical"


def test_a_day_that_a_person_has_run_since_is_not_held(twice: HandMadeDays) -> None:
    roll_back(twice, CLOSES)
    assert twice.judge().held(FRIDAY)

    twice.ran("daily_pipeline", FRIDAY, "B")

    assert twice.judge().held(FRIDAY) is None


def test_missing_days_are_not_those_that_were_rolled_back(twice: HandMadeDays) -> None:
    raw = RawFolder(twice.settings.raw_uri)
    deliver(twice.settings.home / "raw", FRIDAY)
    known = {found.source.raw_table: found.fingerprint for found in raw.deliveries(FRIDAY)}
    assert is_missing(twice.settings, twice.instance, "daily_pipeline", FRIDAY)
    roll_back(twice, EVENTS)
    manifest = twice.lake.require(EVENTS, FRIDAY)
    rolled_back = {**(manifest.rolled_back or {}), "files": known}
    twice.lake.storage.write(pointer(EVENTS, FRIDAY), replace(manifest, rolled_back=rolled_back).to_json())

    found = {job: is_missing(twice.settings, twice.instance, job, FRIDAY) for job in JOB_NAMES}
    assert found == {"daily_pipeline": False, "preprocessing": False, "analytical": False}
