"""One Postgres server on a data folder: whether it runs, starting it, stopping it.

It runs if a process named postgres works in that very folder, or if something answers on its socket. The file
postmaster.pid counts only then: after a power failure its number may belong to any process. No other process is ever
signalled. Start and stop the server only under the lock that one process holds.
"""

import logging
import pwd
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import cached_property
from pathlib import Path
from shlex import quote as shell_quote
from urllib.parse import quote

import psutil
import psycopg2

from capstone_dagster.run_storage.postgres_data import DataFolder
from capstone_dagster.run_storage.postgres_programs import (
    EmbeddedPostgresError,
    environment,
    let_user_in,
    server_user,
    start,
)
from capstone_dagster.run_storage.private_folders import is_private, recorded_folder, short_folder

_log = logging.getLogger(__name__)

# Linux's limit for a socket's path is 107 bytes; Postgres appends /.s.PGSQL.5432 and .lock.
_LONGEST_SOCKET_FOLDER = 85
_PORT = 5432
_SOCKET_FILES = (f".s.PGSQL.{_PORT}", f".s.PGSQL.{_PORT}.lock")
_DATABASE = "postgres"
_LOG = "server.log"  # in the data folder
_PATIENCE_SECONDS = 60.0
_STOP_SECONDS = 90.0
# How long to wait for processes whose server was killed: at first without a signal, after SIGQUIT, after SIGKILL.
_ORPHAN_SECONDS = ((2.0, None), (3.0, signal.SIGQUIT), (5.0, signal.SIGKILL))
_PAUSE_SECONDS = 0.05
_PASSING = (
    "starting up",
    "shutting down",
    "recovery",
    "not yet accepting",
    "closed the connection",
    "timeout expired",
    "Connection refused",
    "No such file or directory",
)
_FULL = ("too many clients", "connection slots")


