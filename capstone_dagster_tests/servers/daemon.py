"""Dagster's daemon over a platform, in this process: sensors, scheduler, queue. It can be killed on the way.

No run is executed. A daemon that is killed is a forked process, which needs no start.
"""

import logging
import os
import signal
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import dagster as dg
import yaml
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.test_utils import freeze_time, instance_for_test
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.run_coordinator import QueuedRunCoordinatorDaemon
from dagster._daemon.sensor import execute_sensor_iteration
from dagster._scheduler.scheduler import launch_scheduled_runs
from dagster._utils import DebugCrashFlags

from capstone_dagster.run_tags import PARTITION_TAG
from capstone_dagster_tests.servers.platform import Platform

_DEPLOYED = Path(__file__).parents[2] / "deploy" / "dagster.yaml"
_AS_DEPLOYED = ("run_coordinator", "concurrency", "run_launcher", "run_retries", "telemetry")
_LOGGER = logging.getLogger("daemon")


@contextmanager
def instance_on_disk() -> Iterator[dg.DagsterInstance]:
    """With queue and launcher as they are deployed. One in memory keeps no ticks."""
    deployed = yaml.safe_load(_DEPLOYED.read_text())
    settings = {name: deployed[name] for name in _AS_DEPLOYED}
    with tempfile.TemporaryDirectory() as home:
        # A file for the events of each run, as is the default, takes half a second each.
        settings["event_log_storage"] = {
            "module": "dagster._core.storage.event_log",
            "class": "ConsolidatedSqliteEventLogStorage",
            "config": {"base_dir": home},
        }
        with instance_for_test(settings, temp_dir=home) as instance:
            yield instance


def wipe(instance: dg.DagsterInstance) -> None:
    """Nothing has happened yet."""
    instance.wipe()
    assert instance.schedule_storage
    instance.schedule_storage.wipe()


def killed(work: Callable[[], object]) -> bool:
    """Whether the work, in a process of its own, ends by being killed."""
    process = os.fork()
    if not process:
        try:
            work()
        finally:
            os._exit(0)  # nothing of pytest happens twice
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -signal.SIGKILL


@dataclass(frozen=True)
class Daemon:
    """The daemon, and the code location that it looks after."""

    instance: dg.DagsterInstance
    workspace: WorkspaceProcessContext

    @classmethod
    @contextmanager
    def over(cls, platform: Platform, instance: dg.DagsterInstance, folder: Path) -> Iterator["Daemon"]:
        """Over the definitions of the platform, whose code is put into the folder."""
        code = folder / "code.py"
        code.write_text(
            "from capstone_dagster.definitions import build_defs\n"
            "from capstone_dagster.settings import Settings\n"
            f"defs = build_defs(Settings.from_mapping({platform.environment}))\n"
        )
        target = LoadableTargetOrigin(python_file=str(code), attribute="defs")
        origin = InProcessCodeLocationOrigin(target, location_name="capstone")
        with WorkspaceProcessContext(instance, InProcessWorkspaceLoadTarget(origin)) as workspace:
            yield cls(instance, workspace)

    def switch_off_all_sensors_but(self, name: str) -> None:
        """As people do in the UI."""
        [location] = self.workspace.create_request_context().code_locations
        [repository] = location.get_repositories().values()
        for sensor in repository.get_sensors():
            if sensor.name != name:
                self.instance.stop_sensor(sensor.get_remote_origin_id(), sensor.selector_id, sensor)

    def look_with_sensors(self, now: datetime, dies: DebugCrashFlags | None = None) -> None:
        """One look of every sensor whose time it is."""
        with freeze_time(now):
            _went_well(execute_sensor_iteration(self.workspace, _LOGGER, None, None, debug_crash_flags=dies))

    def look_at_schedules(self, now: datetime, dies: DebugCrashFlags | None = None) -> None:
        """One look at every schedule."""
        with freeze_time(now):
            _went_well(launch_scheduled_runs(self.workspace, _LOGGER, now, iteration_times={}, debug_crash_flags=dies))

    def look_at_queue(self) -> None:
        """Launch what may start now."""
        list(QueuedRunCoordinatorDaemon(interval_seconds=1).run_iteration(self.workspace))

    def runs(self) -> list[tuple[str, str, str]]:
        """Day, job and status of every run there is, in the order in which they were made."""
        runs = self.instance.get_runs(ascending=True)
        return [(run.tags[PARTITION_TAG], run.job_name, run.status.value) for run in runs]


def _went_well(told: Iterable[object]) -> None:
    errors = [error for error in told if error]
    assert not errors, errors
