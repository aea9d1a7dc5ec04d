"""What a process prints that finds a terminal as its output."""

import os
import subprocess
from typing import Any


def written_on_a_terminal(command: list[Any], **options: Any) -> bytes:
    """All that the command prints, which is less than a terminal holds unread."""
    terminal, of_command = os.openpty()
    subprocess.run(command, stdout=of_command, check=True, **options)
    os.close(of_command)
    written = b""
    with os.fdopen(terminal, "rb", buffering=0) as output:
        try:
            while read := output.read(4096):  # which may be a part of what is there
                written += read
        except OSError:  # how Linux says that nobody can write any more
            pass
    return written
