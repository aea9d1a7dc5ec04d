"""``capstone doctor``: every check finds what is wrong in its own place, and does not stop the others."""

import json
import os
import socket
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import psycopg2
import pytest

from capstone_dagster.cli import checkups, checkups_of_stores
from capstone_dagster.cli.checkups import Finding
from capstone_dagster.settings import Settings
from capstone_dagster_tests.builders.command_line import Run
from capstone_dagster_tests.builders.lakes import break_storage, deliver
from capstone_dagster_tests.capstone_dagster.cli.test_prerequisites import command, version
from capstone_dagster_tests.servers.s3_server import s3_endpoint, s3_uri  # noqa: F401 -- pytest finds fixtures so
from spark_code.storage import Storage

CHECKS = [
    "settings",
    "Python, Java",
    "packages",
    "jars for S3",
    "calendar",
    "memory",
    "disk",
    "leftovers",
    "port of the UI",
    "run storage",
    "warehouse",
    "raw files",
    "lake",
]


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
    return port


@pytest.fixture(autouse=True)
def machine(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which nothing is wrong: its own temp folder, a Java, little memory asked for, and deliveries."""
    command(tmp_path / "java" / "bin", "java", version("17.0.15"))
    (tmp_path / "temp").mkdir()
    for name, value in {
        "JAVA_HOME": f"{tmp_path / 'java'}",
        "TMPDIR": f"{tmp_path / 'temp'}",
        "CAPSTONE_DRIVER_MEMORY": "1m",
        "CAPSTONE_UI_URL": f"http://127.0.0.1:{free_port()}",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr(checkups, "_LITTLE_DISK", 0)
    deliver(home / "raw", Settings.from_environment().first_trading_day)
    return home


@pytest.fixture
def doctor(capstone: Run) -> Any:
    """Exit code, and the findings by the names of the checks."""

    def ask() -> tuple[int, dict[str, Finding]]:
        code, out, err = capstone("doctor", "--json")
        assert err == ""
        found = [json.loads(line) for line in out.splitlines()]
        return code, {each.pop("check"): Finding(**each) for each in found}

    return ask


def test_where_nothing_is_wrong_all_checks_are_ok(doctor: Any, machine: Path) -> None:
    code, found = doctor()

    assert (code, list(found)) == (0, CHECKS)
    assert {name: finding for name, finding in found.items() if finding.verdict != "ok"} == {}
    assert not (machine / "lake").exists()
    assert not (machine / "postgres").exists()


def test_people_read_a_line_for_each_check_and_below_it_what_to_do(
    capstone: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CAPSTONE_RAW_URI", "/nowhere/at/all")

    code, out, _ = capstone("doctor")

    assert code == 0
    assert (
        "raw files       warning  /nowhere/at/all has no days of NYSE and NASDAQ\n"
        "                         see that CAPSTONE_RAW_URI names the folder above csv and json, "
    ) in out
    assert out.endswith("13 checks: 0 wrong, 1 warning\n")


@pytest.mark.parametrize(
    ("variables", "check", "found"),
    [
        ({"CAPSTONE_SENSOR_SECONDS": "soon"}, "settings", "CAPSTONE_SENSOR_SECONDS: 'soon' cannot be used"),
        ({"CAPSTONE_DEPLOYMENT": "emr"}, "settings", "CAPSTONE_EMR_STAGING_URI must be set"),
        ({"CAPSTONE_DRIVER_MEMORY": "9000g"}, "memory", "CAPSTONE_DRIVER_MEMORY=9000g is more than the "),
        ({"JAVA_HOME": "/nowhere"}, "Python, Java", "Java 17 is needed and JAVA_HOME=/nowhere has no bin/java"),
        (
            {"CAPSTONE_POSTGRES_URL": "postgresql://ann:hidden@127.0.0.1:{port}/none"},
            "run storage",
            "the run storage cannot be used: ",
        ),
        (
            {"CAPSTONE_WAREHOUSE_URL": "postgresql://ann:hidden@127.0.0.1:{port}/none"},
            "warehouse",
            "the warehouse cannot be used: ",
        ),
    ],
)
def test_what_is_wrong_is_found_in_its_place_and_the_others_are_judged(
    doctor: Any, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], check: str, found: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(port=free_port()))

    code, findings = doctor()

    assert list(findings) == CHECKS
    assert (code, findings[check].verdict) == (1, "wrong")
    assert findings[check].found.startswith(found)
    assert "hidden" not in f"{findings}"
    assert [name for name in CHECKS if findings[name].verdict == "wrong"] == [check]


def test_a_setting_that_is_missing_takes_no_other_one_with_it(doctor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPSTONE_DEPLOYMENT", "emr")
    monkeypatch.setenv("CAPSTONE_RAW_URI", "/nowhere/at/all")

    assert doctor()[1]["raw files"].found == "/nowhere/at/all has no days of NYSE and NASDAQ"


def test_nothing_is_quoted_of_a_url_that_cannot_be_parsed() -> None:
    url = "postgresql://ann:hid%zzden@127.0.0.1/none"
    with pytest.raises(psycopg2.Error) as error:
        psycopg2.connect(url)

    assert "hid%zzden" in f"{error.value}"
    assert checkups_of_stores._reason(url, error.value) == "ProgrammingError"


def test_several_wrong_settings_are_all_named(doctor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CAPSTONE_SENSOR_SECONDS", "CAPSTONE_WATCH_DAYS", "CAPSTONE_LAKE_URI"):
        monkeypatch.setenv(name, "ftp://nonsense")

    _, findings = doctor()

    assert [part.split(":")[0] for part in findings["settings"].found.split("; ")] == [
        "CAPSTONE_LAKE_URI",
        "CAPSTONE_WATCH_DAYS",
        "CAPSTONE_SENSOR_SECONDS",
    ]


def test_a_lake_that_cannot_be_listed_is_found_and_nothing_is_left_in_one_that_can(doctor: Any, machine: Path) -> None:
    (machine / "lake").mkdir()
    assert doctor()[1]["lake"].verdict == "ok"
    assert list((machine / "lake").iterdir()) == []

    break_storage(machine / "lake" / "eod")
    code, found = doctor()

    assert (code, found["lake"].verdict) == (1, "wrong")
    assert found["lake"].found.startswith(f"{machine}/lake/eod/")


class Careless(Storage):
    """A store that takes a put whatever is there."""

    def replace(self, key: str, revise: Callable[[bytes | None], bytes]) -> None:
        self.write(key, revise(self.read(key)))


def test_a_store_that_ignores_conditions_is_found(s3_uri: str) -> None:  # noqa: F811 -- the fixture
    lake = f"{s3_uri}/lake"

    found = [checkups_of_stores.of_lake(storage) for storage in (Storage(lake), Careless(lake))]

    assert [finding.verdict for finding in found] == ["ok", "wrong"]
    assert found[1].found == f"{lake} lets two writers replace one object at the same time: it ignores If-Match"
    assert Storage(lake).objects("") == []


@pytest.mark.parametrize(("seconds", "verdict"), [(0.0, None), (30.0, "warning"), (-300.0, "wrong")])
def test_clocks_that_differ_are_found(seconds: float, verdict: str | None) -> None:
    found = checkups_of_stores._of_clock(seconds, "the database's")

    assert (found and found.verdict) == verdict
    assert not found or f"{abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} the database's" in found.found


def test_what_dead_processes_have_left_is_named_once_it_is_a_day_old(
    doctor: Any, machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = [machine / ".postgres.unfinished.abc", tmp_path / "temp" / "capstone-xyz"]
    for path in left:
        path.mkdir(parents=True)
    assert doctor()[1]["leftovers"].verdict == "ok"
    for path in left:
        os.utime(path, (time.time() - 90_000,) * 2)

    served = tmp_path / "temp" / "capstone-served"
    served.mkdir()
    monkeypatch.chdir(served)  # the path of a socket must be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(".s.PGSQL.5432")
        listening.listen()
        monkeypatch.setattr("tempfile.tempdir", "..")
        os.utime(served, (time.time() - 90_000,) * 2)
        found = doctor()[1]["leftovers"]

    assert (found.verdict, found.found) == (
        "warning",
        f"left by processes that are gone: {left[0]}, ../{left[1].name}",
    )


class _Answer(BaseHTTPRequestHandler):
    text = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.text)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.mark.parametrize(
    ("text", "verdict", "found"),
    [
        (b'{"dagster_webserver_version": "1"}', "ok", "a UI of Dagster answers on port "),
        (b"hello", "warning", "another program listens on port "),
    ],
)
def test_who_answers_on_the_port_of_the_ui_is_said(
    doctor: Any, monkeypatch: pytest.MonkeyPatch, text: bytes, verdict: str, found: str
) -> None:
    monkeypatch.setattr(_Answer, "text", text)
    with HTTPServer(("127.0.0.1", 0), _Answer) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("CAPSTONE_UI_URL", f"http://127.0.0.1:{server.server_port}")

        finding = doctor()[1]["port of the UI"]
        server.shutdown()

    assert (finding.verdict, finding.found) == (verdict, f"{found}{server.server_port}")
