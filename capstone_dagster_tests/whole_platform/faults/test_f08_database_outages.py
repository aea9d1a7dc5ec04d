"""The database of the run storage goes away in the middle of a run, and comes back."""

import os
import random
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import date
from pathlib import Path
from urllib.error import HTTPError

import psutil
import pytest
from psycopg2 import connect

from capstone_dagster.run_storage.embedded_postgres import serving
from capstone_dagster_tests.servers.dagster_services import Services, services
from capstone_dagster_tests.servers.platform import CAPSTONE, Platform
from capstone_dagster_tests.servers.processes import eventually

DAY = date(2020, 8, 5)
_RUNS = "{ runsOrError(limit: 1) { ... on Runs { results { id } } ... on PythonError { message } } }"
_SIGNATURE = "SELECT value FROM run_tags WHERE run_id = %s AND key = '.dagster/capstone_worker'"
_DOUBLED = "SELECT run_id, event FROM event_logs GROUP BY 1, 2 HAVING count(*) > 1"


def _at_its_second_step(run: "subprocess.Popen[str]") -> None:
    """Wait until the run is about to begin it."""
    assert run.stdout
    seen = []
    for line in run.stdout:
        seen.append(line)
        if "eod ..." in line:
            return
    raise AssertionError("".join(seen))


def _run_through_an_outage(folder: Path, seconds: float) -> tuple[str, Counter[tuple[str, str]]]:
    """What the run printed after it, and the events it left: how many of each type and step.

    The server is not the run's own, which it would start again itself.
    """
    with tempfile.TemporaryDirectory() as home, ExitStack() as use:
        url = use.enter_context(serving(Path(home)))
        platform = Platform(folder, DAY, postgres_url=url)
        platform.sample(DAY)
        with platform.begun(*RUN) as run:
            _at_its_second_step(run)
            use.close()
            time.sleep(seconds)
            use.enter_context(serving(Path(home)))
            output, _ = run.communicate(timeout=300)
        status = platform.capstone("status", f"preprocessing_{DAY}")
        assert "SUCCESS" in status.stdout, output + status.stdout
        return output, _events(url)


def _events(url: str) -> Counter[tuple[str, str]]:
    """How many of each type and step are in the run storage."""
    with connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT dagster_event_type, coalesce(step_key, '') FROM event_logs")
        return Counter(cursor.fetchall())


@pytest.mark.faults("F8")
def test_a_run_outlasts_a_database_that_is_away_for_5_and_for_60_seconds_and_loses_no_event(tmp_path: Path) -> None:
    with ThreadPoolExecutor() as at_once:
        outages = [at_once.submit(_run_through_an_outage, tmp_path / f"{s} s", s) for s in (5, 60)]
        (short, after_short), (long, after_long) = (outage.result() for outage in outages)
    undisturbed = Platform(tmp_path / "undisturbed", DAY)
    undisturbed.sample(DAY)
    assert undisturbed.capstone("run", str(DAY), "--job", "preprocessing").returncode == 0

    assert "the run storage does not answer; waiting for it" in long
    for output in (short, long):
        assert "SUCCESS" in output
    with serving(undisturbed.folder) as url:
        assert after_short == after_long == _events(url)


@pytest.fixture
def platform() -> Iterator[Platform]:
    """With a short path, below which the server has its socket."""
    with tempfile.TemporaryDirectory() as home:
        made = Platform(Path(home), DAY)
        made.sample(DAY)
        yield made


def _kill_server(platform: Platform) -> bool:
    """Whether there was one."""
    try:
        os.kill(int((platform.folder / "postgres" / "postmaster.pid").read_text().split("\n")[0]), signal.SIGKILL)
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return False
    return True


def _query(platform: Platform, statement: str, *values: object) -> list[tuple[object, ...]]:
    with closing(connect(f"postgresql://postgres@/postgres?host={platform.folder}/postgres")) as connection:
        cursor = connection.cursor()
        cursor.execute(statement, values)
        rows: list[tuple[object, ...]] = cursor.fetchall()
        return rows


RUN = ["run", f"{DAY}", "--job", "preprocessing"]
TRACK = ["track", "--job", "preprocessing", "--date", f"{DAY}", "--", "sh", "-c", "echo up; sleep 1"]


@pytest.mark.faults("F8")
@pytest.mark.parametrize(
    ("command", "says"),  # when it works
    [
        pytest.param(TRACK, "up", id="track", marks=pytest.mark.faults(sample=True)),
        pytest.param(RUN, "ingested/events ...", id="run"),
    ],
)
def test_work_is_done_and_recorded_whenever_the_server_is_killed(
    platform: Platform, command: list[str], says: str, rounds: Callable[[int], int]
) -> None:
    moments, seconds, attempts = random.Random(), 8.0, rounds(1)  # noqa: S311 - any moment will do
    for number in range(attempts):
        began = time.monotonic()
        with platform.begun(*command) as working:
            # The first time amid the work, whose result could be lost; then anywhere.
            if number == 0 and working.stdout:
                assert any(says in line for line in working.stdout)
            else:
                time.sleep(moments.uniform(0, seconds))
            _kill_server(platform)
            told, _ = working.communicate(timeout=200)
        seconds = time.monotonic() - began
        assert working.returncode == 0, told

    with serving(platform.folder):
        assert _query(platform, "SELECT status, count(*) FROM runs GROUP BY 1") == [("SUCCESS", attempts)]
        assert _query(platform, _DOUBLED) == []


def _shows_runs(running: Services) -> bool:
    try:
        return "results" in running.ask(_RUNS)["runsOrError"]
    except HTTPError:  # of those who ask in the moment in which the server is gone
        return False


@pytest.mark.faults("F8")
def test_under_make_dev_a_killed_server_is_started_again_and_a_run_goes_on_when_all_else_is_killed(
    platform: Platform, tmp_path: Path, rounds: Callable[[int], int]
) -> None:
    assert platform.capstone("migrate").returncode == 0
    with services(platform, tmp_path) as running:
        started = [child for child in psutil.Process().children() if CAPSTONE in child.cmdline()]
        for _ in range(rounds(1)):
            assert _kill_server(platform)
            eventually(lambda: _shows_runs(running))

        run_id = running.launch("preprocessing", DAY, max_retries="0")
        [(signature,)] = eventually(lambda: _query(platform, _SIGNATURE, run_id), len)
        worker = psutil.Process(int(str(signature).split()[1]))
        assert _kill_server(platform)
        others = [process for parent in started for process in (parent, *parent.children(recursive=True))]
        spared = {worker.pid, *(child.pid for child in worker.children(recursive=True))}
        for process in others:
            if process.pid not in spared:
                process.kill()
        worker.wait(timeout=300)

    status = platform.capstone("status", f"preprocessing_{DAY}")
    assert f"run id        {run_id}" in status.stdout
    assert "SUCCESS" in status.stdout, status.stdout
    assert not (platform.folder / "postgres" / "postmaster.pid").exists()
