"""A webhook on loopback that remembers what it was sent, and can be told to refuse or to hang.

Tests below ``capstone_dagster`` have the fixtures; others import them.
"""

import json
import threading
from collections import deque
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest


class Webhook:
    """What one test sends to, as ``json://`` of apprise."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        """What it has taken."""
        self.asked = 0
        self._statuses: deque[int] = deque()
        self._is_hanging = False
        self._end = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}).start()

    def url(self, secrets: str = "", path: str = "alerts") -> str:
        """The channel, with what stands before the host."""
        return f"json://{secrets}127.0.0.1:{self._server.server_port}/{path}"

    @property
    def titles(self) -> list[str]:
        return [message["title"] for message in self.messages]

    def refuse(self, *statuses: int) -> None:
        """Answer the next messages so."""
        self._statuses += statuses

    def hang(self) -> None:
        """Answer nothing any more."""
        self._is_hanging = True

    def close(self) -> None:
        self._end.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                webhook.asked += 1
                message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if webhook._is_hanging:
                    webhook._end.wait()
                    return
                status = webhook._statuses.popleft() if webhook._statuses else 200
                if status == 200:
                    webhook.messages.append(message)
                self.send_response(status)
                self.end_headers()

            def log_message(self, *said: object) -> None:
                pass

        return Handler


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    """Where alerts of this test go."""
    server = Webhook()
    yield server
    server.close()


@pytest.fixture
def second_webhook() -> Iterator[Webhook]:
    """Where they go as well."""
    server = Webhook()
    yield server
    server.close()
