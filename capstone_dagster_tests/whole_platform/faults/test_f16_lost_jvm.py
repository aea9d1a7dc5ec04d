"""A JVM that is killed amid a range of days, as the system does when the machine has no memory left."""

from datetime import date
from pathlib import Path

import psutil
import pytest

from capstone_dagster_tests.servers.platform import Platform

# Labor Day lies between.
FRIDAY, TUESDAY = date(2020, 9, 4), date(2020, 9, 8)


@pytest.mark.faults("F16")
def test_a_day_that_kills_its_jvm_does_not_take_the_next_one_along(tmp_path: Path) -> None:
    platform = Platform(tmp_path, FRIDAY, more={"CAPSTONE_MAX_RETRIES": "0"})
    for day in (FRIDAY, TUESDAY):
        platform.sample(day)
    with platform.begun("run", f"{FRIDAY}..{TUESDAY}", "--job", "preprocessing") as running:
        assert running.stdout
        printed = ""
        while "published ingested/events" not in printed:
            printed += running.stdout.readline()
            assert running.poll() is None, printed
        jvms = [child for child in psutil.Process(running.pid).children(recursive=True) if child.name() == "java"]
        for jvm in jvms:
            jvm.kill()
        printed += running.communicate(timeout=180)[0]
    assert jvms
    assert running.returncode == 1
    assert f"preprocessing_{FRIDAY}     FAILURE\n" in printed
    assert f"preprocessing_{TUESDAY}     SUCCESS" in printed
