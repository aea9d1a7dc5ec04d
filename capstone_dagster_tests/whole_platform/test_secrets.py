"""A day with a password or key in every setting that can hold one: none of them shows where others could read it."""

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
    "migrate",
    f"run {DAY}",
    f"{TRACK} true",
    *FAILING,
    "status --json",
    f"history preprocessing_{DAY}",
    "doctor",
    "doctor --json",
    f"days {DAY}",
    f"verify {DAY}",
    f"show report/daily_summary {DAY}",
    f"paths report/daily_summary {DAY} --json",
    "warehouse psql -c \\d",
    f"warehouse-sync {DAY}",
    "gc --dry-run",
    "spark-conf",
)


@pytest.mark.faults
def test_no_secret_shows_in_what_commands_services_and_runs_write(
    tmp_path: Path, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = f"json://trader:{CANARY}@127.0.0.1:{unused_port()}/{CANARY}"
    monkeypatch.setenv("CAPSTONE_ALERT_URLS", f"{webhook.url(f'trader:{CANARY}@', CANARY)} {refused}")
    for name in OF_OTHER_PROGRAMS:
        monkeypatch.setenv(name, CANARY)
    query = tmp_path / "query.sql"
    query.write_text("SELECT symbol, close_pr FROM daily_summary")
    with password_postgres(CANARY) as port:
        url = f"postgresql://trader:{CANARY}@127.0.0.1:{port}/market"
        platform = Platform(tmp_path / "home", DAY, postgres_url=url, warehouse=True)
        platform.sample(DAY)

        with _arguments_of_processes() as arguments:
            ended = {command: platform.capstone(*command.split()) for command in COMMANDS}
            ended["export"] = platform.capstone("export", f"{tmp_path}/rows.csv", "--sql", f"{query}")
            wrong = replace(platform, postgres_url=url.replace(CANARY, f"{CANARY}-wrong"))
            ended["status of a wrong password"] = wrong.capstone("status")
            with services(platform, tmp_path) as ui:
                info = ui.ask("{ instance { info } }")["instance"]["info"]
                run_id = ui.launch("preprocessing", DAY)
                eventually(lambda: ui.status(run_id), "SUCCESS".__eq__, pause=1)

        recorded = _rows_of_all_tables(url)

    # The secrets were used, and what is searched is there.
    assert webhook.titles == ["Test of the alerts"]
    said = {name: ran.stdout + ran.stderr for name, ran in ended.items()}
    failed = [name for name, ran in ended.items() if ran.returncode]
    assert failed == [*FAILING, "status of a wrong password"], said
    assert "channel 2 (json)" in said["test-alert"]
    assert "password authentication failed" in said["status of a wrong password"]
    assert "CAPSTONE_POSTGRES_URL" in info
    assert {"event_logs", "runs", "daily_summary", "loads"} <= recorded.keys()
    assert run_id in recorded["event_logs"]
    for program in ("org.apache.spark", "capstone_dagster.ui.server", "apprise_process", run_id):
        assert program in "\n".join(arguments), program
    files = {f"{path}": path.read_bytes().decode(errors="replace") for path in tmp_path.rglob("*") if path.is_file()}
    assert {"dagster.yaml", "rows.csv", "services.log"} <= {Path(path).name for path in files}
    shown = {
        **{f"the output of {name}": text for name, text in said.items()},
        **{f"the table {name}": text for name, text in recorded.items()},
        **files,
        "the configuration in the UI": info,
        "the arguments of processes": "\n".join(arguments),
    }
    assert [where for where, text in shown.items() if CANARY in text] == []


@contextmanager
def _arguments_of_processes() -> Iterator[set[str]]:
    """The command lines of all processes that come from this one meanwhile."""
    seen: set[str] = set()
    has_ended = threading.Event()

    def look() -> None:
        this = psutil.Process()
        while not has_ended.wait(0.02):
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
