"""A browser or a program that talks to the UI of people who sign in, as far as tests need one."""

import json
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import urlencode

from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from capstone_dagster_tests.builders.ui_users import quick_hash
from capstone_dagster_tests.servers.dagster_services import Services

PASSWORD, HASH = "a long password", quick_hash("a long password")
FORM, JSON = {"Content-Type": "application/x-www-form-urlencoded"}, {"Content-Type": "application/json"}
QUERY = "query Version { version }"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: str

    @property
    def data(self) -> Any:
        return json.loads(self.body)

    @property
    def cookie(self) -> dict[str, str]:
        """What a browser sends from now on."""
        return {"Cookie": self.headers["set-cookie"].partition(";")[0]}


def ask(
    ui: Services, method: str, path: str, headers: Mapping[str, str] = {}, body: str = "", source: str = "127.0.0.1"
) -> Answer:
    with closing(HTTPConnection("127.0.0.1", ui.port, timeout=60, source_address=(source, 0))) as connection:
        connection.request(method, path, body, dict(headers))
        told: HTTPResponse = connection.getresponse()
        return Answer(told.status, {name.lower(): value for name, value in told.getheaders()}, told.read().decode())


def graphql(ui: Services, headers: Mapping[str, str], body: object, source: str = "127.0.0.1") -> Answer:
    return ask(ui, "POST", "/graphql", {**JSON, **headers}, json.dumps(body), source)


def sign_in(
    ui: Services, name: str, password: str = PASSWORD, then: str = "/runs", source: str = "127.0.0.1", **headers: str
) -> Answer:
    form = urlencode({"name": name, "password": password, "next": then})
    return ask(ui, "POST", "/sign-in", {**FORM, **headers}, form, source)


def signed_in(ui: Services, name: str, **more: str) -> dict[str, str]:
    answer = sign_in(ui, name, **more)
    assert answer.status == 303, answer
    return answer.cookie


def status_of_query(ui: Services, headers: Mapping[str, str]) -> int:
    return graphql(ui, headers, {"query": QUERY}).status


@contextmanager
def websocket_of(ui: Services, headers: Mapping[str, str]) -> Iterator[ClientConnection]:
    with connect(
        f"ws://127.0.0.1:{ui.port}/graphql", additional_headers=headers, subprotocols=[Subprotocol("graphql-ws")]
    ) as opened:
        opened.send(json.dumps({"type": "connection_init"}))
        assert json.loads(opened.recv(timeout=60)) == {"type": "connection_ack"}
        yield opened
