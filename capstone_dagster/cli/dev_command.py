"""The command ``capstone dev``: runs the code location, Dagster's daemon and the UI until one of them ends.

Dagster's own ``dg dev`` starts the same parts, but its webserver answers everybody; see ``ui.request_guard``.
"""

import fcntl
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import click
import dagster as dg
import yaml
from dagster._cli.proxy_server_manager import ProxyServerManager
from dagster._core.workspace.load_target import WorkspaceFileTarget

from capstone_dagster.cli.child_process import (
    deferring_signals,
    exiting_on_termination,
    group_watched,
    start_child,
)
from capstone_dagster.cli.prerequisites import require_java
from capstone_dagster.job_status.view import migrate
from capstone_dagster.run_storage.instance import ready
from capstone_dagster.runs.unfinished_runs import end_lost_runs
from capstone_dagster.settings import CHECKOUT, Settings
from capstone_dagster.ui.request_guard import require_sign_in
from capstone_dagster.wording import end_in_words
from spark_code.errors import ExpectedError

_LOOK_SECONDS = 0.5
# The daemon ends its threads within this time; Dagster itself waits as long.
_END_SECONDS = 60.0

_Parts = Mapping[str, "subprocess.Popen[bytes]"]


class PartEndedError(ExpectedError):
    """The webserver or the daemon has ended by itself."""


class PortError(ExpectedError):
    """The UI cannot listen on the given host and port."""


class RunsAlreadyError(ExpectedError):
    """The UI and the daemon of this home are already running."""


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address the UI listens on.")
@click.option("--port", type=click.IntRange(1, 65535), default=3000, show_default=True, help="The UI's port.")
def dev(host: str, port: int) -> None:
    """Start the Dagster UI and the daemon, until Ctrl-C. CAPSTONE_UI_HOSTS lists the host names the UI answers to."""
    settings = Settings.from_environment()
    require_sign_in(settings, host)
    if settings.deployment == "local":
        require_java()
    _require_free(host, port)
    with (
        exiting_on_termination(),
        ready(settings),
        _alone(settings.home),
        dg.DagsterInstance.get() as instance,
        _code_location(instance) as workspace,
    ):
        migrate(instance)
        end_lost_runs(instance)  # one that was being started at the last Ctrl-C would hold up the queue
        listening = ["--host", host, "--port", str(port)]
        with deferring_signals() as received, _running(workspace, listening) as parts:
            while not received and not any(part.poll() is not None for part in parts.values()):
                time.sleep(_LOOK_SECONDS)
            died = None if received else next(filter(None, map(_how_it_ended, parts, parts.values())))
    if died:
        raise PartEndedError(f"{died}, so the other parts were stopped too; its last lines above may say why")


def _require_free(host: str, port: int) -> None:
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as error:
        raise PortError(
            f"the UI cannot listen on port {port} of {host}: {error.strerror}; if another program has it, choose "
            "another port: make dev PORT=3001, or capstone dev --port 3001"
        ) from None


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Hold the lock of this home's daemon: two daemons on one run storage would run everything twice."""
    with (home / "dagster" / ".dev.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunsAlreadyError(
                f"the UI and the daemon of {home} are already running; open that UI, or end it (Ctrl-C) first"
            ) from None
        yield


@contextmanager
def _code_location(instance: dg.DagsterInstance) -> Iterator[Path]:
    """Serve the definitions to the other parts; yields the workspace file that names the server.

    A server that dies is restarted; the button Reload lets it load changed code.
    """
    target = WorkspaceFileTarget([str(CHECKOUT / "workspace.yaml")])
    with (
        ProxyServerManager(instance, target, code_server_log_level="warning") as servers,
        TemporaryDirectory() as folder,
    ):
        workspace = Path(folder, "workspace.yaml")
        workspace.write_text(yaml.dump({"load_from": list(servers.get_code_server_specs())}))
        yield workspace


@contextmanager
def _running(workspace: Path, listening: list[str]) -> Iterator[_Parts]:
    modules = {
        "the webserver": ["capstone_dagster.ui.server", *listening],
        "the daemon": ["capstone_dagster.cli.dev_daemon"],
    }
    parts: dict[str, subprocess.Popen[bytes]] = {}
    group = 0
    with group_watched("TERM") as watch:
        try:
            for name, arguments in modules.items():
                command = [sys.executable, "-m", *arguments, "--workspace", str(workspace)]
                parts[name] = start_child(command, process_group=group, stdin=subprocess.DEVNULL)
                if not group:
                    group = parts[name].pid
                    watch(group)
            yield parts
        finally:
            _end(parts)


def _end(parts: _Parts) -> None:
    for part in parts.values():
        if part.poll() is None:
            part.terminate()
    deadline = time.monotonic() + _END_SECONDS
    for part in parts.values():
        try:
            part.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            part.kill()
            part.wait()


def _how_it_ended(name: str, part: "subprocess.Popen[bytes]") -> str | None:
    code = part.poll()
    return None if code is None else f"{name} {end_in_words(code)}"
