"""``capstone status``: the columns that scripts find by their place, and those that people like."""

import re
from pathlib import Path

import pytest

from capstone_dagster_tests.builders.command_line import Run
from capstone_dagster_tests.builders.run_histories import FAILURE, QUEUED, STARTED, STARTING, Histories, began, failed
from capstone_dagster_tests.servers.job_status_database import Database

STEP = "ingested__events"


@pytest.fixture
def run_id(database: Database, home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A run of preprocessing that fails three minutes after its start, in the storage that the command reads."""
    assert not home.exists()
    monkeypatch.setenv("CAPSTONE_POSTGRES_URL", database.url_of("postgres"))
    return Histories(database.instance).run(
        "preprocessing", QUEUED, STARTING, STARTED, began(STEP), failed(STEP), FAILURE
    )


def test_a_job_is_a_line_with_what_it_took_at_its_end_and_why_it_failed_below(capstone: Run, run_id: str) -> None:
    code, out, err = capstone("status")

    assert (code, err) == (0, "")
    header, job, reason = out.splitlines()
    columns = re.split(r"  +", header)
    assert columns == ["job id", "status", "updated time", "attempts", "seconds", "run id", "started", "took"]
    shown = dict(zip(columns, re.split(r"  +", job), strict=True))
    assert shown.pop("updated time").endswith(" UTC")
    assert shown == {
        "job id": "preprocessing_2020-08-06",
        "status": "FAILURE",
        "attempts": "1",
        "seconds": "180",
        "run id": run_id,
        "started": "2020-08-06 22:02:00 UTC",
        "took": "0:03:00",
    }
    assert reason == "    no raw files"


def test_one_job_says_what_it_took_too(capstone: Run, run_id: str) -> None:
    code, out, _ = capstone("status", "preprocessing_2020-08-06")

    assert code == 0
    facts = dict(re.split(r"  +", line, maxsplit=1) for line in out.splitlines())
    assert (facts["run id"], facts["took"]) == (run_id, "0:03:00")
