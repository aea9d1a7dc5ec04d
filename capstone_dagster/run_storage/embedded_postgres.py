"""A real Postgres server below CAPSTONE_HOME, shared by all processes that use this home.

It listens on a Unix socket only. Every process that uses it holds a shared lock, checks that it is alive, and restarts
it if it was killed; the last process to end stops it. The kernel releases the locks of killed processes: after a
`kill -9` of its last user, the server stays up only until the next user ends.
"""

import atexit
import fcntl
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from capstone_dagster.run_storage.postgres_programs import EmbeddedPostgresError
from capstone_dagster.run_storage.postgres_server import PostgresServer
from capstone_dagster.run_storage.private_folders import own_folder, own_home

_log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_served_here: list[Path] = []  # the homes whose server this process keeps running


@contextmanager
def serving(home: Path) -> Iterator[str]:
    """Keep the server below ``home`` running for the duration; yields its URL.

    A child started with ``close_fds=False`` holds the lock too, so that the server may outlast this process.
    """
    own_home(home)
    own_folder(home / "logs")
    home = home.resolve()
    server = PostgresServer(home)
    with exclusive(home) as lock:
        users = _open(home / ".postgres.users.lock")
        try:
            fcntl.flock(users, fcntl.LOCK_SH)
            os.set_inheritable(users, True)
            server.ensure_running(lock)
        except OSError as error:
            _leave(home, server, users)
            raise EmbeddedPostgresError(f"{error.filename or home} cannot be used: {error.strerror}") from error
        except BaseException:
            _leave(home, server, users)
            raise
    try:
        _served_here.append(home)
        with _kept_alive(home, server):
            yield server.url
    finally:
        _served_here.remove(home)
        with exclusive(home):
            _leave(home, server, users)


def serve_to_the_end(home: Path) -> None:
    """Keep the server running until this process ends: Dagster may still write to it when our code has finished."""
    if home.resolve() not in _served_here:
        use = ExitStack()
        use.enter_context(serving(home))
        atexit.register(use.close)


def is_of(home: Path, url: str) -> bool:
    """Whether the URL belongs to the server below this home."""
    return home.is_dir() and PostgresServer(home.resolve()).url == url


@contextmanager
def _kept_alive(home: Path, server: PostgresServer) -> Iterator[None]:
    ended = threading.Event()
    keeper = threading.Thread(target=_keep_alive, args=(home, server, ended), name="embedded-postgres", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        ended.set()
        keeper.join()


def _keep_alive(home: Path, server: PostgresServer, ended: threading.Event) -> None:
    logged = ""
    while not ended.wait(_LOOK_SECONDS):
        if server.is_alive():
            continue
        try:
            with exclusive(home) as lock:
                if ended.is_set():
                    return
                server.ensure_running(lock)
            logged = ""
        except Exception as error:  # noqa: BLE001 - any error is tried again, and logged once
            if str(error) != logged:
                _log.warning("%s", error)
            logged = str(error)


@contextmanager
def exclusive(home: Path) -> Iterator[int]:
    """Hold the lock for starting, initializing and stopping the server; yields its descriptor."""
    descriptor = _open(home / ".postgres.lock")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _open(lock: Path) -> int:
    """Open a lock file that no other user may open: even a reader of the file could take the lock."""
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        os.fchmod(descriptor, 0o600)
    except OSError as error:
        raise EmbeddedPostgresError(f"{lock} cannot be used: {error.strerror}; remove it") from None
    return descriptor


def _leave(home: Path, server: PostgresServer, users: int) -> None:
    """Stop using the server, and stop it if nobody else uses it; call this under the exclusive lock."""
    os.close(users)  # children that have inherited it keep the lock
    others = _open(home / ".postgres.users.lock")
    try:
        fcntl.flock(others, fcntl.LOCK_EX | fcntl.LOCK_NB)
        server.stop()
    except BlockingIOError:
        pass
    finally:
        os.close(others)
