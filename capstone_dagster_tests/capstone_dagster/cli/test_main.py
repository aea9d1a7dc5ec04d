"""The command line: what each command prints and its exit code, without a Spark run."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path

import click
import pytest

from capstone_dagster.cli.main import cli
from capstone_dagster.trading_days import NEW_YORK
from capstone_dagster_tests.builders.command_line import CAPSTONE, Run, usage_error
from capstone_dagster_tests.servers.processes import eventually, heard

COMMANDS = cli.list_commands(click.Context(cli))

# No variable but the home, whatever the machine has set.
pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def java(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A java that says it is good, much faster than a real one."""
    folder = tmp_path / "java" / "bin"
    folder.mkdir(parents=True)
    (folder / "java").write_text("#!/bin/sh\necho 'openjdk version \"17.0.15\"'\n")
    (folder / "java").chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "java"))


# --- help ---


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=["capstone", *COMMANDS])
@pytest.mark.parametrize("option", ["-h", "--help"])
def test_every_command_explains_itself(capstone: Run, command: list[str], option: str) -> None:
    code, out, err = capstone(*command, option)

    assert (code, err) == (0, "")
    assert out.startswith(f"Usage: capstone {' '.join(command)}".rstrip())


def test_the_commands_are_these() -> None:
    assert " ".join(sorted(COMMANDS)) == (
        "days dev doctor emr-packages exec export gc glue-sync history migrate open paths rollback run s3-jars "
        "sample show spark-conf sql status test-alert track ui-user verify warehouse warehouse-sync"
    )


def test_the_installed_command_answers_in_a_process_of_its_own() -> None:
    ended = subprocess.run([CAPSTONE, "--help"], capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stderr) == (0, "")
    assert re.findall(r"^  ([\w-]+)  ", ended.stdout, re.MULTILINE) == COMMANDS


def test_without_a_command_the_overview_is_printed_whole_in_groups(capstone: Run) -> None:
    code, out, err = capstone()

    assert (code, err) == (0, "")
    assert re.findall(r"^(\w.+):$", out, re.MULTILINE) == [
        "Options",
        "Make days",
        "See what was done",
        "Read published days",
        "Set up and maintain",
    ]
    described = [line for line in out.splitlines() if line.startswith("  ") and line.split()[0] in COMMANDS]
    assert [line.split()[0] for line in described] == COMMANDS
    assert [line for line in described if not line.endswith(".")] == []


@pytest.mark.parametrize("option", ["-V", "--version"])
def test_it_says_its_version(capstone: Run, option: str) -> None:
    assert capstone(option) == (0, f"capstone {version('capstone')}\n", "")


@pytest.mark.parametrize(
    ("typed", "hint"),
    [("staus", " Did you mean status?"), ("shows", " Did you mean show?"), ("frobnicate", "")],
)
def test_for_a_misspelt_command_the_nearest_is_named(capstone: Run, typed: str, hint: str) -> None:
    code, out, err = capstone(typed)

    assert (code, out) == (2, "")
    assert usage_error(err) == f"Error: No such command '{typed}'.{hint}"


@pytest.mark.parametrize(
    ("arguments", "loaded"),
    [(["--help"], []), (["show", "eod/closes", "2020-08-05"], ["pyspark"]), (["paths", "--help"], ["pyspark"])],
)
def test_commands_load_only_what_they_use(arguments: list[str], loaded: list[str]) -> None:
    program = (
        "import atexit, sys\nfrom capstone_dagster.cli.main import main\n"
        "atexit.register(lambda: print('loaded', [name for name in ('dagster', 'pyspark') if name in sys.modules]))\n"
        "main()"
    )
    ended = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)

    assert ended.stdout.splitlines()[-1] == f"loaded {loaded}"


@pytest.mark.parametrize("arguments", [["show"], ["export", "a.csv"], ["show", "eod/closes", "2020-08-05", "--all"]])
def test_a_wrong_use_exits_with_2(capstone: Run, arguments: list[str]) -> None:
    code, out, err = capstone(*arguments)

    assert (code, out) == (2, "")
    assert usage_error(err).startswith("Error: ")


# --- run ---


@pytest.mark.usefixtures("java")
@pytest.mark.parametrize(
    ("days", "reason"),
    [
        ("2020-09-07", "2020-09-07 cannot be run: the NYSE is closed on Labor Day"),
        ("2020-08-08", "2020-08-08 cannot be run: the NYSE is closed on Saturdays"),
        ("2020-08-08..2020-08-09", "2020-08-08..2020-08-09 contains no trading day of the NYSE"),
        (
            "2020-08-04",
            "2020-08-04 cannot be run: it is before the first trading day 2020-08-05 (CAPSTONE_FIRST_TRADING_DAY)",
        ),
        ("2020-08-06..2020-08-05", "2020-08-06..2020-08-05: 2020-08-06 is after 2020-08-05"),
        ("2020-02-30", "'2020-02-30' is not a date: day is out of range for month; write yyyy-mm-dd"),
        ("today", "'today' is not a date; write yyyy-mm-dd"),
    ],
)
def test_a_day_that_cannot_be_run_is_refused_before_anything_starts(
    capstone: Run, home: Path, days: str, reason: str
) -> None:
    assert capstone("run", days) == (1, "", f"capstone: {reason}\n")
    assert not home.exists()


