"""A host whose clock is days ahead, or days behind: the version that counts is the one that was published last."""

from pathlib import Path

import pytest

from capstone_dagster_tests.fault_report import Tally
from capstone_dagster_tests.servers.platform import Platform, Rows
from capstone_dagster_tests.whole_platform.faults.conftest import DAY
from spark_code.schemas import EVENTS

_LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


def by_a_clock(platform: Platform, offset: str) -> Platform:
    """The same platform on a host whose clock is wrong; times of files are those of the disk."""
    wrong = {"LD_PRELOAD": f"{_LIBRARIES[0]}", "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    return Platform(platform.folder, platform.first_day, more={**wrong, "NO_FAKE_STAT": "1"})


def versions(platform: Platform) -> set[str]:
    return set(platform.lake.storage.folders(f"{EVENTS.path}/data"))


@pytest.mark.faults("F13")
@pytest.mark.skipif(not _LIBRARIES, reason="needs libfaketime: sudo apt-get install -y libfaketime")
def test_clocks_that_are_ahead_or_behind_hide_no_later_version_and_remove_none_that_is_young(
    clean: dict[int, dict[str, Rows]], delivered_again: Platform, tally: Tally
) -> None:
    before = versions(delivered_again)
    with delivered_again.instance():  # whose database has the right time
        for number, offset in enumerate(("", "", "+3d", "-3d", "")):
            seed = 2 - number % 2
            delivered_again.sample(DAY, seed=seed)
            host = by_a_clock(delivered_again, offset) if offset else delivered_again

            ran = host.capstone("run", f"{DAY}")

            assert ran.returncode == 0, ran.stdout + ran.stderr
            for path, rows in delivered_again.rows_of_all_tables(DAY).items():
                tally.compare(rows, clean[seed][path])
            assert before < versions(delivered_again), offset
            before = versions(delivered_again)
            tally.survive()
