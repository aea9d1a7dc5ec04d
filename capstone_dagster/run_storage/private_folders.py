"""Folders that belong to one user alone: the home, its subfolders, and one with a short path for a socket.

Whoever can write into such a folder decides what this user reads and runs. So a folder that another user has made is
refused, wherever it is.
"""

import os
import pwd
import stat
import tempfile
from pathlib import Path

from spark_code.errors import ExpectedError

_FOR_ITS_USER = 0o700


class FolderError(ExpectedError):
    """A folder cannot be created or written, or another user has made it."""


def own_home(home: Path) -> None:
    """Create the home, for this user alone; refuse one that another user has made, or that cannot be written.

    An existing home keeps its mode: other users may read the tables below it.
    """
    try:
        home.mkdir(mode=_FOR_ITS_USER, parents=True, exist_ok=True)
        found = home.stat()
    except OSError as error:
        raise FolderError(f"CAPSTONE_HOME: {home} cannot be created: {error.strerror}") from None
    if found.st_uid != os.geteuid():
        raise FolderError(
            f"CAPSTONE_HOME: {home} was made by {_name(found.st_uid)}, and you are {_name(os.geteuid())}; "
            "name a folder of your own"
        )
    if found.st_mode & stat.S_IWOTH:
        raise FolderError(f"CAPSTONE_HOME: every user can write to {home}; name a folder of your own")
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        raise FolderError(f"CAPSTONE_HOME: {home} cannot be written; allow it (chmod u+rwx) or name another folder")


def own_folder(folder: Path) -> None:
    """Create a folder in the home for this program alone, and close it to other users."""
    try:
        folder.mkdir(mode=_FOR_ITS_USER, exist_ok=True)
        found = folder.lstat()  # not stat(), which would close the target of a link
        if not stat.S_ISDIR(found.st_mode):
            raise FolderError(f"{folder} is not a folder; remove it")
        if found.st_uid != os.geteuid():
            raise FolderError(
                f"{folder} was made by {_name(found.st_uid)}, and you are {_name(os.geteuid())}; move it away, "
                "or set CAPSTONE_HOME to a folder of your own"
            )
        if stat.S_IMODE(found.st_mode) & ~_FOR_ITS_USER:
            folder.chmod(_FOR_ITS_USER)
    except OSError as error:
        raise FolderError(f"{folder} cannot be used: {error.strerror}; set CAPSTONE_HOME to another folder") from None
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise FolderError(f"{folder} cannot be written; allow it: chmod u+rwx '{folder}'")


def short_folder(record: Path, user: pwd.struct_passwd | None) -> Path:
    """A folder in the temp directory, for a socket that needs a short path; the file ``record`` names the folder.

    Nobody can guess its name in advance. A recorded folder is used again only if it still belongs to this user.
    """
    known = recorded_folder(record)
    if known and (is_private(known, user) or _made(known, user)):
        return known
    folder = Path(tempfile.mkdtemp(prefix="capstone-"))
    _give(folder, user)
    part = record.with_name(f"{record.name}.part")
    part.write_text(str(folder))
    part.replace(record)
    return folder


def recorded_folder(record: Path) -> Path | None:
    """The folder that the file names, if it does."""
    try:
        text = record.read_text()
    except (OSError, UnicodeDecodeError):
        return None
    return Path(text) if text.startswith("/") and Path(text).name.startswith("capstone-") else None


def is_private(folder: Path, user: pwd.struct_passwd | None) -> bool:
    """Whether it is a real folder of the user, or of this process's user, and closed to everybody else."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    owner = user.pw_uid if user else os.geteuid()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == owner and not found.st_mode & ~_FOR_ITS_USER & 0o777


def _made(folder: Path, user: pwd.struct_passwd | None) -> bool:
    """Create it again under the name that its users know, after the temp directory was emptied."""
    try:
        folder.mkdir(mode=_FOR_ITS_USER)
    except OSError:
        return False
    _give(folder, user)
    return True


def _give(folder: Path, user: pwd.struct_passwd | None) -> None:
    if user:
        os.chown(folder, user.pw_uid, user.pw_gid, follow_symlinks=False)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
