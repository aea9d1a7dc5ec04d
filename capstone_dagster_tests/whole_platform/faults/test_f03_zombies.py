"""A run that was frozen, and works on after it was recorded as ended."""

import json
import signal
from pathlib import Path

import pytest

from capstone_dagster_tests.servers.platform import Platform
from capstone_dagster_tests.servers.processes import eventually
from capstone_dagster_tests.whole_platform.faults.conftest import DAY
from spark_code.schemas import EVENTS, QUOTES, TRADES


@pytest.mark.faults("F3")
def test_a_frozen_run_that_was_recorded_as_canceled_publishes_nothing_when_it_wakes(tmp_path: Path) -> None:
    platform, job = Platform(tmp_path / "frozen", DAY), f"preprocessing_{DAY}"
    platform.sample(DAY)
    data = tmp_path / "frozen" / "lake" / "ingested" / "events" / "data"
    with platform.instance() as instance:
        with platform.begun("run", DAY.isoformat(), "--job", "preprocessing") as zombie:
            eventually(lambda: list(data.glob("*/*/_temporary")), pause=0.005)
            zombie.send_signal(signal.SIGSTOP)
            (frozen,) = instance.get_runs()
            instance.report_run_canceled(frozen, "Canceled by somebody in the UI.")
            other = platform.capstone("run", DAY.isoformat(), "--job", "preprocessing")
            zombie.send_signal(signal.SIGCONT)
            output, _ = zombie.communicate(timeout=120)
        history = json.loads(platform.capstone("history", job, "--json").stdout)

    assert other.returncode == 0, other.stdout + other.stderr
    assert zombie.returncode == 1, output
    assert "Traceback" not in output
    assert [attempt["status"] for attempt in history] == ["CANCELED", "SUCCESS"]
    manifests = [platform.manifest(table, DAY) for table in (EVENTS, QUOTES, TRADES)]
    assert {manifest and manifest.run_id for manifest in manifests} == {history[1]["run_id"]}
    assert history[0]["reason"].startswith("Canceled by somebody in the UI.; the run was recorded as CANCELED at ")
    assert history[0]["reason"].endswith("; what it has computed since is not published".removeprefix("; "))
