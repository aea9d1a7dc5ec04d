"""A lock beside a local file, for those who replace it; the kernel releases it even from a killed process."""

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from spark_code.locations import StorageError

# Replacing takes milliseconds: whoever holds the lock for longer is frozen.
_LONGEST_SECONDS, _PAUSE_SECONDS = 60.0, 0.01


@contextmanager
def locked(target: Path) -> Iterator[None]:
    """Hold the lock of a file, which need not exist."""
    target.parent.mkdir(parents=True, exist_ok=True)
    lock, deadline = target.parent / f".{target.name}.lock", time.monotonic() + _LONGEST_SECONDS
    with lock.open("w") as lock_file:
        while not _is_taken(lock_file):
            if time.monotonic() > deadline:
                raise StorageError(
                    f"{target} is locked by a process that has made no progress for {_LONGEST_SECONDS:.0f} s; "
                    f"end that process (fuser {lock} shows its id), and try again"
                )
            time.sleep(_PAUSE_SECONDS)
        yield


def _is_taken(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
