"""Which requests reach the UI: the middleware in front of Dagster's webserver.

Dagster's webserver has no login, and everybody it answers can launch runs. A page of another site must not reach it
through the browser of a person who has the UI open. So every request must name one of our hosts (a page that rebinds
its name to this machine does not), and must not come from another origin. GET changes nothing, and requests that
change something must be JSON, which a browser does not send to another site without asking that site first. The
form of the sign-in page is the only exception.

This does not restrict who can connect to the port: that is what ``sign_in`` is for, without which the port stays on
this machine.
"""

import re
from collections.abc import Collection
from ipaddress import ip_address

from graphql import GraphQLError, OperationDefinitionNode, OperationType, parse
from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from capstone_dagster.settings import Settings
from capstone_dagster.ui.users import read_users
from spark_code.errors import ExpectedError

SIGN_IN, SIGN_OUT = "/sign-in", "/sign-out"
GRAPHQL = "/graphql"
WITHOUT_BODY = ("GET", "HEAD", "OPTIONS")
# In a browser these names always mean this machine, whatever a page does.
_THIS_MACHINE = ("localhost", "127.0.0.1", "[::1]")
# A server listens on these, but nobody opens them.
_ALL_ADDRESSES = ("0.0.0.0", "[::]")  # noqa: S104 - left out of the names
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[^\[\]:/@]+)(?::\d*)?", re.IGNORECASE)
_TEXT = {"X-Content-Type-Options": "nosniff"}


class OpenDoorError(ExpectedError):
    """Everybody who reaches this machine could launch runs."""


def require_sign_in(settings: Settings, listening: str) -> None:
    """Refuse to listen for other machines if nobody has to sign in; and anywhere, if the users cannot be read."""
    if settings.ui_users:
        read_users(settings.ui_users)
    if settings.ui_users or settings.ui_proxy or listening == "localhost" or _is_loopback(listening):
        return
    raise OpenDoorError(
        f"listening on {listening} would open the UI to other machines without a sign-in: set "
        "CAPSTONE_UI_USERS to a file of users (capstone ui-user writes it) or CAPSTONE_UI_PROXY to the address of a "
        "proxy that signs people in, or listen on 127.0.0.1"
    )


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def allowed_hosts(settings: Settings, listening: str) -> frozenset[str]:
    """The names under which people open the UI, in lower case and without a port."""
    opened_at = settings.ui_url.partition("://")[2].partition("/")[0]
    named = {*_THIS_MACHINE, *settings.ui_hosts, _host(opened_at), _host(listening)}
    return frozenset(named - {"", *_ALL_ADDRESSES})


class RequestGuard:
    """Passes requests on to an ASGI application, or refuses them with a sentence."""

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self._app, self._hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or the handshake of a websocket."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif refusal := self._refusal(scope):
            if scope["type"] == "websocket":  # nobody would read the reason
                await send({"type": "websocket.close", "code": 1008})
            else:
                await refusal(scope, receive, send)
        else:
            await self._app(scope, receive, _unframed(send))

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        return (
            self._foreign_host(headers)
            or _foreign_origin(scope, headers)
            or (_changing_by_get(scope) or _no_json(scope, headers) if scope["type"] == "http" else None)
        )

    def _foreign_host(self, headers: Headers) -> PlainTextResponse | None:
        named = headers.getlist("host")
        if len(named) == 1 and _host(named[0]) in self._hosts:
            return None
        ours = ", ".join(sorted(self._hosts))
        return _answer(
            421,
            f"the header Host names {_quoted(named)}, which is not a host of this UI ({ours}); "
            "if people open it under that name, add the name to CAPSTONE_UI_HOSTS and start the UI again",
        )


def _foreign_origin(scope: Scope, headers: Headers) -> PlainTextResponse | None:
    origins, site = headers.getlist("origin"), headers.get("sec-fetch-site")
    if any(origin.lower().partition("://")[2] != headers["host"].lower() for origin in origins):
        return _answer(
            403,
            f"the header Origin names {_quoted(origins)}, but Host names {_quoted([headers['host']])}: only the UI's "
            "own pages may ask; a proxy in front of the UI must pass on the Host that the browser has sent",
        )
    # A browser sends "none" for an address that a person has typed or opened from a bookmark.
    if site in (None, "same-origin", "none") or _is_followed_link(scope, headers):
        return None
    return _answer(403, f"the header Sec-Fetch-Site says {_quoted([str(site)])}: only the UI's own pages may ask")


def _is_followed_link(scope: Scope, headers: Headers) -> bool:
    """Whether a person opens a page of the UI, for example by the link in an alert, and not within a frame."""
    is_page = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return is_page and scope.get("method") == "GET" and GRAPHQL not in scope["path"]


def operations_of(query: object) -> list[OperationDefinitionNode] | None:
    """All operations in a document of GraphQL, also those that would not be executed; None if it cannot be read."""
    if not isinstance(query, str):
        return None
    try:
        return [each for each in parse(query).definitions if isinstance(each, OperationDefinitionNode)]
    except (GraphQLError, RecursionError):
        return None


def _changing_by_get(scope: Scope) -> PlainTextResponse | None:
    # Looked for anywhere in the path: a route also matches the path followed by a line break.
    if scope["method"] not in WITHOUT_BODY or GRAPHQL not in scope["path"]:
        return None
    for query in QueryParams(scope["query_string"]).getlist("query"):
        if (operations := operations_of(query)) is None:
            return _answer(400, "the parameter query cannot be read as GraphQL")
        if any(each.operation != OperationType.QUERY for each in operations):
            return _answer(405, f"{scope['method']} changes nothing: send mutations by POST, as JSON")
    return None


def _no_json(scope: Scope, headers: Headers) -> PlainTextResponse | None:
    if scope["method"] in WITHOUT_BODY:
        return None
    given = headers.getlist("content-type")
    is_form = scope["method"] == "POST" and scope["path"] in (SIGN_IN, SIGN_OUT)
    wanted = "application/x-www-form-urlencoded" if is_form else "application/json"
    if len(given) == 1 and given[0].partition(";")[0].strip().lower() == wanted:
        return None
    return _answer(415, f"the header Content-Type says {_quoted(given)}; it must be {wanted}")


def _host(authority: str) -> str:
    """The host in a ``host:port``."""
    found = _AUTHORITY.fullmatch(authority.strip())
    return found[1].lower() if found else ""


def _quoted(values: list[str]) -> str:
    return " and ".join(ascii(value) for value in values) or "nothing"


def _answer(status: int, why: str) -> PlainTextResponse:
    return PlainTextResponse(f"Refused: {why}.\n", status, headers=_TEXT)


def _unframed(send: Send) -> Send:
    """Keep other sites from showing the UI in a frame, where people would not know what they click."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)["X-Frame-Options"] = "SAMEORIGIN"
        await send(message)

    return sending
