"""A Spark standalone cluster on loopback in place of YARN: a master, and workers with one core each.

Each step has its executors there as processes of their own, which exchange rows over the network. They find S3 as the
step does.
"""

import re
from collections.abc import Callable
from pathlib import Path

from fake_aws.emr_image import EmrImage
from fake_aws.process_group import ProcessGroup

# What the master says when it listens, and when a worker has joined.
_LISTENING, _JOINED = re.compile(r"Starting Spark master at (spark://\S+)"), re.compile("Registering worker")
# Of a process that has ended.
_LAST_LINES = 5
_ON_ANY_PORT = ("--host", "127.0.0.1", "--port", "0", "--webui-port", "0")


class SparkStartError(Exception):
    """Spark does not start here."""


class SparkCluster:
    """One such cluster; `start` starts it, and `stop` ends all of its processes."""

    def __init__(self, image: EmrImage, folder: Path) -> None:
        self.master = ""
        """Its URL, for spark.master."""
        self._image = image
        self._folder = folder
        self._processes: dict[str, ProcessGroup] = {}

    def start(self, workers: int, pause: Callable[[], None]) -> None:
        """Return when all workers have joined; ``pause`` is called between two looks."""
        self._run("master", "master.Master")
        (self.master,) = self._said(_LISTENING, 1, pause)
        for number in range(1, workers + 1):
            folder = self._folder / f"worker-{number}"
            self._run(folder.name, "worker.Worker", "--cores", "1", "--work-dir", str(folder / "work"), self.master)
        self._said(_JOINED, workers, pause)

    def lose_worker(self) -> None:
        """Kill a worker with its executors, if one is left."""
        workers = list(self._processes.values())[1:]
        running = [worker for worker in workers if worker.exit_code() is None]
        if running:
            running[-1].kill()

    def stop(self) -> None:
        """End every process."""
        for process in reversed(self._processes.values()):
            process.kill()

    def _run(self, name: str, main: str, *arguments: str) -> None:
        folder = self._folder / name
        (folder / "tmp").mkdir(parents=True)
        environment = self._image.environment(folder)
        environment |= {
            "SPARK_DAEMON_JAVA_OPTS": environment["SPARK_SUBMIT_OPTS"],
            "SPARK_DAEMON_MEMORY": "512m",
            "SPARK_LOCAL_DIRS": environment["TMPDIR"],
        }
        command = [self._image.program("spark-class"), f"org.apache.spark.deploy.{main}", *_ON_ANY_PORT, *arguments]
        self._processes[name] = ProcessGroup(command, environment, folder)

    def _said(self, what: re.Pattern[str], times: int, pause: Callable[[], None]) -> list[str]:
        """Wait until the master has said it so often."""
        log = self._folder / "master" / "stderr"
        while len(found := what.findall(log.read_text())) < times:
            for name, process in self._processes.items():
                if (exit_code := process.exit_code()) is not None:
                    last = (self._folder / name / "stderr").read_text().splitlines()[-_LAST_LINES:]
                    raise SparkStartError("\n".join([f"Spark's {name} ended with exit code {exit_code}:", *last]))
            pause()
        return found
