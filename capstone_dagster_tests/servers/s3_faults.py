"""An S3 server that does wrong what it is told: it is busy, refuses, breaks connections, loses answers.

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

BREAK, LOSE_ANSWER = "break", "lose answer"
# The store asks once more by itself, and hardly waits.
ASKED_AT_ONCE = 2
_IMPATIENCE = {"max_retries": ASKED_AT_ONCE - 1, "backoff": {"init_backoff": timedelta(milliseconds=1)}}


@dataclass
class _Fault:
    status: str
    """``503 SlowDown``: a status and S3's code; or what happens to the connection."""
    request: str
    """A pattern: ``GET /bucket/key?query``."""
    times: float


class Faults:
    """What is wrong with the next requests that match, and how many were hit."""

    def __init__(self) -> None:
        self.url = ""
        self.hits = 0
        self._faults: list[_Fault] = []
        self._lock = threading.Lock()

    def add(self, status: str, request: str, times: float = float("inf")) -> None:
        self._faults.append(_Fault(status, request, times))

    def clear(self) -> None:
        self.hits, self._faults = 0, []

    def around(self, app: App) -> App:
        def faulty(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            fault = self._next(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}?{environ['QUERY_STRING']}")
            if fault is None:
                return app(environ, start_response)
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
            for fault in self._faults:
                if fault.times > 0 and re.search(fault.request, request):
                    fault.times -= 1
                    self.hits += 1
                    return fault
        return None


@pytest.fixture(scope="session")
def faulty_front() -> Iterator[Faults]:
    """The running server."""
    faults = Faults()
    with s3_server(around=faults.around) as faults.url:
        yield faults


@pytest.fixture(name="faults")
def faulty_s3(s3_uri: str, faulty_front: Faults, monkeypatch: pytest.MonkeyPatch) -> Faults:
    """The server where AWS_* variables lead while the test runs; nothing is wrong yet."""
    del s3_uri  # it sets credentials, and makes a bucket
    monkeypatch.setenv("AWS_ENDPOINT_URL", faulty_front.url)
    monkeypatch.setattr(locations, "_PATIENCE", _IMPATIENCE)
    faulty_front.clear()
    return faulty_front
