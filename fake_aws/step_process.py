"""A step's command as a local process in a group of its own, which outlives nobody.

How it is called and what it finds around it is the image's business (``emr_image``).
"""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

# A shell waits at a pipe. It finds a line when the command has ended, and the end of the pipe when this process has
# died before, whatever killed it.
_WATCH = 'read -r ended || kill -s KILL -- "-$1"'


class StepProcess:
    """One command and all that it starts, with ``stdout`` and ``stderr`` as files of its folder."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> None:
        with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
            self._process = subprocess.Popen(  # noqa: S603 - running the caller's command is the purpose of a step
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
        """None while it runs; nothing of its group is left afterwards."""
        code = self._process.poll()
        if code is not None and not self._is_over:
            self._is_over = True
            self._send_to_group(signal.SIGKILL)
            self._watcher.communicate(b"ended\n")
        return code

    def interrupt(self) -> None:
        """Ask the command itself to end."""
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it and all that it has started."""
        self._send_to_group(signal.SIGKILL)
        self._process.wait()
        self.exit_code()

    def _send_to_group(self, number: signal.Signals) -> None:
        # A group that is gone, or whose last process nobody has waited for yet.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)
