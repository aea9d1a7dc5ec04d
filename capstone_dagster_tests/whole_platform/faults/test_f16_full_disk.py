"""A disk that is full, or a limit on files: the old day stays, and the new one comes when there is room."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from capstone_dagster.runs.failure_reasons import failure_reason
from capstone_dagster_tests.fault_report import Tally
from capstone_dagster_tests.servers.platform import CAPSTONE, Platform, Rows
from capstone_dagster_tests.whole_platform.faults.conftest import DAY

_MEGABYTES = 16


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "small disk"
    disk.mkdir()
    if in_shell(f"mount -t tmpfs -o size={_MEGABYTES}m tmpfs '{disk}'"):
        pytest.skip("needs the right to mount a file system")
    yield disk
    assert in_shell(f"umount --lazy '{disk}'") == 0


def in_shell(command: str) -> int:
    return subprocess.run(["/bin/sh", "-c", command], capture_output=True, check=False).returncode


def reason_of(ran: dg.ExecuteInProcessResult) -> str:
    return next(failure_reason(event) for event in ran.all_events if event.is_step_failure)


def leave(kilobytes: int, on: Path) -> Path:
    """Fill the disk but for so much."""
    ballast = on / "ballast"
    ballast.unlink(missing_ok=True)
    free = os.statvfs(on).f_bavail * os.statvfs(on).f_frsize
    ballast.write_bytes(bytes(free - kilobytes * 1024))
    return ballast


@pytest.mark.faults("F16")
def test_on_a_full_disk_a_run_fails_with_that_reason_at_any_table_and_succeeds_when_there_is_room(
    clean: dict[int, dict[str, Rows]], delivered_again: Platform, small_disk: Path, tally: Tally
) -> None:
    shutil.copytree(delivered_again.settings.lake_uri, small_disk / "lake")
    platform = Platform(delivered_again.folder, DAY, more={"CAPSTONE_LAKE_URI": f"{small_disk}/lake"})
    failed_at = set()
    for kilobytes in (0, 8, 40, 120, 200, 280):
        ballast = leave(kilobytes, small_disk)

        ran = platform.run("daily_pipeline", DAY)

        assert not ran.success, kilobytes
        failed_at |= {event.step_key for event in ran.all_events if event.is_step_failure}
        assert "No space left on device" in reason_of(ran)
        for path, rows in platform.rows_of_all_tables(DAY).items():
            tally.compare(rows, clean[1][path], clean[2][path])
        tally.survive()
    assert len(failed_at) > 1, failed_at

    ballast.unlink()
    assert platform.run("daily_pipeline", DAY).success
    for path, rows in platform.rows_of_all_tables(DAY).items():
        tally.compare(rows, clean[2][path])


@pytest.mark.faults("F16")
def test_a_limit_on_the_size_of_files_fails_a_run_and_leaves_the_old_day(
    clean: dict[int, dict[str, Rows]], delivered_again: Platform, tally: Tally
) -> None:
    if not shutil.which("prlimit"):
        pytest.skip("needs prlimit")
    delivered_again.sample(DAY, events=20_000, seed=2)
    with delivered_again.instance():  # whose database has no limit
        program = ("prlimit", f"--fsize={64 * 1024}", "--", CAPSTONE)
        ran = delivered_again.capstone("run", f"{DAY}", program=program)

    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "File too large" in ran.stdout
    for path, rows in delivered_again.rows_of_all_tables(DAY).items():
        tally.compare(rows, clean[1][path])
