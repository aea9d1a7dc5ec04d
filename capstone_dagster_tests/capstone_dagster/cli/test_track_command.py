"""``capstone track``: real commands as attempts at a job, however they end and whoever ends them."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import dagster as dg
import psutil
import pytest

from capstone_dagster.runs.day_slot import claiming
from capstone_dagster.runs.worker import Worker
from capstone_dagster.settings import Settings
from capstone_dagster.tracker import Tracker
from capstone_dagster_tests.builders.command_line import Run, usage_error
from capstone_dagster_tests.builders.runs import runs_of
from capstone_dagster_tests.servers.platform import CAPSTONE, Platform
from capstone_dagster_tests.servers.processes import eventually, heard

# Labor Day lies between the first and the second trading day; every test has days of its own.
FRIDAY, LABOR_DAY, TUESDAY = date(2020, 9, 4), date(2020, 9, 7), date(2020, 9, 8)
FAILING, NO_COMMAND, OCCUPIED, KILLED = (date(2020, 9, day) for day in (9, 10, 11, 14))
STOPPED = {signal.SIGTERM: date(2020, 9, 15), signal.SIGINT: date(2020, 9, 16), signal.SIGHUP: date(2020, 9, 17)}
UNDELIVERED, ORPHANING, READING = date(2020, 9, 18), date(2020, 9, 21), date(2020, 9, 22)

KNOWN = "'daily_pipeline', 'preprocessing', 'analytical'"


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with tempfile.TemporaryDirectory(prefix="of the tracker ") as home:
        yield Platform(Path(home), FRIDAY)


@pytest.fixture(scope="module")
def instance(platform: Platform) -> Iterator[dg.DagsterInstance]:
    with platform.instance() as instance:
        yield instance


@pytest.fixture
def tracker(instance: dg.DagsterInstance) -> Tracker:
    return Tracker(instance)


def track(
    platform: Platform, day: date, *command: str, job: str = "preprocessing"
) -> "subprocess.CompletedProcess[str]":
    return platform.capstone("track", "--job", job, "--date", f"{day}", "--", *command)


@pytest.fixture
def track_here(platform: Platform, capstone: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The same in this process, where none of its own is needed: exit code, output and errors."""
    for name, value in platform.environment.items():
        monkeypatch.setenv(name, value)
    return lambda day, *command, job="preprocessing": capstone(
        "track", "--job", job, "--date", f"{day}", "--", *command
    )


@contextmanager
def tracking(platform: Platform, day: date, script: str) -> Iterator["subprocess.Popen[str]"]:
    """A tracker whose command, a shell's script, has said that it is up."""
    command = [CAPSTONE, "track", "--job", "preprocessing", "--date", f"{day}", "--", "sh", "-c", script]
    environment = os.environ | platform.environment
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            assert process.stdout.readline() == "up\n"
            yield process
        finally:
            process.kill()


def said(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    return [entry.message for entry in instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)]


def test_the_command_finds_its_run_the_previous_day_and_every_setting(
    platform: Platform, instance: dg.DagsterInstance, tracker: Tracker
) -> None:
    platform.sample(TUESDAY)
    printing = "import json, os; print(json.dumps(dict(os.environ)))"

    tracked = track(platform, TUESDAY, "python", "-c", printing)

    assert (tracked.returncode, tracked.stderr) == (0, f"preprocessing_{TUESDAY}: SUCCESS\n")
    status = tracker.get_job_status(f"preprocessing_{TUESDAY}")
    assert (status.status, status.attempts, status.error) == ("SUCCESS", 1, None)
    found = json.loads(tracked.stdout)
    assert (found["TRACKED_RUN_ID"], found["TRACKED_PREVIOUS_DAY"]) == (status.run_id, f"{FRIDAY}")
    assert {name: found[name] for name in Settings.variables() if found.get(name)} == {
        **platform.settings.as_environment(),
        "CAPSTONE_POSTGRES_URL": os.environ["CAPSTONE_POSTGRES_URL"],
    }
    assert found["PATH"].startswith(f"{Path(sys.prefix, 'bin')}{os.pathsep}")
    assert f"The command has published nothing of preprocessing_{TUESDAY}." in said(instance, status.run_id)


