"""Secrets in every place where people keep them, and whole days that succeed, fail and are killed: none shows.

Terminal, logs, run storage with its events, lake, the UI's API and the arguments of processes are searched. EMR has a
test of its own.
"""

import json
import signal
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import psutil
import pytest

from capstone_dagster.run_storage.embedded_postgres import serving
from capstone_dagster_tests.fault_report import Tally
from capstone_dagster_tests.servers.dagster_services import Services, services, unused_port
from capstone_dagster_tests.servers.platform import Platform
from capstone_dagster_tests.servers.processes import eventually
from capstone_dagster_tests.whole_platform.faults.conftest import DAY
from spark_code.schemas import EVENTS

BROKEN_DAY = date(2020, 8, 6)
CANARY = "canary-c41f9e"
COMMANDS = ("status", "doctor", "spark-conf", "days")
_EVERYTHING = """
{
  instance { info hasInfo runQueueConfig { tagConcurrencyLimitsYaml } }
  workspaceOrError { ... on Workspace { locationEntries { displayMetadata { key value } } } }
  runsOrError { ... on Runs { results {
    runId status runConfigYaml tags { key value }
    eventConnection { events { __typename ... on MessageEvent { message } } }
  } } }
}
"""


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Platform]:
    """A day that is well, one whose file is broken, and secrets wherever there is room for one."""
    with serving(tmp_path / "database") as url:
        secrets = {
            "CAPSTONE_ALERT_URLS": f"json://user:{CANARY}@127.0.0.1:{unused_port()}/{CANARY}",
            "CAPSTONE_WAREHOUSE_URL": url.replace("postgres@", f"postgres:{CANARY}@"),
            **{name: f"{CANARY}-{name}" for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "PGPASSWORD")},
        }
        made = Platform(tmp_path / "home", DAY, url.replace("postgres@", f"postgres:{CANARY}@"), warehouse=True)
        made = replace(made, more=secrets)
        for day in (DAY, BROKEN_DAY):
            made.sample(day)
        (made.raw / f"csv/{BROKEN_DAY}/NYSE/broken.csv.gz").write_bytes(b"\x1f\x8b\x08\x00")
        assert CANARY in made.postgres_url
        yield made


def said_by(platform: Platform, *arguments: str) -> str:
    ran = platform.capstone(*arguments)
    return ran.stdout + ran.stderr


def said_by_a_killed_run(platform: Platform) -> tuple[str, str]:
    """What it has printed, and the arguments of its processes."""
    before = platform.lake.require(EVENTS, DAY).version
    with platform.begun("run", f"{DAY}") as process:
        eventually(lambda: platform.lake.require(EVENTS, DAY).version != before, pause=0.01)
        children = psutil.Process(process.pid).children(recursive=True)
        arguments = [each.cmdline() for each in (psutil.Process(process.pid), *children)]
        process.send_signal(signal.SIGKILL)
        return process.communicate()[0], f"{arguments}"


@pytest.mark.faults("F14")
def test_no_secret_shows_whether_a_run_succeeds_fails_or_is_killed(platform: Platform, tally: Tally) -> None:
    shown = {"a run that succeeds": said_by(platform, "run", f"{DAY}")}
    shown["a run that fails"] = said_by(platform, "run", f"{BROKEN_DAY}")
    shown["a run that is killed"], shown["the arguments of processes"] = said_by_a_killed_run(platform)
    shown["a tracked command"] = said_by(platform, "track", "--job", "analytical", "--date", f"{DAY}", "--", "false")
    for command in (
        "status",
        "doctor",
        "spark-conf",
        "days",
        f"history daily_pipeline_{BROKEN_DAY}",
        f"warehouse-sync {DAY}",
    ):
        shown[command] = said_by(platform, *command.split())
    unreachable = replace(platform, postgres_url=f"postgresql://user:{CANARY}@127.0.0.1:{unused_port()}/capstone")
    shown["a run without its database"] = said_by(unreachable, "run", f"{DAY}")
    with services(platform, platform.folder.parent) as ui:
        shown["the UI's API"] = asked_of(ui)
        shown["the log of the UI"] = ui.log.read_text()

    assert "SUCCESS" in shown["a run that succeeds"]
    assert "broken.csv.gz" in shown["a run that fails"]
    assert "FAILURE" in shown["status"]
    assert "127.0.0.1" in shown["a run without its database"]
    files = [path for path in platform.folder.parent.rglob("*") if path.is_file()]
    shown |= {f"{path}": path.read_bytes().decode(errors="replace") for path in files}
    assert len(files) > 100
    tally.search(shown, CANARY)


def asked_of(ui: Services) -> str:
    answer = ui.ask(_EVERYTHING)
    assert len(answer["runsOrError"]["results"]) >= 3
    return json.dumps(answer)
