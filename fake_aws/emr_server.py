"""EMR's protocol on loopback: JSON 1.1 over HTTP, one operation per POST, named in a header.

It logs each call, and answers wrongly if a trouble waits for it. Another process tells the fake to misbehave with the
same protocol: ``X-Amz-Target: FakeEmr.<method of Misbehaviour>``, with the method's arguments as members, `operations`
for the positional ones.
"""

import json
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from fake_aws.errors import EmrError
from fake_aws.misbehaviour import CallTrouble, Misbehaviour

_EMR = "ElasticMapReduce"
_TELL = "FakeEmr"
# The methods that another process may call; the fake itself calls the rest of Misbehaviour.
_TELLABLE = frozenset(name for name in vars(Misbehaviour) if not name.startswith("_") and not name.startswith("for_"))


@dataclass(frozen=True)
class Call:
    """One request and how it was answered."""

    operation: str
    params: Mapping[str, Any]
    time: float
    answered: str
    """``ok``, the code of the error, or ``lost``."""


class EmrServer(ThreadingHTTPServer):
    """Serves the operations on 127.0.0.1 in its own threads."""

    daemon_threads = True
    # Several runs poll at once.
    request_queue_size = 64

    def __init__(self, port: int, operations: Callable[[str, Any], dict[str, Any]], tell: Misbehaviour) -> None:
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            raise OSError(f"cannot listen on port {port}: {error.strerror}") from error
        self.operations = operations
        self.tell = tell
        self.calls: list[Call] = []
        self.stopped = False
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def endpoint(self) -> str:
        """Its URL."""
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that have closed the connection."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def stop(self) -> None:
        """Stop answering, also on open connections."""
        self.stopped = True
        self.shutdown()
        self._thread.join()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: EmrServer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        service, _, operation = self.headers.get("X-Amz-Target", "").partition(".")
        # Pages in a browser can reach loopback too, under other host names.
        if self.server.stopped or self.headers.get("Host") not in self._names():
            self._drop()
            return
        try:
            params = json.loads(body or b"{}")
            if service == _TELL:
                self._answer(200, self._tell(operation, params))
            else:
                self._call(operation if service == _EMR else "", params)
        except ValueError as error:
            self._refuse(EmrError("SerializationException", str(error)))
        except EmrError as error:
            self._refuse(error)

    def _call(self, operation: str, params: Any) -> None:
        trouble = self.server.tell.for_call(operation)
        answered = "lost"
        try:
            if trouble and trouble.kind != "lost answer":
                raise _error_of(trouble)
            answer = self.server.operations(operation, params)
            if not trouble:
                answered = "ok"
        except EmrError as error:
            answered = error.code
            raise
        finally:
            self.server.calls.append(Call(operation, params, time.time(), answered))
        if trouble:
            self._drop()
        else:
            self._answer(200, answer)

    def _tell(self, method: str, arguments: dict[str, Any]) -> dict[str, Any]:
        if method not in _TELLABLE:
            raise EmrError("UnknownOperationException", f"nobody can tell the fake EMR to {method}")
        positional = arguments.pop("operations", ())
        try:
            getattr(self.server.tell, method)(*positional, **arguments)
        except TypeError as error:
            raise EmrError("ValidationException", str(error)) from None
        return {}

    def _refuse(self, error: EmrError) -> None:
        self._answer(error.status, {"__type": error.code, "message": error.message} if error.message else None)

    def _answer(self, status: int, content: dict[str, Any] | None) -> None:
        data = b"" if content is None else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("x-amzn-RequestId", str(uuid.uuid4()))
        self.end_headers()
        self.wfile.write(data)

    def _drop(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _names(self) -> tuple[str, str]:
        return (f"127.0.0.1:{self.server.server_port}", f"localhost:{self.server.server_port}")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name it has in the standard library
        """Print nothing on stderr: ``calls`` has the calls."""


def _error_of(trouble: CallTrouble) -> EmrError:
    if trouble.kind == "throttle":
        return EmrError("ThrottlingException", "Rate exceeded", trouble.status)
    message = "An internal server error occurred." if trouble.kind == "internal error" else ""
    return EmrError("InternalServerError", message, trouble.status)