def test_a_command_that_fails_fails_its_job_and_status_says_so(
    platform: Platform, capstone: Run, track_here: Run, instance: dg.DagsterInstance
) -> None:
    platform.sample(FAILING)

    assert track_here(FAILING, "sh", "-c", "exit 3") == (3, "", f"preprocessing_{FAILING}: FAILURE\n")

    code, out, _ = capstone("status", f"preprocessing_{FAILING}", "--json")
    status = json.loads(out)
    assert code == 0
    assert (status["status"], status["error"]) == ("FAILURE", "sh ended with exit code 3")
    first = ["job_id", "status", "updated_time", "run_id", "attempts"]
    then = ["job", "trading_day", "started", "ended", "seconds", "worker", "error", "note"]
    assert list(status) == first + then
    assert (status["job"], status["trading_day"]) == ("preprocessing", f"{FAILING}")
    assert re.fullmatch(r"process \d+ on \S+", status["worker"])
    told = capstone("status", f"preprocessing_{FAILING}")[1]
    assert f"\nworker        {status['worker']}\nerror         sh ended with exit code 3\n" in told
    header, *listed = capstone("status")[1].splitlines()
    assert header.split()[-5:] == ["seconds", "run", "id", "started", "took"]
    [place] = [number for number, line in enumerate(listed) if line.startswith(f"preprocessing_{FAILING} ")]
    assert f" {status['run_id']} " in listed[place]
    assert listed[place + 1] == "    sh ended with exit code 3"
    assert f"The command has published nothing of preprocessing_{FAILING}." in said(instance, status["run_id"])


def test_a_command_reads_what_it_is_given(platform: Platform, tracker: Tracker) -> None:
    platform.sample(READING)
    script = 'read -r word && [ "$word" = hello ]'

    read = subprocess.run(
        [CAPSTONE, "track", "--job", "preprocessing", "--date", f"{READING}", "--", "sh", "-c", script],
        env=os.environ | platform.environment,
        input="hello\n",
        text=True,
        check=False,
    )

    assert read.returncode == 0
    assert tracker.get_job_status(f"preprocessing_{READING}").status == "SUCCESS"


def test_a_command_that_cannot_be_run_fails_its_job(platform: Platform, track_here: Run, tracker: Tracker) -> None:
    platform.sample(NO_COMMAND)

    tracked = track_here(NO_COMMAND, "no-such-command")

    reason = "cannot run no-such-command: No such file or directory"
    assert tracked == (1, "", f"capstone: {reason}\n")
    status = tracker.get_job_status(f"preprocessing_{NO_COMMAND}")
    assert (status.status, status.error) == ("FAILURE", reason)


def test_while_a_command_works_others_are_refused_and_leave_no_trace_until_it_is_stopped_in_the_ui(
    platform: Platform, instance: dg.DagsterInstance, tracker: Tracker, tmp_path: Path
) -> None:
    platform.sample(OCCUPIED)
    trace = tmp_path / "trace"
    with tracking(platform, OCCUPIED, "echo up; exec sleep 300") as process:
        tracked = track(platform, OCCUPIED, "touch", str(trace), job="analytical")
        ran = platform.capstone("run", f"{OCCUPIED}", "--job", "preprocessing")
        (working,) = runs_of(instance, OCCUPIED)
        assert instance.run_launcher.terminate(working)
        assert process.wait(timeout=60) == 128 + signal.SIGTERM

    why = f"{OCCUPIED} is being worked on by preprocessing_{OCCUPIED} (STARTED since "
    assert (tracked.returncode, tracked.stdout) == (1, "")
    assert tracked.stderr.startswith(f"capstone: {why}")
    assert f"run {working}" in tracked.stderr
    assert not trace.exists()
    assert ran.returncode == 1
    assert f"preprocessing_{OCCUPIED}\n  REFUSED, {why}" in ran.stdout
    assert f"run {working}" in ran.stdout
    status = tracker.get_job_status(f"preprocessing_{OCCUPIED}")
    assert (status.status, status.error) == ("CANCELED", "sh ended with exit code 143 after SIGTERM")


@pytest.mark.faults("F1")
@pytest.mark.parametrize(
    "number", [pytest.param(signal.SIGTERM, marks=pytest.mark.faults(sample=True)), signal.SIGINT, signal.SIGHUP]
)
def test_a_signal_to_the_tracker_reaches_the_command_and_its_children_and_is_recorded(
    platform: Platform, tracker: Tracker, number: signal.Signals
) -> None:
    day = STOPPED[number]
    platform.sample(day)
    with heard(number), tracking(platform, day, "(echo up; exec sleep 300); true") as process:
        # The first is the shell that ends the group with its tracker.
        _, shell, child = (Worker.process(each.pid) for each in psutil.Process(process.pid).children(recursive=True))

        process.send_signal(number)

        assert process.wait(timeout=60) == 128 + number
        eventually(lambda: shell.is_dead and child.is_dead)
    status = tracker.get_job_status(f"preprocessing_{day}")
    assert (status.status, status.error) == ("FAILURE", f"sh ended with exit code {128 + number} after {number.name}")


