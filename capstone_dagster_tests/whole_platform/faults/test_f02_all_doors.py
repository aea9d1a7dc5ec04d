"""A day that is started by every door in the moment in which its files arrive: one whole day comes of it."""

import os
import subprocess
from datetime import date
from pathlib import Path

import pytest

from capstone_dagster.settings import CHECKOUT
from capstone_dagster_tests.fault_report import Tally
from capstone_dagster_tests.servers.dagster_services import ROOT, services
from capstone_dagster_tests.servers.platform import CAPSTONE, Platform
from capstone_dagster_tests.servers.processes import eventually
from spark_code.flow import tables_of

DAY = date(2020, 8, 5)
_OPTIONS = ("--job", "preprocessing", "--partition", f"{DAY}")
DOORS = {
    "capstone run": (CAPSTONE, "run", f"{DAY}", "--job", "preprocessing"),
    "dagster job launch": (
        *(CAPSTONE, "exec", "--", "dagster", "job", "launch", "-w", "workspace.yaml", "-j", "preprocessing"),
        *("--tags", f'{{"dagster/partition": "{DAY}"}}'),
    ),
    "dg launch": (CAPSTONE, "exec", "--", "dg", "launch", *_OPTIONS),
    "a shell script": (CAPSTONE, "exec", "--", f"{CHECKOUT}/deploy/submit/preprocessing.sh", f"{DAY}"),
}
# What a door says that gives way to another: its day is taken, or what it computed is older by now.
GIVES_WAY = ("is being worked on by", "which began later", "come from different ingests", "was made from other rows")


@pytest.mark.faults("F2")
def test_a_day_started_by_every_door_when_its_files_arrive_becomes_one_whole_day(tmp_path: Path, tally: Tally) -> None:
    platform = Platform(tmp_path / "home", DAY, automation=True)
    assert platform.capstone("migrate").returncode == 0
    with services(platform, tmp_path):
        platform.sample(DAY)  # the sensor sees it
        started = {
            door: subprocess.Popen(
                command,
                env=os.environ | platform.environment,
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for door, command in DOORS.items()
        }
        ended = {door: (process.communicate(timeout=400)[0], process.returncode) for door, process in started.items()}
        with platform.instance() as instance:
            eventually(
                lambda: [run.status.value for run in instance.get_runs()],
                lambda found: set(found) <= {"SUCCESS", "FAILURE", "CANCELED"},
            )
        eventually(
            lambda: platform.capstone("days", f"{DAY}", "--require", "available").returncode, lambda code: not code
        )

    for door, (output, code) in ended.items():
        assert code == 0 or any(words in output for words in GIVES_WAY), f"{door}: {output[-3000:]}"
    proven = platform.capstone("verify", f"{DAY}")
    assert proven.returncode == 0, proven.stdout
    runs = {platform.lake.require(table, DAY).run_id for table in tables_of("preprocessing")}
    assert len(runs) == 1
    status = platform.capstone("status", f"daily_pipeline_{DAY}")
    assert "SUCCESS" in status.stdout
    tally.survive(len(DOORS) + 1)
