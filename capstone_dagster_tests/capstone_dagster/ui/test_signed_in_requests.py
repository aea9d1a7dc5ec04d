"""The middleware of the sign-in alone, around an application that answers everything: proxies, https, websockets."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from capstone_dagster.settings import Settings
from capstone_dagster.ui.audit import Audit
from capstone_dagster.ui.proxy import Proxy
from capstone_dagster.ui.sign_in import SignIn
from capstone_dagster.ui.users import Account, hash_of_token
from capstone_dagster_tests.builders.ui_users import put_user, quick_hash

PROXY = "fd00::5"
BY_PROXY = "Not signed in: open this page through the proxy that signs you in."
PIA = {"X-Forwarded-User": "pia", "X-Forwarded-Groups": "operator"}


async def _dagster(scope: Scope, receive: Receive, send: Send) -> None:
    await PlainTextResponse(f"let in {scope['user']}")(scope, receive, send)


def _sign_in(home: Path, settings: Mapping[str, str], app: Any = _dagster) -> SignIn:
    read = Settings.from_mapping({"CAPSTONE_HOME": f"{home}", **settings})
    return SignIn(app, read, Audit(home), Proxy(read))


def _scope(path: str, headers: Mapping[str, str], source: str, kind: str = "http", method: str = "GET") -> Scope:
    given = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    about = {"path": path, "query_string": b"", "headers": given, "client": (source, 1), "method": method}
    return {"type": kind, **about}


def _asked(
    signing_in: SignIn, headers: Mapping[str, str], source: str, path: str = "/", body: str = ""
) -> tuple[int, dict[bytes, bytes], str]:
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body.encode()}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(signing_in(_scope(path, headers, source, method="POST" if body else "GET"), receive, send))
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"].decode()


def test_with_a_proxy_alone_only_its_word_counts_and_there_is_no_page_to_sign_in(tmp_path: Path) -> None:
    signing_in = _sign_in(tmp_path, {"CAPSTONE_UI_PROXY": PROXY})

    assert _asked(signing_in, PIA, PROXY)[0] == 200
    assert _asked(signing_in, PIA, "fd00::6")[0] == 401
    assert _asked(signing_in, {}, PROXY)[0] == 401
    assert _asked(signing_in, PIA | {"X-Forwarded-Groups": "staff"}, PROXY)[0] == 401
    for path in ("/", "/sign-in"):
        status, _, text = _asked(signing_in, {"Accept": "text/html"}, "fd00::6", path)
        assert (status, text) == (401, f"{BY_PROXY}\n")
    status, headers, text = _asked(signing_in, {}, "fd00::6")
    assert (status, json.loads(text)["errors"][0]["message"]) == (401, BY_PROXY)
    assert b"www-authenticate" not in headers


def test_what_one_user_sees_is_kept_out_of_shared_caches(tmp_path: Path) -> None:
    signing_in = _sign_in(tmp_path, {"CAPSTONE_UI_PROXY": PROXY})

    assert _asked(signing_in, PIA, PROXY)[1][b"cache-control"] == b"private"
    assert _asked(signing_in, {}, "fd00::6")[1][b"cache-control"] == b"private"
    assert _asked(signing_in, PIA, PROXY, "/sign-out", "-")[1][b"cache-control"] == b"no-store"


def test_a_proxy_whose_address_is_written_as_ipv6_is_the_same(tmp_path: Path) -> None:
    assert _asked(_sign_in(tmp_path, {"CAPSTONE_UI_PROXY": "10.0.0.5"}), PIA, "::ffff:10.0.0.5")[0] == 200


@pytest.mark.parametrize(("url", "is_secure"), [("https://ui.example", True), ("http://127.0.0.1:3000", False)])
def test_browsers_send_the_session_by_https_alone_if_people_open_the_ui_so(
    tmp_path: Path, url: str, is_secure: bool
) -> None:
    put_user(tmp_path / "users", "anna", Account(role="operator", password=quick_hash("a long password")))
    signing_in = _sign_in(tmp_path, {"CAPSTONE_UI_USERS": f"{tmp_path / 'users'}", "CAPSTONE_UI_URL": url})
    form = urlencode({"name": "anna", "password": "a long password"})

    status, headers, _ = _asked(signing_in, {}, "10.0.0.1", "/sign-in", form)

    assert status == 303
    assert (b"; Secure" in headers[b"set-cookie"]) == is_secure


def test_a_websocket_is_closed_before_it_tells_a_removed_user_anything(tmp_path: Path) -> None:
    users = tmp_path / "users"
    put_user(users, "anna", Account(role="viewer", token=hash_of_token("token")))
    sent: list[Message] = []

    async def telling(scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        await send({"type": "websocket.accept"})
        put_user(users, "anna", None)
        await send({"type": "websocket.send", "text": "secret"})
        await send({"type": "websocket.send", "text": "secret"})

    async def send(message: Message) -> None:
        sent.append(message)

    signing_in = _sign_in(tmp_path, {"CAPSTONE_UI_USERS": f"{users}"}, telling)
    scope = _scope("/graphql", {"Authorization": "Bearer token"}, "10.0.0.1", "websocket")
    asyncio.run(signing_in(scope, None, send))  # type: ignore[arg-type]

    assert sent == [{"type": "websocket.accept"}, {"type": "websocket.close", "code": 1008}]