@pytest.mark.faults("F1")
@pytest.mark.parametrize(
    ("day", "script"),
    [
        pytest.param(KILLED, "echo up; exec sleep 300", id="alone"),
        pytest.param(
            *(ORPHANING, "(echo up; exec sleep 300); true"),
            id="with a child",
            marks=pytest.mark.faults(sample=True),
        ),
    ],
)
def test_the_command_of_a_killed_tracker_dies_with_it_and_its_slot_is_free(
    platform: Platform, instance: dg.DagsterInstance, tracker: Tracker, day: date, script: str
) -> None:
    platform.sample(day)
    with tracking(platform, day, script) as process:
        command = [Worker.process(each.pid) for each in psutil.Process(process.pid).children(recursive=True)]
        process.kill()
        process.wait(timeout=60)
        status = tracker.get_job_status(f"preprocessing_{day}")
        try:
            eventually(lambda: all(each.is_dead for each in command), seconds=5)
        finally:
            for each in command:
                each.terminate()
    assert status.status == "FAILURE"
    assert f"process {process.pid} on " in (status.error or "")
    with claiming(instance, day):
        pass


def test_without_a_delivery_the_command_is_not_run_and_the_reason_is_recorded(
    track_here: Run, tracker: Tracker, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"

    tracked = track_here(UNDELIVERED, "touch", str(trace))

    status = tracker.get_job_status(f"preprocessing_{UNDELIVERED}")
    assert tracked == (1, "", f"capstone: {status.error}\n")
    assert status.status == "FAILURE"
    assert f"csv/{UNDELIVERED}/NYSE" in (status.error or "")
    assert f"json/{UNDELIVERED}/NASDAQ" in (status.error or "")
    assert not trace.exists()


def test_without_its_inputs_the_report_is_not_run_and_says_which_jobs_it_waits_for(
    track_here: Run, tracker: Tracker, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"

    tracked = track_here(TUESDAY, "touch", str(trace), job="analytical")

    status = tracker.get_job_status(f"analytical_{TUESDAY}")
    assert tracked == (1, "", f"capstone: {status.error}\n")
    assert status.status == "FAILURE"
    assert status.error
    assert status.error.startswith(
        f"not published: ingested/events of {TUESDAY}, eod/trades of {TUESDAY}, eod/quotes of {TUESDAY}, "
        f"eod/closes of {FRIDAY}. Run first: "
        f"preprocessing_{FRIDAY} (capstone run {FRIDAY} --job preprocessing), then preprocessing_{TUESDAY} ("
    )
    assert not trace.exists()


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("job", "command", "error"),
    [
        ("postprocessing", ["--", "true"], f"Invalid value for '--job': 'postprocessing' is not one of {KNOWN}."),
        ("preprocessing", ["--"], "Missing argument 'COMMAND...'."),
        ("preprocessing", [], "Missing argument 'COMMAND...'."),
    ],
    ids=["unknown job", "nothing behind --", "no command"],
)
def test_a_wrong_use_says_what_is_wrong(capstone: Run, job: str, command: list[str], error: str) -> None:
    code, out, err = capstone("track", "--job", job, "--date", f"{FRIDAY}", *command)

    assert (code, out, usage_error(err)) == (2, "", f"Error: {error}")


def test_a_holiday_is_one_line_and_starts_nothing(capstone: Run, home: Path) -> None:
    code, out, err = capstone("track", "--job", "preprocessing", "--date", f"{LABOR_DAY}", "--", "true")

    assert (code, out, err) == (1, "", f"capstone: {LABOR_DAY} cannot be run: the NYSE is closed on Labor Day\n")
    assert not home.exists()


@pytest.mark.parametrize("command", ["status", "history"])
def test_a_job_that_has_never_been_run_says_how_to_run_it_or_why_it_cannot(
    platform: Platform, capstone: Run, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    for name, value in platform.environment.items():
        monkeypatch.setenv(name, value)

    never = (
        "capstone: analytical_2020-10-01 has never been run; start it with: capstone run 2020-10-01 --job analytical\n"
    )
    assert capstone(command, "analytical_2020-10-01") == (1, "", never)
    closed = f"capstone: {LABOR_DAY} cannot be run: the NYSE is closed on Labor Day\n"
    assert capstone(command, f"analytical_{LABOR_DAY}") == (1, "", closed)
