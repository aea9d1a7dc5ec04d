"""S3 that is busy, slow, breaks connections, cuts or loses answers, or refuses: from the middle of a run on.

Whole days by processes of their own, with the real S3 client of Spark; each kind of request that they make is hit.
"""

import re
from pathlib import Path

import pytest

from capstone_dagster_tests.fault_report import Tally
from capstone_dagster_tests.servers.on_s3 import (  # noqa: F401 -- pytest finds fixtures by their import
    raw_and_lake_below,
    real_jars,
)
from capstone_dagster_tests.servers.platform import Platform, Rows
from capstone_dagster_tests.servers.s3_faults import (  # noqa: F401 -- the same
    BREAK,
    HANG,
    LOSE_ANSWER,
    SLOW,
    TRUNCATE,
    Faults,
    faulty_front,
    faulty_s3,
)
from capstone_dagster_tests.whole_platform.faults.conftest import DAY
from spark_code.schemas import EVENTS

KINDS = {
    "list": r"^GET /[^/?]+/?\?.*list-type=2",
    "read": r"^GET /[^/?]+/[^?]+\?",
    "look for": r"^HEAD /[^/?]+/[^?]+\?",
    "write": r"^PUT /[^/?]+/[^?]+\?(?!.*uploadId)",
    "begin an upload": r"^POST .*\?uploads",
    "write a part": r"^PUT .*uploadId",
    "end an upload": r"^POST .*\?uploadId",
    "delete": r"^DELETE |^POST .*\?delete",
}

pytestmark = pytest.mark.usefixtures("real_jars")


@pytest.fixture
def platform(faults: Faults, s3_uri: str, tmp_path: Path) -> Platform:
    """The first delivery of the day on S3, and no trace of how it came there."""
    made = Platform(tmp_path / "home", DAY, more={**raw_and_lake_below(s3_uri), "CAPSTONE_MAX_RETRIES": "1"})
    made.sample(DAY, seed=1)
    faults.clear()
    return made


@pytest.fixture(scope="module")
def asked() -> list[str]:
    """What an undisturbed run has asked for; the first test of the module makes it."""
    return []


@pytest.mark.faults("F9")
def test_an_undisturbed_run_makes_requests_of_every_kind(
    clean: dict[int, dict[str, Rows]], faults: Faults, platform: Platform, asked: list[str]
) -> None:
    ran = platform.capstone("run", f"{DAY}")

    asked += faults.requests
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert platform.rows_of_all_tables(DAY) == clean[1]
    assert [kind for kind, pattern in KINDS.items() if not any(re.search(pattern, each) for each in asked)] == []


@pytest.mark.faults("F9")
@pytest.mark.parametrize("fault", ["503 SlowDown", "500 InternalError", BREAK, LOSE_ANSWER, TRUNCATE, SLOW])
def test_a_fifth_of_all_requests_that_fails_from_the_middle_of_a_run_on_does_no_harm(
    clean: dict[int, dict[str, Rows]], faults: Faults, platform: Platform, asked: list[str], fault: str, tally: Tally
) -> None:
    faults.add(fault, after=len(asked) // 2, one_in=5)

    ran = platform.capstone("run", f"{DAY}")

    hits = faults.hits
    faults.clear()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert hits > 10
    for path, rows in platform.rows_of_all_tables(DAY).items():
        tally.compare(rows, clean[1][path])


@pytest.mark.faults("F9")
def test_a_pointer_that_is_never_answered_is_asked_for_again(
    clean: dict[int, dict[str, Rows]], faults: Faults, platform: Platform, tally: Tally
) -> None:
    faults.add(HANG, f"GET .*/{EVENTS.path}/_published/", times=1)

    ran = platform.capstone("run", f"{DAY}")

    assert faults.hits == 1
    faults.clear()
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for path, rows in platform.rows_of_all_tables(DAY).items():
        tally.compare(rows, clean[1][path])


@pytest.mark.faults("F9")
@pytest.mark.parametrize("kind", KINDS)
def test_a_right_that_is_lost_in_the_middle_of_a_run_fails_it_with_the_place_or_does_no_harm(
    clean: dict[int, dict[str, Rows]],
    faults: Faults,
    platform: Platform,
    s3_uri: str,
    asked: list[str],
    kind: str,
    tally: Tally,
) -> None:
    of_kind = [each for each in asked if re.search(KINDS[kind], each)]
    faults.add("403 AccessDenied", KINDS[kind], after=len(of_kind) // 2)

    ran = platform.capstone("run", f"{DAY}")

    said = ran.stdout + ran.stderr
    faults.clear()
    assert ran.returncode in (0, 1), said
    assert "Traceback" not in said
    assert ran.returncode == 0 or re.search(rf"s3a?://{s3_uri.removeprefix('s3://')}/", said), said
    for path, rows in platform.rows_of_all_tables(DAY).items():
        tally.compare(rows, clean[1][path], *([] if ran.returncode == 0 else [[]]))
