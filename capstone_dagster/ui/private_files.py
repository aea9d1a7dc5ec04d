"""Files that decide who may do what: they belong to this user, and nobody else can write to them.

The folders of the home are in ``run_storage.private_folders``.
"""

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from spark_code.errors import ExpectedError

WRITABLE, OPEN = 0o022, 0o077
"""What other users must not be allowed: to write to a file, or to use it at all."""


class PrivateFileError(ExpectedError):
    """A file is not there, or other users could have changed it."""


def is_there(file: Path) -> bool:
    """Whether it exists; an error if that cannot be found out."""
    try:
        file.stat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise PrivateFileError(f"{file} cannot be read: {error.strerror}") from None
    return True


def read_private(file: Path, forbidden: int) -> bytes:
    """Its content; a file on which others have one of these permissions is refused."""
    try:
        with file.open("rb") as opened:
            found = os.fstat(opened.fileno())
            content = opened.read()
    except OSError as error:
        raise PrivateFileError(f"{file} cannot be read: {error.strerror}") from None
    if found.st_uid not in (os.geteuid(), 0):
        raise PrivateFileError(f"{file} belongs to another user, who can change it; make it your own (chown)")
    if stat.S_IMODE(found.st_mode) & forbidden:
        raise PrivateFileError(f"other users have access to {file}; remove it: chmod 600 '{file}'")
    return content


def write_private(file: Path, content: bytes, *, once: bool = False) -> None:
    """Write a file for this user alone, whole or not at all; ``once`` keeps one that is there."""
    try:
        number, part = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        try:
            with os.fdopen(number, "wb") as opened:
                opened.write(content)
                opened.flush()
                os.fsync(number)
            if once:
                with suppress(FileExistsError):
                    os.link(part, file)
            else:
                Path(part).replace(file)
        finally:
            Path(part).unlink(missing_ok=True)
    except OSError as error:
        raise PrivateFileError(f"{file} cannot be written: {error.strerror}") from None
