"""Secrets in every place where people keep them, and whole days that succeed, fail and are killed: none shows.

Terminal, logs, files, the tables of the database, the UI's API and the arguments of all processes are searched. EMR has
a test of its own.
"""

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path

import psutil
import psycopg2
import pytest
from psycopg2 import sql

from capstone_dagster_tests.fault_report import Tally
from capstone_dagster_tests.servers.dagster_services import Services, services, unused_port
from capstone_dagster_tests.servers.password_postgres import password_postgres
from capstone_dagster_tests.servers.platform import Platform
from capstone_dagster_tests.servers.processes import eventually
from capstone_dagster_tests.servers.webhook_server import Webhook
from capstone_dagster_tests.whole_platform.faults.conftest import DAY
from spark_code.schemas import EVENTS

BROKEN_DAY = date(2020, 8, 6)
CANARY = "canary-c41f9e"
TRACK = f"track --job preprocessing --date {DAY} --"
# In this order, with what each of them ends with.
COMMANDS = {
    "migrate": 0,
    f"run {DAY}": 0,
    f"run {BROKEN_DAY}": 1,
    f"{TRACK} true": 0,
    f"{TRACK} false": 1,
    "test-alert": 1,
    "status --json": 0,
    f"history daily_pipeline_{BROKEN_DAY}": 0,
    "doctor --json": 0,
    "days": 0,
    "spark-conf": 0,
    f"verify {DAY}": 0,
    f"show report/daily_summary {DAY}": 0,
    "warehouse psql -c \\d": 2,  # the reader has no password on this server
    f"warehouse-sync {DAY}": 0,
    "export ROWS --sql QUERY --from warehouse": 0,
}
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
def platform(webhook: Webhook, tmp_path: Path) -> Iterator[Platform]:
    """A day that is well, one whose file is broken, and secrets wherever there is room for one.

    The database wants a password, one channel for alerts takes it, and another one is down.
    """
    down = f"json://trader:{CANARY}@127.0.0.1:{unused_port()}/{CANARY}"
    secrets = {
        "CAPSTONE_ALERT_URLS": f"{webhook.url(f'trader:{CANARY}@', CANARY)} {down}",
        # Those of others, which nothing here needs.
        **{name: f"{CANARY}-{name}" for name in ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "SLACK_TOKEN")},
    }
    with password_postgres(CANARY) as port:
        url = f"postgresql://trader:{CANARY}@127.0.0.1:{port}/market"
        made = Platform(tmp_path / "home", DAY, url, warehouse=True, more=secrets)
        for day in (DAY, BROKEN_DAY):
            made.sample(day)
        (made.raw / f"csv/{BROKEN_DAY}/NYSE/broken.csv.gz").write_bytes(b"\x1f\x8b\x08\x00")
        yield made


@pytest.mark.faults("F14")
def test_no_secret_shows_whether_a_run_succeeds_fails_or_is_killed(
    platform: Platform, webhook: Webhook, tally: Tally, tmp_path: Path
) -> None:
    (tmp_path / "query.sql").write_text("SELECT symbol, close_pr FROM daily_summary")
    places = {"QUERY": f"{tmp_path}/query.sql", "ROWS": f"{tmp_path}/rows.csv"}
    wrong = replace(platform, postgres_url=platform.postgres_url.replace(CANARY, f"{CANARY}-wrong"))
    unreachable = replace(platform, postgres_url=f"postgresql://trader:{CANARY}@127.0.0.1:{unused_port()}/market")

    with _arguments_of_processes() as arguments:
        ended = {said: platform.capstone(*(places.get(word, word) for word in said.split())) for said in COMMANDS}
        shown = {said: ran.stdout + ran.stderr for said, ran in ended.items()}
        assert {said: ran.returncode for said, ran in ended.items()} == COMMANDS, shown
        shown["a run that is killed"] = said_by_a_killed_run(platform)
        for name, other in {"a wrong password": wrong, "no database": unreachable}.items():
            ran = other.capstone("run", f"{DAY}")
            shown[name] = ran.stdout + ran.stderr
            assert ran.returncode == 1, shown[name]
        with services(platform, tmp_path) as ui:
            shown["the UI's API"] = asked_of(ui)
            shown["the log of the UI"] = ui.log.read_text()

    # They were used, and it is known who might have shown them.
    assert webhook.titles[0] == "Test of the alerts"
    assert "password authentication failed" in shown["a wrong password"]
    assert "broken.csv.gz" in shown[f"run {BROKEN_DAY}"]
    for program in ("org.apache.spark", "apprise_process", "capstone_dagster.ui.server"):
        assert any(program in line for line in arguments), program
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {platform.folder / "dagster/dagster.yaml", platform.folder / "logs/spark.log"} <= files.keys()
    shown |= {f"{path}": content.decode(errors="replace") for path, content in files.items()}
    shown |= rows_of_all_tables(platform.postgres_url)
    shown["the arguments of processes"] = "\n".join(arguments)
    tally.search(shown, CANARY)


def said_by_a_killed_run(platform: Platform) -> str:
    """What it has printed until it had published a table."""
    before = platform.lake.require(EVENTS, DAY).version
    with platform.begun("run", f"{DAY}") as process:
        eventually(lambda: platform.lake.require(EVENTS, DAY).version != before, pause=0.01)
        process.send_signal(signal.SIGKILL)
        return process.communicate()[0]


def asked_of(ui: Services) -> str:
    answer = ui.ask(_EVERYTHING)
    assert len(answer["runsOrError"]["results"]) >= 3
    assert "run_monitoring" in answer["instance"]["info"]
    return json.dumps(answer)


def rows_of_all_tables(url: str) -> dict[str, str]:
    """All that the database holds: compressed, it would not show in the server's files."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_schema, table_name FROM information_schema.tables "
            "WHERE table_schema NOT IN ('pg_catalog', 'information_schema')"
        )
        rows = {}
        for schema, name in cursor.fetchall():
            cursor.execute(
                sql.SQL("SELECT string_agg(found::text, ' ') FROM {} AS found").format(sql.Identifier(schema, name))
            )
            rows[f"the table {name}"] = cursor.fetchone()[0] or ""
    assert "STEP_SUCCESS" in rows["the table event_logs"]
    return rows


@contextmanager
def _arguments_of_processes() -> Iterator[set[str]]:
    """The command lines of all processes that come from this one meanwhile."""
    seen: set[str] = set()
    has_ended = threading.Event()

    def look() -> None:
        this = psutil.Process()
        while not has_ended.wait(0.05):
            for child in this.children(recursive=True):
                try:
                    seen.add(" ".join(child.cmdline()))
                except psutil.Error:  # it has ended
                    continue

    watching = threading.Thread(target=look)
    watching.start()
    try:
        yield seen
    finally:
        has_ended.set()
        watching.join()
