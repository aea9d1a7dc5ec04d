"""Two hosts with homes of their own, on one Postgres and one lake: one run of a day at a time, whichever has it.

The second host has a name of its own: its processes are those of another machine to the first.
"""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from capstone_dagster.run_storage.embedded_postgres import serving
from capstone_dagster.runs.failure_reasons import run_reason
from capstone_dagster_tests.fault_report import Tally
from capstone_dagster_tests.servers.dagster_services import services
from capstone_dagster_tests.servers.on_s3 import raw_and_lake_below
from capstone_dagster_tests.servers.platform import CAPSTONE, Platform, Rows
from capstone_dagster_tests.servers.processes import eventually
from capstone_dagster_tests.whole_platform.faults.conftest import DAY
from spark_code.schemas import DAILY_SUMMARY, EVENTS

NEXT_DAY = date(2020, 8, 6)
# Root needs no namespace of users, in which it could not reach the files of Postgres.
_RIGHTS = () if os.geteuid() == 0 else ("--user", "--map-root-user")
# Nobody can look up the name.
_NAMED = ("unshare", *_RIGHTS, "--uts", "sh", "-c", 'hostname other-host && exec "$@"', "sh")


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[tuple[Platform, Platform]]:
    with serving(tmp_path / "database") as url:
        places = raw_and_lake_below(f"{tmp_path}/shared")
        first, second = (Platform(tmp_path / name, DAY, url, more=places) for name in ("first", "second"))
        assert first.capstone("migrate").returncode == 0
        yield first, second


@pytest.fixture
def on_other_host() -> tuple[str, ...]:
    """``capstone`` on a host of another name."""
    if not shutil.which("unshare") or subprocess.run([*_NAMED, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs unshare, and the right to give a host another name")
    return (*_NAMED, CAPSTONE)


@pytest.mark.faults("F2")
def test_two_hosts_that_begin_the_same_day_at_once_publish_it_once_and_one_is_refused(
    clean: dict[int, dict[str, Rows]], hosts: tuple[Platform, Platform], tally: Tally
) -> None:
    hosts[0].sample(DAY)
    with ExitStack() as use:
        begun = [use.enter_context(host.begun("run", f"{DAY}")) for host in hosts]
        said = [(process.communicate(timeout=600)[0], process.returncode) for process in begun]

    assert sorted(code for _, code in said) == [0, 1], said
    (refused,) = [output for output, code in said if code]
    assert f"{DAY} is being worked on by daily_pipeline_{DAY}" in refused
    for path, rows in hosts[0].rows_of_all_tables(DAY).items():
        tally.compare(rows, clean[1][path])
    history = json.loads(hosts[1].capstone("history", f"daily_pipeline_{DAY}", "--json").stdout)
    assert [attempt["status"] for attempt in history] == ["SUCCESS"]


@pytest.mark.faults("F2")
def test_a_run_that_is_killed_keeps_its_day_from_another_host_until_its_own_looks_and_then_it_is_run(
    clean: dict[int, dict[str, Rows]],
    hosts: tuple[Platform, Platform],
    on_other_host: tuple[str, ...],
    tally: Tally,
) -> None:
    first, second = hosts
    first.sample(DAY)
    with second.begun("run", f"{DAY}", program=on_other_host) as killed:
        eventually(lambda: first.manifest(EVENTS, DAY), pause=0.005)
        os.killpg(killed.pid, signal.SIGKILL)
        killed.wait()

    refused = first.capstone("run", f"{DAY}")
    assert refused.returncode == 1
    assert f"{DAY} is being worked on by daily_pipeline_{DAY}" in refused.stdout + refused.stderr
    seen = second.capstone("status", f"daily_pipeline_{DAY}", program=on_other_host)
    assert "FAILURE" in seen.stdout, seen.stdout + seen.stderr
    ran = first.capstone("run", f"{DAY}")

    assert ran.returncode == 0, ran.stdout + ran.stderr
    for path, rows in first.rows_of_all_tables(DAY).items():
        tally.compare(rows, clean[1][path])


@pytest.mark.faults("F2", "F15")
def test_daemons_of_two_hosts_run_what_was_delivered_once(
    clean: dict[int, dict[str, Rows]],
    hosts: tuple[Platform, Platform],
    tmp_path_factory: pytest.TempPathFactory,
    tally: Tally,
) -> None:
    automatic = [replace(host, automation=True) for host in hosts]
    with ExitStack() as use:
        for host in automatic:
            use.enter_context(services(host, tmp_path_factory.mktemp("log")))
        hosts[0].sample(DAY)
        eventually(lambda: hosts[0].manifest(DAILY_SUMMARY, DAY), seconds=600, pause=1)
        with hosts[0].instance() as instance:
            runs = eventually(instance.get_runs, lambda runs: all(run.is_finished for run in runs), pause=1)
            ended = [(run.job_name, run.status.value, run_reason(instance, run.run_id)) for run in runs]

    assert ended == [("daily_pipeline", "SUCCESS", None)]
    for path, rows in hosts[0].rows_of_all_tables(DAY).items():
        tally.compare(rows, clean[1][path])
