"""A host whose clock is days ahead, or days behind: the version that counts is the one that was published last."""

from dataclasses import replace

import pytest

from capstone_dagster_tests.fault_report import Tally
from capstone_dagster_tests.servers.platform import Platform, Rows
from capstone_dagster_tests.servers.wrong_clock import needs_wrong_clock, wrong_clock
from capstone_dagster_tests.whole_platform.faults.conftest import DAY
from spark_code.schemas import EVENTS


def versions(platform: Platform) -> set[str]:
    return set(platform.lake.storage.folders(f"{EVENTS.path}/data"))


@pytest.mark.faults("F13")
@needs_wrong_clock
def test_clocks_that_are_ahead_or_behind_hide_no_later_version_and_remove_none_that_is_young(
    clean: dict[int, dict[str, Rows]], delivered_again: Platform, tally: Tally
) -> None:
    before = versions(delivered_again)
    with delivered_again.instance():  # whose database has the right time
        for number, offset in enumerate(("", "", "+3d", "-3d", "")):
            seed = 2 - number % 2
            delivered_again.sample(DAY, seed=seed)
            host = replace(delivered_again, more=wrong_clock(offset)) if offset else delivered_again

            ran = host.capstone("run", f"{DAY}")

            assert ran.returncode == 0, ran.stdout + ran.stderr
            for path, rows in delivered_again.rows_of_all_tables(DAY).items():
                tally.compare(rows, clean[seed][path])
            assert before < versions(delivered_again), offset
            before = versions(delivered_again)
            tally.survive()
