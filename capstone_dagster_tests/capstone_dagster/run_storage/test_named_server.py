"""Commands with the run storage on a server over TCP that wants a password."""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from capstone_dagster_tests.builders.command_line import Run
from capstone_dagster_tests.servers.password_postgres import password_postgres
from capstone_dagster_tests.servers.platform import Platform

PASSWORD = "s3cret @ 100%"  # noqa: S105 - of a server that lives for this test
ESCAPED = "s3cret%20%40%20100%25"
DAY = date(2020, 8, 5)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of a server that wants a password."""
    with password_postgres(PASSWORD) as number:
        yield number


def _platform(folder: Path, port: int, password: str) -> Platform:
    return Platform(folder, DAY, postgres_url=f"postgresql://trader:{password}@127.0.0.1:{port}/market")


def test_the_tracker_works_on_a_server_over_tcp_with_a_password(
    tmp_path: Path, port: int, capstone: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform = _platform(tmp_path, port, ESCAPED)
    platform.sample(DAY)
    for name, value in {**platform.environment, "DAGSTER_HOME": ""}.items():
        monkeypatch.setenv(name, value)

    assert capstone("migrate")[0] == 0
    tracked = platform.capstone("track", "--job", "preprocessing", "--date", str(DAY), "--", "true")
    assert tracked.returncode == 0, tracked.stderr
    status = json.loads(capstone("status", f"preprocessing_{DAY}", "--json")[1])
    by_psql = platform.capstone(
        "exec", "--", "psql", "-AtXc", "SELECT job_id, status, attempts, run_id FROM job_status"
    )

    assert by_psql.stdout.strip() == f"preprocessing_{DAY}|SUCCESS|1|{status['run_id']}"
    assert not (tmp_path / "postgres").exists()
    for ran in (tracked, by_psql):
        assert "s3cret" not in ran.stdout + ran.stderr


def test_a_wrong_password_is_one_line_that_does_not_repeat_it(tmp_path: Path, port: int) -> None:
    refused = _platform(tmp_path, port, "wr0ng").capstone("status")

    assert refused.returncode == 1
    assert refused.stderr.startswith("capstone: CAPSTONE_POSTGRES_URL: the server cannot be used: ")
    assert 'password authentication failed for user "trader"' in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert "wr0ng" not in refused.stdout + refused.stderr
