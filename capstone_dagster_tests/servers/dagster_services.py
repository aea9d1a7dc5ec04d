"""Dagster's webserver, daemon and code location as `make dev` starts them, for as long as a test needs."""

import json
import os
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from capstone_dagster_tests.servers.platform import CAPSTONE, Platform
from capstone_dagster_tests.servers.processes import eventually

ROOT = Path(__file__).parents[2]

_LAUNCH = """
mutation($job: String!, $tags: [ExecutionTag!]!) {
  launchRun(executionParams: {
    selector: {repositoryLocationName: "capstone", repositoryName: "__repository__", jobName: $job}
    runConfigData: {}, executionMetadata: {tags: $tags}
  }) { __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } }
}
"""

_MATERIALIZE = """
mutation($job: String!, $assets: [AssetKeyInput!]!, $tags: [ExecutionTag!]!) {
  launchPipelineExecution(executionParams: {
    selector: {
      repositoryLocationName: "capstone", repositoryName: "__repository__", pipelineName: $job
      assetSelection: $assets, assetCheckSelection: []
    }
    mode: "default", runConfigData: {}, executionMetadata: {tags: $tags}
  }) { __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } }
}
"""

_TICKS = """
query($name: String!, $most: Int, $logs: Boolean!) {
  sensorOrError(sensorSelector: {
    repositoryLocationName: "capstone", repositoryName: "__repository__", sensorName: $name
  }) {
    ... on Sensor { sensorState { ticks(limit: $most) {
      timestamp status skipReason logEvents @include(if: $logs) { events { level message } }
    } } }
  }
}
"""


@dataclass(frozen=True)
class Services:
    """The running services, as the UI talks to them."""

    port: int
    log: Path
    token: str = ""
    """Of a user of the UI, if people sign in there."""

    def ask(self, query: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        body = json.dumps({"query": query, "variables": variables or {}}).encode()
        headers = {"Content-Type": "application/json"} | (
            {"Authorization": f"Bearer {self.token}"} if self.token else {}
        )
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/graphql", body, headers)
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            told: dict[str, Any] = json.load(answer)["data"]
            return told

    def answers(self, process: "subprocess.Popen[bytes]") -> bool:
        """Whether it is up; what began it must live."""
        assert process.poll() is None, self.log.read_text()[-3000:]
        try:
            return bool(self.ask("{ repositoriesOrError { ... on RepositoryConnection { nodes { name } } } }"))
        except (urllib.error.URLError, OSError):
            return False

    def launch(self, job: str, day: object, **tags: str) -> str:
        """Launch a run as the UI does; returns its id."""
        pairs = [{"key": f"dagster/{name}", "value": value} for name, value in {"partition": f"{day}", **tags}.items()]
        launched = self.ask(_LAUNCH, {"job": job, "tags": pairs})["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        run_id: str = launched["run"]["runId"]
        return run_id

    def materialize(self, assets: Iterable[str], day: object) -> str:
        """Launch a run of assets as the UI's "Materialize" does; returns its id."""
        keys = [{"path": asset.split("/")} for asset in assets]
        tags = [{"key": "dagster/partition", "value": f"{day}"}]
        variables = {"job": "__ASSET_JOB", "assets": keys, "tags": tags}
        launched = self.ask(_MATERIALIZE, variables)["launchPipelineExecution"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        run_id: str = launched["run"]["runId"]
        return run_id

    def status(self, run_id: str) -> str:
        found = self.ask("query($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }", {"id": run_id})
        status: str = found["runOrError"]["status"]
        return status

    def newest_tick(self, sensor: str) -> dict[str, Any]:
        """Or nothing."""
        return next(iter(self._ticks(name=sensor, most=1, logs=False)), {})

    def warnings(self, sensor: str) -> list[str]:
        """Of all ticks, sorted."""
        events = [event for tick in self._ticks(name=sensor, logs=True) for event in tick["logEvents"]["events"]]
        return sorted(event["message"] for event in events if event["level"] == "WARNING")

    def _ticks(self, **variables: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask(_TICKS, variables)["sensorOrError"]["sensorState"]["ticks"]
        return found


def unused_port() -> int:
    """A port of this machine on which nobody listens."""
    with closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        port: int = unused.getsockname()[1]
        return port


@contextmanager
def webserver(platform: Platform, folder: Path, token: str = "", **settings: str) -> Iterator[Services]:
    """Start the webserver alone, wait until it answers, and end it: what is launched stays in the queue."""
    port, log = unused_port(), folder / "log"
    command = ["python", "-m", "capstone_dagster.ui.server", "--port", str(port)]
    with log.open("w") as output:
        process = subprocess.Popen(
            [CAPSTONE, "exec", "--", *command],
            env=os.environ | platform.environment | settings,
            cwd=ROOT,
            stdout=output,
            stderr=output,
        )
    ui = Services(port, log, token)
    try:
        eventually(lambda: ui.answers(process))
        yield ui
    finally:
        process.terminate()
        process.wait(timeout=60)


@contextmanager
def services(platform: Platform, folder: Path) -> Iterator[Services]:
    """Start what `make dev` starts, wait until it answers, and end it."""
    port = unused_port()
    log = folder / "services.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [CAPSTONE, "dev", "--port", str(port)],
            env=os.environ | platform.environment,
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    started = Services(port, log)

    try:
        eventually(lambda: started.answers(process))
        yield started
    finally:
        started_by_it = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
        for survivor in psutil.wait_procs(started_by_it, timeout=5)[1]:  # a run goes on for a while
            survivor.kill()
