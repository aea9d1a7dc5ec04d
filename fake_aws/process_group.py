"""A command of a cluster as a local process in its own group, which ends with this process at the latest.

``emr_image`` defines the commands of steps and their environment.
"""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

# A shell reads from a pipe: a line if the command has ended, or the end of the pipe if this process has died before
# that, for any reason.
_WATCH = 'read -r ended || kill -s KILL -- "-$1"'


class ProcessGroup:
    """One command and everything it starts, with ``stdout`` and ``stderr`` as files in its folder."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
            self._process = subprocess.Popen(  # noqa: S603 - running the caller's command is the purpose of an EMR
                command,
                env=dict(environment),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        self.pid = self._process.pid
        self._is_over = False
        self._watcher = subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", _WATCH, "sh", str(self.pid)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def exit_code(self) -> int | None:
        """The exit code, or None while it runs; afterwards no process of its group is left."""
        code = self._process.poll()
        if code is not None and not self._is_over:
            self._is_over = True
            self._send_to_group(signal.SIGKILL)
            self._watcher.communicate(b"ended\n")
        return code

    def interrupt(self) -> None:
        """Ask the command to end, but not its children."""
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the command and everything it has started."""
        self._send_to_group(signal.SIGKILL)
        self._process.wait()
        self.exit_code()

    def _send_to_group(self, number: signal.Signals) -> None:
        # The group is gone, or its last process has not been waited for yet.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)