class PostgresServer:
    """The server below a home."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.data = (home / "postgres").resolve()
        self._socket_record = home / ".postgres.socket"

    @property
    def url(self) -> str:
        """The URL for clients; if the data's path is too long for a socket, valid only once the server was started."""
        return f"postgresql://postgres@/{_DATABASE}?host={quote(str(self._socket_folder))}&port={_PORT}"

    @cached_property
    def _user(self) -> pwd.struct_passwd | None:
        return server_user()

    @property
    def _is_short(self) -> bool:
        return len(str(self.data).encode()) <= _LONGEST_SOCKET_FOLDER

    @property
    def _socket_folder(self) -> Path | None:
        return self.data if self._is_short else recorded_folder(self._socket_record)

    def is_alive(self) -> bool:
        """Whether its process is alive; fast enough to ask often."""
        return self._named_postmaster() is not None

    def ensure_running(self, lock: int) -> None:
        """Start it if it does not run, and wait until it answers."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            if self._is_listening():
                refusal = self._refusal()
                if refusal is None:
                    return
                if f'database "{_DATABASE}" does not exist' in refusal and self._has_no_database():
                    self._make_anew(lock)
                    continue
                if not any(passing in refusal for passing in _PASSING):
                    raise EmbeddedPostgresError(
                        f"the embedded Postgres refuses connections: {refusal}; its log is {self._log_file}"
                    )
            elif self._postmaster() is None:
                self._start(lock)
                continue
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(
                    f"the embedded Postgres is running, but has not answered for {_PATIENCE_SECONDS:.0f} s; "
                    f"its log is {self._log_file}"
                )
            time.sleep(_PAUSE_SECONDS)

    def stop(self) -> None:
        """Stop it if it runs; the work with it is done, so a failure to stop is only logged."""
        postmaster = self._postmaster()
        if postmaster:
            with suppress(psutil.Error):  # gone meanwhile
                postmaster.send_signal(signal.SIGINT)  # Postgres' fast shutdown
            if not _within(_STOP_SECONDS, lambda: not self._is_ours(postmaster)):
                _log.warning("the embedded Postgres below %s was not stopped; its log is %s", self.data, self._log_file)
                return
        elif self._is_listening():
            _log.warning("the embedded Postgres below %s was not stopped: its process is hidden from here", self.data)
            return
        self._remove_socket_folder()

    @property
    def _log_file(self) -> Path:
        return self.data / _LOG

    def _start(self, lock: int) -> None:
        if self._user:
            let_user_in(self._user, self._home)
        self._end_orphans()
        initdb_log = self._home / "logs" / "initdb.log"
        DataFolder(self.data, initdb_log, self._user).make_ready(lock)
        folder = self.data if self._is_short else short_folder(self._socket_record, self._user)
        # Postgres trusts the numbers in these files, which may belong to other processes by now.
        for stale in (self.data / "postmaster.pid", *(folder / name for name in _SOCKET_FILES)):
            stale.unlink(missing_ok=True)
        options = f"-c listen_addresses='' -c lc_messages=C -p {_PORT} -k {shell_quote(str(folder))}"
        # The folder is not an argument: pg_ctl would pass it to a shell, which expands $ in it.
        started = start(
            "pg_ctl",
            ["start", "-w", "-t", f"{_PATIENCE_SECONDS:.0f}", "-l", _LOG, "-o", options],
            self._user,
            stdout=subprocess.DEVNULL,
            env=environment(PGDATA=str(self.data)),
            cwd=self.data,
        )
        try:
            failed = started.wait(_PATIENCE_SECONDS + 30)
        except BaseException as error:
            started.wait()  # so that stop() finds the server
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            failed = True
        if failed:
            raise EmbeddedPostgresError(
                f"the embedded Postgres below {self.data} did not start; its log is {self._log_file}"
            )

    def _make_anew(self, lock: int) -> None:
        """Replace a folder whose creation was interrupted before it had a database."""
        self.stop()
        if self._postmaster() or self._is_listening():
            raise EmbeddedPostgresError(f"the embedded Postgres below {self.data} does not stop; end its process")
        DataFolder(self.data, self._home / "logs" / "initdb.log", self._user).make_anew(lock)

    def _has_no_database(self) -> bool:
        try:
            with closing(psycopg2.connect(self.url, dbname="template1", connect_timeout=5)) as connection:
                cursor = connection.cursor()
                cursor.execute("SELECT count(*) FROM pg_database WHERE NOT datistemplate")
                [(number,)] = cursor.fetchall()
        except psycopg2.OperationalError:
            return False
        return not number

    def _is_listening(self) -> bool:
        folder = self._socket_folder
        if folder is None or not (self._is_short or is_private(folder, self._user)):
            return False
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            try:
                client.connect(str(folder / _SOCKET_FILES[0]))
            except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
                return False
            except OSError:  # too busy for one more
                return True
        return True

    def _refusal(self) -> str | None:
        """Why it refuses connections, or None if it accepts them."""
        try:
            psycopg2.connect(self.url, connect_timeout=5).close()
        except psycopg2.OperationalError as error:
            message = " ".join(str(error).split())
            return None if any(full in message for full in _FULL) else message
        return None

    def _named_postmaster(self) -> psutil.Process | None:
        """The process that postmaster.pid names, if it is a server of this folder."""
        try:
            first, _, _ = (self.data / "postmaster.pid").read_text(errors="replace").partition("\n")
            process = psutil.Process(int(first))
        except (OSError, ValueError, OverflowError, psutil.Error):
            return None
        return process if self._is_ours(process) and _is_postmaster(process) else None

    def _postmaster(self) -> psutil.Process | None:
        return self._named_postmaster() or next(filter(_is_postmaster, self._processes()), None)

    def _processes(self) -> Iterator[psutil.Process]:
        """The server's processes that are still there."""
        return filter(self._is_ours, psutil.process_iter())

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            is_postgres = process.name() == "postgres" and process.status() != psutil.STATUS_ZOMBIE
            return is_postgres and bool(process.cwd() == str(self.data))
        except psutil.Error:  # gone, or another user's
            return False

    def _end_orphans(self) -> None:
        """End the other processes of a server that was killed: they hold its memory until they notice."""
        for seconds, number in _ORPHAN_SECONDS:
            for orphan in self._processes() if number else ():
                with suppress(psutil.Error):
                    orphan.send_signal(number)
            if _within(seconds, lambda: not any(self._processes())):
                return
        raise EmbeddedPostgresError(
            f"the embedded Postgres below {self.data} was killed, and some of its processes do not end: "
            f"{', '.join(str(process.pid) for process in self._processes())}"
        )

    def _remove_socket_folder(self) -> None:
        """Remove a socket folder in the temp directory: the server's files, and the folder if it is empty then."""
        folder = None if self._is_short else recorded_folder(self._socket_record)
        if folder is None or not is_private(folder, self._user):
            return
        try:
            for name in _SOCKET_FILES:
                (folder / name).unlink(missing_ok=True)
            folder.rmdir()
        except OSError:  # it holds other files: the next server uses the folder again
            return
        self._socket_record.unlink(missing_ok=True)


def _is_postmaster(process: psutil.Process) -> bool:
    """Whether it is the main process: Postgres titles the others "postgres: " and what they do."""
    try:
        return not " ".join(process.cmdline()).startswith("postgres:")
    except psutil.Error:
        return False


def _within(seconds: float, is_so: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE_SECONDS)
    return True
