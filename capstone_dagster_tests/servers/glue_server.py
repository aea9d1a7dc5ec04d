"""A Glue catalog on loopback: moto's, behind a server that can refuse a call or let others come in before it.

A test file that wants the fixture ``glue`` imports ``glue_server`` and ``glue_front``, and the fixtures of
``s3_server``, where no conftest does.
"""

import functools
import json
import os
import threading
import urllib.error
import urllib.request
import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest

from spark_code.glue import GlueCatalog

Answer = tuple[int, dict[str, Any]]


class GlueServer:
    """One database for one test, every call that reached the server, and what it does to the next calls."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.database = f"lake_{uuid.uuid4().hex[:12]}"
        self.calls: list[str] = []
        self._answers: dict[str, deque[Answer]] = defaultdict(deque)
        self._arrivals: dict[str, deque[Callable[[], object]]] = defaultdict(deque)
        self.client.create_database(DatabaseInput={"Name": self.database})

    @property
    def client(self) -> Any:
        """What other programs see; its calls are not counted."""
        return _client_of(self.endpoint)

    def refuse(self, action: str, code: str, *, times: int = 1) -> None:
        """Answer the next calls with an error."""
        self._answers[action] += [(400, {"__type": code, "Message": "not now"})] * times

    def fail_inside(self, action: str, values: list[str], code: str) -> None:
        """Answer the next call with success and one partition that failed."""
        error = {"PartitionValues": values, "ErrorDetail": {"ErrorCode": code, "ErrorMessage": "not this one"}}
        self._answers[action].append((200, {"Errors": [error]}))

    def before(self, action: str, do: Callable[[], object], *, times: int = 1) -> None:
        """Let something happen just before the next calls get through."""
        self._arrivals[action] += [do] * times

    def table(self, name: str) -> dict[str, Any]:
        table: dict[str, Any] = self.client.get_table(DatabaseName=self.database, Name=name)["Table"]
        return table

    def locations(self, name: str) -> dict[tuple[str, ...], str]:
        """Where a reader of the table is sent, by the values of the partition keys."""
        answer = self.client.get_partitions(DatabaseName=self.database, TableName=name)
        return {tuple(each["Values"]): each["StorageDescriptor"]["Location"] for each in answer["Partitions"]}

    def handle(self, action: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        self.calls.append(action)
        if arrivals := self._arrivals[action]:
            arrivals.popleft()()
        if answers := self._answers[action]:
            status, answer = answers.popleft()
            return status, json.dumps(answer).encode()
        call = urllib.request.Request(self.endpoint, body, headers)  # noqa: S310 -- moto, on loopback
        try:
            with urllib.request.urlopen(call) as found:  # noqa: S310
                return found.status, found.read()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read()


class _Server(ThreadingHTTPServer):
    """Hands every call to the test that is running."""

    glue: GlueServer


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # it would cost 40 milliseconds a call

    def do_POST(self) -> None:
        action = self.headers["X-Amz-Target"].rpartition(".")[2]
        headers = {name: self.headers[name] for name in ("X-Amz-Target", "Authorization", "Content-Type")}
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status, answer = self.server.glue.handle(action, headers, body)
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        """The calls are kept anyway."""


@pytest.fixture(scope="session")
def glue_front() -> Iterator[_Server]:
    """The running server."""
    server = _Server(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(name="glue")
def glue_server(s3_uri: str, s3_endpoint: str, glue_front: _Server, monkeypatch: pytest.MonkeyPatch) -> GlueServer:
    """An empty database, where AWS_* variables lead while the test runs."""
    del s3_uri  # it sets credentials
    monkeypatch.setenv("AWS_ENDPOINT_URL_GLUE", f"http://127.0.0.1:{glue_front.server_port}")
    glue_front.glue = GlueServer(s3_endpoint)
    return glue_front.glue


@functools.cache
def _client_of(endpoint: str) -> Any:
    return boto3.Session().client("glue", endpoint_url=endpoint)


@functools.cache
def client_of_catalogs(endpoint: str) -> Any:
    """The client that a catalog makes for itself, made once: it takes longer than most tests."""
    assert os.environ["AWS_ENDPOINT_URL_GLUE"] == endpoint
    return GlueCatalog("any")._client
