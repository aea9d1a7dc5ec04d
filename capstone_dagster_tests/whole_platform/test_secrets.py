"""A day with a password or key in every setting that can hold one: none of them shows where others could read it."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path

import psutil
import psycopg2
import pytest
from psycopg2 import sql

from capstone_dagster_tests.servers.dagster_services import services, unused_port
from capstone_dagster_tests.servers.password_postgres import password_postgres
from capstone_dagster_tests.servers.platform import Platform
from capstone_dagster_tests.servers.processes import eventually
from capstone_dagster_tests.servers.webhook_server import Webhook

DAY = date(2020, 8, 5)
CANARY = "canary-9d41f7"
# Where people keep others; nothing here needs them.
OF_OTHER_PROGRAMS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "SLACK_TOKEN")
TRACK = f"track --job preprocessing --date {DAY} --"
FAILING = [f"{TRACK} false", "test-alert"]
COMMANDS = (
    f"run {DAY}",
    f"{TRACK} true",
    *FAILING,
    "status --json",
    "doctor --json",
    f"verify {DAY}",
    f"show report/daily_summary {DAY}",
    "warehouse psql -c \\d",
    f"warehouse-sync {DAY}",
)


@pytest.fixture(scope="module")
def webhook() -> Iterator[Webhook]:
    server = Webhook()
    yield server
    server.close()


@pytest.fixture(scope="module")
def platform(webhook: Webhook, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """With a day of raw files, a database that wants a password, a channel that wants one, and one that is down."""
    refused = f"json://trader:{CANARY}@127.0.0.1:{unused_port()}/{CANARY}"
    with pytest.MonkeyPatch.context() as patch, password_postgres(CANARY) as port:
        patch.setenv("CAPSTONE_ALERT_URLS", f"{webhook.url(f'trader:{CANARY}@', CANARY)} {refused}")
        for name in OF_OTHER_PROGRAMS:
            patch.setenv(name, CANARY)
        url = f"postgresql://trader:{CANARY}@127.0.0.1:{port}/market"
        made = Platform(tmp_path_factory.mktemp("home"), DAY, postgres_url=url, warehouse=True)
        made.sample(DAY)
        assert made.capstone("migrate").returncode == 0
        yield made


@pytest.mark.faults
def test_no_secret_shows_in_what_commands_and_their_runs_write(platform: Platform, webhook: Webhook) -> None:
    query = platform.folder / "query.sql"
    query.write_text("SELECT symbol, close_pr FROM daily_summary")
    wrong = replace(platform, postgres_url=platform.postgres_url.replace(CANARY, f"{CANARY}-wrong"))

    with _arguments_of_processes() as arguments:
        ended = {command: platform.capstone(*command.split()) for command in COMMANDS}
        export = ("export", f"{platform.folder}/rows.csv", "--sql", f"{query}", "--from", "warehouse")
        ended["export"] = platform.capstone(*export)
        ended["status of a wrong password"] = wrong.capstone("status")

    # The secrets were used.
    said = {name: ran.stdout + ran.stderr for name, ran in ended.items()}
    failed = [name for name, ran in ended.items() if ran.returncode]
    assert failed == [*FAILING, "status of a wrong password"], said
    assert webhook.titles == ["Test of the alerts"]
    assert "channel 2 (json)" in said["test-alert"]
    assert "password authentication failed" in said["status of a wrong password"]
    for program in ("org.apache.spark", "apprise_process"):
        assert any(program in line for line in arguments), program
    assert (platform.folder / "rows.csv").exists()
    assert _where_it_shows(platform, arguments, said) == []


@pytest.mark.faults
def test_no_secret_shows_in_what_services_and_their_runs_write(platform: Platform, tmp_path: Path) -> None:
    with _arguments_of_processes() as arguments, services(platform, tmp_path) as ui:
        info = ui.ask("{ instance { info } }")["instance"]["info"]
        run_id = ui.launch("preprocessing", DAY)
        eventually(lambda: ui.status(run_id), "SUCCESS".__eq__, pause=1)

    assert "CAPSTONE_POSTGRES_URL" in info
    for program in ("capstone_dagster.ui.server", "org.apache.spark", run_id):
        assert any(program in line for line in arguments), program
    said = {"the services": (tmp_path / "services.log").read_text(), "the configuration in the UI": info}
    assert _where_it_shows(platform, arguments, said) == []


def _where_it_shows(platform: Platform, arguments: set[str], said: Mapping[str, str]) -> list[str]:
    """Of all that was said, the arguments of processes, and all files and tables."""
    tables = _rows_of_all_tables(platform.postgres_url)
    assert {"event_logs", "runs", "run_tags"} <= tables.keys()
    assert "STEP_SUCCESS" in tables["event_logs"]
    files = {path.relative_to(platform.folder): path for path in platform.folder.rglob("*") if path.is_file()}
    assert {Path("dagster/dagster.yaml"), Path("logs/spark.log")} <= files.keys()
    shown = {
        **{f"the output of {name}": text for name, text in said.items()},
        **{f"the table {name}": text for name, text in tables.items()},
        **{f"the file {name}": path.read_bytes().decode(errors="replace") for name, path in files.items()},
        "the arguments of processes": "\n".join(arguments),
    }
    return [where for where, text in shown.items() if CANARY in text]


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


def _rows_of_all_tables(url: str) -> dict[str, str]:
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
            rows[name] = cursor.fetchone()[0] or ""
        return rows
