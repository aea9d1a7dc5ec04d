"""The data folder of the embedded Postgres: created completely or not at all, and repaired where that is safe.

A new folder is created beside the old one and renamed, so an interruption leaves a complete folder or none. Call this
module only while no server runs on the folder, and under the lock that only one process holds.
"""

import glob
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from capstone_dagster.run_storage.postgres_programs import VERSION, EmbeddedPostgresError, environment, start

_INITDB_SECONDS = 600
# The files of initdb, of the server and of earlier releases.
_KNOWN = re.compile(
    r"base|global|pg_\w+(\.conf)?|PG_VERSION(\.part)?|postgresql(\.auto)?\.conf(\.tmp)?|postmaster\.(pid|opts)|server\.log"
    r"|\.handle_pids\.json|\.s\.PGSQL\.\d+(\.lock)?"
)
_TEMPLATES = {"1", "4"}  # template1 and template0, as folders below base


@dataclass(frozen=True)
class DataFolder:
    """The data below ``path``; the output of initdb goes to ``log``."""

    path: Path
    log: Path
    user: pwd.struct_passwd | None

    def make_ready(self, lock: int) -> None:
        """Create the folder if it does not exist or was never finished; refuse one that the server cannot use.

        ``lock`` is the descriptor of the lock: initdb inherits it, so that nobody else begins before initdb has ended,
        even if this process is killed.
        """
        for unfinished in self.path.parent.glob(f"{glob.escape(self._beside)}*"):
            shutil.rmtree(unfinished, ignore_errors=True)
        if not os.path.lexists(self.path):
            self.make_anew(lock)
            return
        if not self.path.is_dir():
            raise EmbeddedPostgresError(
                f"{self.path} is not a folder, and the embedded Postgres needs a folder there; move it away"
            )
        if self.path.stat().st_uid not in {os.geteuid(), self._owner}:
            raise EmbeddedPostgresError(
                f"{self.path} was made by another user; move it away, or set CAPSTONE_HOME to a folder of your own"
            )
        version = _version_in(self.path)
        if version not in ("", VERSION):
            raise EmbeddedPostgresError(
                f"{self.path} holds data of Postgres {version[:20]!r}, and this release has {VERSION}; use the "
                "release that made it, or move it away"
            )
        if self._was_never_finished():
            self.make_anew(lock)
        elif not version:
            self._write_version()

    def make_anew(self, lock: int) -> None:
        """Create a new database cluster, and replace what is there."""
        new = self._new_folder()
        try:
            self._initialize(new, lock)
            if os.path.lexists(self.path):
                self.path.rename(self._new_folder() / "old")
            new.rename(self.path)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
        _sync(self.path.parent)
        for unfinished in self.path.parent.glob(f"{glob.escape(self._beside)}*"):
            shutil.rmtree(unfinished, ignore_errors=True)

    @property
    def _beside(self) -> str:
        return f".{self.path.name}.unfinished."

    @property
    def _owner(self) -> int:
        return self.user.pw_uid if self.user else os.geteuid()

    def _new_folder(self) -> Path:
        new = Path(tempfile.mkdtemp(prefix=self._beside, dir=self.path.parent))
        if self.user:
            os.chown(new, self.user.pw_uid, self.user.pw_gid)
        return new

    def _initialize(self, new: Path, lock: int) -> None:
        arguments = ["--auth=trust", "--encoding=utf8", "-U", "postgres", "-D", str(new)]
        with self.log.open("ab") as log:
            initdb = start("initdb", arguments, self.user, stdout=log, env=environment(), cwd=new, pass_fds=(lock,))
        try:
            failed = initdb.wait(_INITDB_SECONDS)
        except BaseException as error:
            os.killpg(initdb.pid, signal.SIGKILL)
            initdb.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            failed = True
        if failed:
            raise EmbeddedPostgresError(
                f"the embedded Postgres could not create its data in {self.path}; the output of initdb is in {self.log}"
            )

    def _was_never_finished(self) -> bool:
        """Whether the folder certainly holds no database: initdb creates the first one at its end."""
        base = self.path / "base"
        databases = {entry.name for entry in base.iterdir()} if base.is_dir() else set()
        if any(name.isdigit() for name in databases - _TEMPLATES):
            return False
        foreign = sorted(entry.name for entry in self.path.iterdir() if not _KNOWN.fullmatch(entry.name))
        if foreign:
            raise EmbeddedPostgresError(
                f"{self.path} holds no database, but other files ({foreign[0]!r}); the embedded Postgres needs this "
                "folder: move it away"
            )
        return True

    def _write_version(self) -> None:
        """Write the lost version again if another file of the data has it; the server itself checks the rest."""
        if _version_in(self.path / "base" / "1") != VERSION:
            raise EmbeddedPostgresError(
                f"{self.path / 'PG_VERSION'} is empty or missing, and its data may be damaged; restore {self.path} "
                "from a copy, or remove it: a new one is made, without the runs so far"
            )
        part = self.path / "PG_VERSION.part"
        part.write_text(f"{VERSION}\n")
        if self.user:
            os.chown(part, self.user.pw_uid, self.user.pw_gid)
        part.replace(self.path / "PG_VERSION")


def _version_in(folder: Path) -> str:
    try:
        return (folder / "PG_VERSION").read_text(errors="replace").strip("\0 \n")
    except OSError:
        return ""


def _sync(folder: Path) -> None:
    """Make a rename in the folder survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
