"""An S3 server that does wrong what it is told: it is busy, slow, refuses, breaks connections, loses and cuts answers.

What is stored is that of ``s3_server``. A test file that wants the fixture ``faults`` imports ``faulty_s3`` and
``faulty_front``, and the fixtures of ``s3_server``.
"""

import re
import socket
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from fake_aws.s3_server import App, s3_server
from spark_code import locations

BREAK, LOSE_ANSWER, TRUNCATE, SLOW, HANG = "break", "lose answer", "truncate", "slow", "hang"
# The store asks once more by itself, and hardly waits.
ASKED_AT_ONCE = 2
_SLOW_SECONDS = 1.0
_IMPATIENCE = {"max_retries": ASKED_AT_ONCE - 1, "backoff": {"init_backoff": timedelta(milliseconds=1)}}


@dataclass
class _Fault:
    status: str
    """``503 SlowDown``: a status and S3's code; or what happens to the connection."""
    request: str
    """A pattern: ``GET /bucket/key?query``."""
    times: float
    after: int
    """How many of them are answered well before."""
    one_in: int
    """Of how many that follow the first one is hit."""


class Faults:
    """What is wrong with the next requests that match, and how many were hit."""

    def __init__(self) -> None:
        self.url = ""
        self.hits = 0
        self.requests: list[str] = []
        """All that came, as the patterns see them."""
        self._over = threading.Event()
        self._faults: list[_Fault] = []
        self._lock = threading.Lock()

    def add(
        self, status: str, request: str = "", times: float = float("inf"), *, after: int = 0, one_in: int = 1
    ) -> None:
        self._faults.append(_Fault(status, request, times, after, one_in))

    def clear(self) -> None:
        self._over.set()  # for requests that hang
        self._over = threading.Event()
        self.hits, self.requests, self._faults = 0, [], []

    def around(self, app: App) -> App:
        def faulty(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            fault = self._next(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}?{environ['QUERY_STRING']}")
            if fault is not None and fault.status in (SLOW, HANG):
                self._over.wait(_SLOW_SECONDS if fault.status == SLOW else None)
                fault = None
            if fault is None:
                return app(environ, start_response)
            if fault.status == TRUNCATE:
                return _half(app, environ, start_response)
            if fault.status in (BREAK, LOSE_ANSWER):
                if fault.status == LOSE_ANSWER:
                    list(app(environ, lambda *_: None))
                environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
                raise ConnectionResetError
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            code = fault.status.partition(" ")[2]
            error = f"<Error><Key>a</Key><Code>{code}</Code><Message>not now</Message></Error>"
            if fault.status.startswith("200"):  # as S3 refuses to delete some of several
                error = f"<DeleteResult>{error}</DeleteResult>"
            body = f"<?xml version='1.0'?>{error}".encode()
            start_response(fault.status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
            return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

        return faulty

    def _next(self, request: str) -> _Fault | None:
        with self._lock:
            self.requests.append(request)
            for fault in self._faults:
                if fault.times > 0 and re.search(fault.request, request):
                    fault.after -= 1
                    if fault.after >= 0 or (fault.after + 1) % fault.one_in:
                        continue
                    fault.times -= 1
                    self.hits += 1
                    return fault
        return None


def _half(app: App, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """An answer that says how long it is, and ends before."""
    whole = b"".join(app(environ, start_response))
    return [whole[: len(whole) // 2]]


@pytest.fixture(scope="session")
def faulty_front() -> Iterator[Faults]:
    """The running server."""
    faults = Faults()
    with s3_server(around=faults.around) as faults.url:
        yield faults
        faults.clear()


@pytest.fixture(name="faults")
def faulty_s3(s3_uri: str, faulty_front: Faults, monkeypatch: pytest.MonkeyPatch) -> Faults:
    """The server where AWS_* variables lead while the test runs; nothing is wrong yet."""
    del s3_uri  # it sets credentials, and makes a bucket
    monkeypatch.setenv("AWS_ENDPOINT_URL", faulty_front.url)
    monkeypatch.setattr(locations, "_PATIENCE", _IMPATIENCE)
    faulty_front.clear()
    return faulty_front