@pytest.mark.usefixtures("java")
def test_a_future_day_is_refused(capstone: Run) -> None:
    monday_after = datetime.now(NEW_YORK).date() + timedelta(days=14)
    monday_after -= timedelta(days=monday_after.weekday())
    while monday_after.month == 1 or (monday_after.month, monday_after.day) > (12, 23):
        monday_after += timedelta(days=7)

    code, out, err = capstone("run", f"2020-08-05..{monday_after}")

    assert (code, out) == (1, "")
    assert "cannot be run: it is in the future; in New York it is " in err


@pytest.mark.usefixtures("java")
def test_an_unknown_job_is_refused_with_the_jobs_there_are(capstone: Run) -> None:
    code, _, err = capstone("run", "2020-08-05", "--job", "nightly")

    assert code == 2
    assert usage_error(err).endswith("'nightly' is not one of 'daily_pipeline', 'preprocessing', 'analytical'.")


@pytest.mark.parametrize("command", [["run", "2020-08-05"], ["dev"]])
def test_without_java_nothing_that_runs_days_is_started(
    capstone: Run, home: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("JAVA_HOME", "/nowhere")

    code, out, err = capstone(*command)

    assert (code, out) == (1, "")
    assert re.fullmatch(
        r"capstone: Java 17 is needed and JAVA_HOME=/nowhere has no bin/java; install it with: .+\n", err
    )
    assert not home.exists()


# --- wrong settings ---


@pytest.mark.usefixtures("java")
@pytest.mark.parametrize(
    "command",
    [
        ["run", "2020-08-05"],
        ["show", "eod/closes", "2020-08-05"],
        ["paths", "eod/closes", "2020-08-05"],
        ["sample", "out"],
        ["exec", "true"],
    ],
    ids=lambda command: command[0],
)
def test_a_wrong_setting_is_one_line_that_names_it_whatever_the_command(
    capstone: Run, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("CAPSTONE_DRIVER_MEMORY", "lots")

    assert capstone(*command) == (
        1,
        "",
        "capstone: CAPSTONE_DRIVER_MEMORY: 'lots' cannot be used: must be a size for Spark like 4g or 1500m\n",
    )


@pytest.mark.usefixtures("java")
@pytest.mark.parametrize(
    ("command", "variable", "value"),
    [
        pytest.param(["run", "2020-08-05"], "CAPSTONE_FIRST_TRADING_DAY", "2041-01-02", id="first day never comes"),
        pytest.param(["exec", "true"], "CAPSTONE_POSTGRES_URL", "postgresql://u:secret@127.0.0.1:1/d", id="no server"),
        pytest.param(["exec", "true"], "CAPSTONE_POSTGRES_URL", "postgresql://u:9%secret@127.0.0.1:1/d", id="bad URL"),
        pytest.param(["exec", "true"], "CAPSTONE_HOME", f"{__file__}/home", id="home below a file"),
        pytest.param(["paths", "eod/closes", "2020-08-05"], "CAPSTONE_LAKE_URI", __file__, id="lake is a file"),
    ],
)
def test_a_setting_that_turns_out_wrong_is_one_line_that_names_it(
    capstone: Run, monkeypatch: pytest.MonkeyPatch, command: list[str], variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)

    code, out, err = capstone(*command)

    assert (code, out) == (1, "")
    assert err.startswith(f"capstone: {variable}: ")
    assert err.count("\n") == 1
    assert "secret" not in err


def test_a_lake_on_s3_without_credentials_is_one_line(
    capstone: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(variable)
    for variable in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(variable, "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("CAPSTONE_LAKE_URI", "s3://bucket/lake")

    code, out, err = capstone("paths", "eod/closes", "2020-08-05")

    assert (code, out) == (1, "")
    assert re.fullmatch("capstone: .*credentials.*\n", err)
    assert not home.exists()


def test_a_misspelt_setting_is_named_with_what_it_may_have_meant(
    capstone: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAPSTONE_LAKE_URL", "/x")
    _, _, err = capstone("paths", "eod/trades", "2020-08-05")
    warning = "capstone: warning: CAPSTONE_LAKE_URL is no setting of this platform; did you mean CAPSTONE_LAKE_URI?"
    assert err.splitlines()[0] == warning


@pytest.mark.parametrize(
    ("settings", "warning"),
    [
        pytest.param(
            {"CAPSTON_LAKE_URI": "/x"},
            "CAPSTON_LAKE_URI is no setting of this platform; did you mean CAPSTONE_LAKE_URI?",
            id="a misspelt prefix",
        ),
        pytest.param(
            {"capstone_lake_uri": "/x"},
            "capstone_lake_uri is no setting of this platform; did you mean CAPSTONE_LAKE_URI?",
            id="small letters",
        ),
        pytest.param(
            {"CAPSTONE_FIRST_TRADING_DAY": "2020-09-07"},
            "CAPSTONE_FIRST_TRADING_DAY=2020-09-07: the NYSE is closed on Labor Day; the first trading day is "
            "2020-09-08",
            id="a first day that is a holiday",
        ),
        pytest.param(
            {"CAPSTONE_SCHEDULE_TIME": "20:30"},
            "CAPSTONE_LATE_TIME=20:00 is before CAPSTONE_SCHEDULE_TIME=20:30: a day that only the schedule runs is "
            "reported late before it is run",
            id="late before the schedule",
        ),
    ],
)
def test_a_setting_that_is_hardly_meant_is_warned_of(
    capstone: Run, monkeypatch: pytest.MonkeyPatch, settings: Mapping[str, str], warning: str
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)

    code, _, err = capstone("days", "2020-09-09")

    assert (code, err) == (0, f"capstone: warning: {warning}\n")


def test_more_memory_than_the_machine_has_is_warned_of(capstone: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPSTONE_DRIVER_MEMORY", "999999g")

    code, _, err = capstone("days", "2020-09-09")

    assert code == 0
    assert re.fullmatch(
        r"capstone: warning: CAPSTONE_DRIVER_MEMORY=999999g is more than the \d+\.\dg of this machine: .+\n", err
    )


@pytest.mark.parametrize("name", ["KEYSTONE_HOME", "CORNERSTONE_LAKE_URI", "CAPSTONE"])
def test_variables_of_other_programs_are_left_alone(capstone: Run, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "/x")

    assert capstone("days", "2020-09-09")[2] == ""


# --- sample ---


def test_a_sample_says_what_it_wrote(capstone: Run, tmp_path: Path) -> None:
    code, out, err = capstone("sample", str(tmp_path / "raw"), "--days", "2", "--events", "50", "--symbols", "2")

    assert (code, err) == (0, "")
    assert re.fullmatch(r"2020-08-05  50 lines in \d files, 0\.0 MB\n2020-08-06  50 lines in \d files, 0\.0 MB\n", out)
    assert {path.name for path in (tmp_path / "raw").iterdir()} == {"csv", "json"}


def test_a_sample_does_not_overwrite_other_files(capstone: Run, tmp_path: Path) -> None:
    folder = tmp_path / "csv" / "2020-08-05" / "NYSE"
    folder.mkdir(parents=True)
    (folder / "trades.csv").write_text("real")

    code, out, err = capstone("sample", str(tmp_path), "--days", "1", "--events", "10")

    assert (code, out) == (1, "")
    assert err == f"capstone: {folder} holds files that are no sample; choose another folder\n"


@pytest.mark.parametrize("first_day", ["2041-01-02", "0001-01-01", "2020-08-08", "x"])
def test_a_sample_of_an_impossible_first_day_is_refused_in_one_line(
    capstone: Run, tmp_path: Path, first_day: str
) -> None:
    code, out, err = capstone("sample", str(tmp_path / "raw"), "--first-day", first_day, "--events", "10")

    assert (code, out) == (1, "")
    assert re.fullmatch("capstone: .+\n", err)
    assert first_day in err


def test_a_sample_begins_with_the_first_trading_day_from_the_configured_one_on(
    capstone: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAPSTONE_FIRST_TRADING_DAY", "2020-08-08")

    code, out, _ = capstone("sample", str(tmp_path / "raw"), "--days", "1", "--events", "10")

    assert (code, out[:10]) == (0, "2020-08-10")


@pytest.mark.parametrize("loaded", ["_pydantic_core", "sqlalchemy"])
def test_ctrl_c_while_the_command_is_loaded_shows_no_stack(loaded: str) -> None:
    with (
        heard(signal.SIGINT),
        subprocess.Popen([CAPSTONE, "status"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process,
    ):
        maps = Path(f"/proc/{process.pid}/maps")
        eventually(lambda: loaded in maps.read_text(), pause=0.005)
        process.send_signal(signal.SIGINT)
        told, _ = process.communicate(timeout=60)

    assert process.returncode != 0
    assert "Traceback" not in told
