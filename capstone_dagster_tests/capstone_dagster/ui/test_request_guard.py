"""Which requests reach Dagster's webserver: the middleware alone, around an application that answers everything."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from capstone_dagster.settings import Settings
from capstone_dagster.ui.private_files import PrivateFileError
from capstone_dagster.ui.request_guard import OpenDoorError, RequestGuard, allowed_hosts, require_sign_in
from capstone_dagster.ui.users import Account
from capstone_dagster_tests.builders.ui_users import put_user

HOME = {"CAPSTONE_HOME": "/data"}
UI = "127.0.0.1:3000"
MUTATION, QUERY = "mutation { reloadWorkspace { __typename } }", "{ version }"
JSON, FORM = {"Content-Type": "application/json"}, {"Content-Type": "application/x-www-form-urlencoded"}
LINK = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


async def _dagster(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
    else:
        await PlainTextResponse("let in")(scope, receive, send)


def _asked(
    method: str,
    target: str,
    headers: Mapping[str, str] | list[tuple[str, str]],
    settings: Mapping[str, str] = HOME,
    listening: str = "127.0.0.1",
) -> list[Message]:
    """What the middleware sends; the method WEBSOCKET is a handshake."""
    path, _, query = target.partition("?")
    given = [("Host", UI), *headers.items()] if isinstance(headers, Mapping) else headers
    scope = {
        "type": "websocket" if method == "WEBSOCKET" else "http",
        "method": method,
        "path": path,
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in given],
    }
    if method == "WEBSOCKET":
        del scope["method"]
    sent: list[Message] = []

    async def receive() -> Message:
        raise AssertionError("nothing is read before it is let in")

    async def send(message: Message) -> None:
        sent.append(message)

    guard = RequestGuard(_dagster, allowed_hosts(Settings.from_mapping(settings), listening))
    asyncio.run(guard(scope, receive, send))
    return sent


def _status(sent: list[Message]) -> int:
    status: int = sent[0].get("status", {"websocket.accept": 101, "websocket.close": 403}.get(sent[0]["type"]))
    return status


LET_IN = {
    "the page of the UI": ("GET", "/", {}),
    "a page that a person has typed": ("GET", "/runs", {"Sec-Fetch-Site": "none"}),
    "the UI's own question": ("POST", "/graphql", JSON | {"Origin": f"http://{UI}", "Sec-Fetch-Site": "same-origin"}),
    "one with a charset": ("POST", "/graphql", {"Content-Type": "application/json; charset=utf-8"}),
    "a client that is no browser": ("POST", "/graphql", JSON),
    "a query by GET": ("GET", f"/graphql?query={quote(QUERY)}", {}),
    "GraphiQL": ("GET", "/graphql", {"Accept": "text/html", "Sec-Fetch-Site": "none"}),
    "the link of an alert": ("GET", "/runs/1234", LINK),
    "the UI's websocket": ("WEBSOCKET", "/graphql", {"Origin": f"http://{UI}"}),
    "a websocket of no browser": ("WEBSOCKET", "/graphql", {}),
    "a script that is asked whether the UI is up": ("HEAD", "/server_info", {}),
    "the form of the sign-in page": ("POST", "/sign-in", FORM | {"Origin": f"http://{UI}"}),
    "what reports an asset": ("POST", "/report_asset_materialization/raw/nyse", JSON),
}


@pytest.mark.parametrize(("method", "target", "headers"), LET_IN.values(), ids=LET_IN)
def test_what_people_and_their_programs_ask_is_let_in(method: str, target: str, headers: dict[str, str]) -> None:
    assert _status(_asked(method, target, headers)) in (200, 101)


REFUSED = {
    "another origin": ("POST", "/graphql", JSON | {"Origin": "http://evil.example"}, 403, "Origin"),
    "another port of this machine": ("POST", "/graphql", JSON | {"Origin": "http://127.0.0.1:8888"}, 403, "Origin"),
    "another name of this machine": ("POST", "/graphql", JSON | {"Origin": "http://localhost:3000"}, 403, "Origin"),
    "an origin that hides": ("POST", "/graphql", JSON | {"Origin": "null"}, 403, "Origin"),
    "an image elsewhere": ("GET", f"/graphql?query={quote(QUERY)}", {"Sec-Fetch-Site": "cross-site"}, 403, "Sec-Fetch"),
    "an image of a neighbour": ("GET", "/", {"Sec-Fetch-Site": "same-site"}, 403, "Sec-Fetch-Site"),
    "a frame elsewhere": ("GET", "/", LINK | {"Sec-Fetch-Dest": "iframe"}, 403, "Sec-Fetch-Site"),
    "a link to a question": ("GET", f"/graphql?query={quote(QUERY)}", LINK, 403, "Sec-Fetch-Site"),
    "a form elsewhere": ("POST", "/graphql", LINK | JSON, 403, "Sec-Fetch-Site"),
    "a mutation by GET": ("GET", f"/graphql?query={quote(MUTATION)}", {}, 405, "POST"),
    "a mutation behind a query": ("GET", f"/graphql?query={quote(f'query a {QUERY} {MUTATION}')}", {}, 405, "POST"),
    "a mutation behind another query": ("GET", f"/graphql?query={QUERY}&query={quote(MUTATION)}", {}, 405, "POST"),
    # As Starlette's routes take it: the path with a line break at its end.
    "a mutation by another path": ("GET", f"/graphql\n?query={quote(MUTATION)}", {}, 405, "POST"),
    "a mutation by HEAD": ("HEAD", f"/graphql?query={quote(MUTATION)}", {}, 405, "POST"),
    "a subscription by GET": ("GET", f"/graphql?query={quote('subscription { x }')}", {}, 405, "POST"),
    "no GraphQL": ("GET", "/graphql?query=%7B", {}, 400, "GraphQL"),
    "no GraphQL without an end": ("GET", f"/graphql?query={'{a' * 5_000}", {}, 400, "GraphQL"),
    "a form": ("POST", "/graphql", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "application/json"),
    "a form with a file": ("POST", "/graphql", {"Content-Type": "multipart/form-data"}, 415, "application/json"),
    "plain text": ("POST", "/graphql", {"Content-Type": "text/plain"}, 415, "application/json"),
    "text that looks like JSON": ("POST", "/graphql", {"Content-Type": "text/plain;application/json"}, 415, "must be"),
    "GraphQL's own type": ("POST", "/graphql", {"Content-Type": "application/graphql"}, 415, "application/json"),
    "a form where the sign-in is not": ("POST", "/sign-in/", FORM, 415, "application/json"),
    "no form where the sign-in is": ("POST", "/sign-in", {"Content-Type": "text/plain"}, 415, "x-www-form-urlencoded"),
    "a form of another site": ("POST", "/sign-in", FORM | {"Origin": "http://evil.example"}, 403, "Origin"),
    "no type": ("POST", f"/graphql?query={quote(MUTATION)}", {}, 415, "application/json"),
    "a report without a body": ("POST", "/report_asset_materialization/raw/nyse?data_version=1", {}, 415, "must be"),
}


@pytest.mark.parametrize(("method", "target", "headers", "status", "named"), REFUSED.values(), ids=REFUSED)
def test_what_another_page_could_send_is_refused_in_a_sentence(
    method: str, target: str, headers: dict[str, str], status: int, named: str
) -> None:
    start, body = _asked(method, target, headers)

    assert start["status"] == status
    assert body["body"].decode().startswith("Refused: ")
    assert named in body["body"].decode()


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:3000", "127.0.0.1.evil.example", "localhost@evil.example", "localhost:3000:1", ""],
)
@pytest.mark.parametrize("method", ["GET", "POST", "WEBSOCKET"])
def test_a_name_that_was_bound_to_this_machine_is_refused(method: str, host: str) -> None:
    sent = _asked(method, "/graphql", [("Host", host), *JSON.items(), ("Origin", f"http://{host}")])

    assert _status(sent) == (403 if method == "WEBSOCKET" else 421)
    assert method == "WEBSOCKET" or "CAPSTONE_UI_HOSTS" in sent[1]["body"].decode()


@pytest.mark.parametrize("hosts", [[], ["127.0.0.1:3000", "127.0.0.1:3000"], ["127.0.0.1:3000", "evil.example"]])
def test_a_request_with_no_host_or_with_several_is_refused(hosts: list[str]) -> None:
    assert _status(_asked("GET", "/", [("Host", host) for host in hosts])) == 421


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:8888"])
def test_a_websocket_of_another_page_is_refused(origin: str) -> None:
    assert _asked("WEBSOCKET", "/graphql", {"Origin": origin}) == [{"type": "websocket.close", "code": 1008}]


NAMED = HOME | {
    "CAPSTONE_UI_URL": "https://market.example.com/dagster",
    "CAPSTONE_UI_HOSTS": "Dagster.internal, [fe80::1]",
}


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.0.0.1:3001", "localhost:9999", "LOCALHOST", "[::1]:3000"),
        *("market.example.com", "dagster.internal:8443", "DAGSTER.internal", "[fe80::1]"),
    ],
)
def test_the_ui_is_opened_under_the_names_of_this_machine_and_those_of_the_settings_on_any_port(host: str) -> None:
    own = [("Host", host), ("Origin", f"https://{host}"), *JSON.items()]

    assert _status(_asked("POST", "/graphql", own, NAMED)) == 200
    assert _status(_asked("WEBSOCKET", "/graphql", own, NAMED)) == 101


@pytest.mark.parametrize(
    ("listening", "host", "status"),
    [
        ("192.168.1.5", "192.168.1.5:3000", 200),
        ("[fe80::2]", "[fe80::2]:3000", 200),
        ("0.0.0.0", "localhost:3000", 200),  # noqa: S104 -- no server listens here
        ("0.0.0.0", "0.0.0.0:3000", 421),  # noqa: S104
        ("[::]", "[::]:3000", 421),
    ],
)
def test_the_ui_is_opened_at_the_address_that_it_was_told_to_listen_on(listening: str, host: str, status: int) -> None:
    assert _status(_asked("GET", "/", [("Host", host)], listening=listening)) == status


@pytest.mark.parametrize("listening", ["0.0.0.0", "::", "192.168.1.5", "market.example.com"])  # noqa: S104
def test_for_other_machines_the_ui_is_only_served_if_people_sign_in(listening: str, tmp_path: Path) -> None:
    users = tmp_path / "users.json"
    with pytest.raises(OpenDoorError, match=f"listening on {listening} would open the UI to other machines without"):
        require_sign_in(Settings.from_mapping(HOME), listening)
    require_sign_in(Settings.from_mapping(HOME | {"CAPSTONE_UI_PROXY": "10.0.0.5"}), listening)
    with pytest.raises(PrivateFileError, match="does not exist; create it with"):
        require_sign_in(Settings.from_mapping(HOME | {"CAPSTONE_UI_USERS": f"{users}"}), listening)
    put_user(users, "anna", Account(role="operator"))
    require_sign_in(Settings.from_mapping(HOME | {"CAPSTONE_UI_USERS": f"{users}"}), listening)


@pytest.mark.parametrize("listening", ["127.0.0.1", "127.0.0.9", "::1", "localhost"])
def test_on_this_machine_nobody_has_to_sign_in(listening: str) -> None:
    require_sign_in(Settings.from_mapping(HOME), listening)


def test_no_other_site_may_show_the_ui_in_a_frame() -> None:
    assert (b"x-frame-options", b"SAMEORIGIN") in _asked("GET", "/", {})[0]["headers"]
