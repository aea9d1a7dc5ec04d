"""Who sends a request: the middleware that passes on only those who have signed in.

People sign in with a password and have a cookie; programs send ``Authorization: Bearer TOKEN``; a proxy that has signed
people in itself names them in headers. ``request_guard`` has refused the requests of other sites before; what a viewer
may do with GraphQL is decided in ``webserver``, where it is read.
"""

import asyncio
import math
from collections.abc import Mapping
from urllib.parse import quote, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from capstone_dagster.settings import Settings
from capstone_dagster.ui.audit import Audit
from capstone_dagster.ui.private_files import PrivateFileError
from capstone_dagster.ui.proxy import Proxy, neighbourhood
from capstone_dagster.ui.request_guard import GRAPHQL, SIGN_IN, SIGN_OUT, WITHOUT_BODY
from capstone_dagster.ui.sessions import Session, Sessions, secret_of
from capstone_dagster.ui.sign_in_page import Form, form_of, own_path, page
from capstone_dagster.ui.tries import Tries
from capstone_dagster.ui.users import User, Users, is_password
from capstone_dagster.wording import lasting

# An ended cookie stays in the browser: it shows that the browser has been signed in before, see ``tries``.
_COOKIE_SECONDS = 30 * 24 * 3600
# What a load balancer asks, also while nobody can sign in. It tells the versions of Dagster.
_FOR_EVERYBODY = "/server_info"
_UNKNOWN = f"not signed in: open {SIGN_IN} in a browser, or send the header Authorization: Bearer TOKEN"
_BY_PROXY = "Not signed in: open this page through the proxy that signs you in."


class SignIn:
    """Passes on the requests of those who have signed in; ``scope["user"]`` says who they are."""

    def __init__(self, app: ASGIApp, settings: Settings, audit: Audit, proxy: Proxy) -> None:
        self._app, self._audit, self._proxy = app, audit, proxy
        self._users = Users(settings.ui_users) if settings.ui_users else None
        self._sessions = Sessions(secret_of(settings.home), settings.ui_session_hours * 3600)
        self._is_https = settings.ui_url.startswith("https:")
        self._tries, self._one_at_a_time = Tries(), asyncio.Lock()
        self._unavailable = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or the handshake of a websocket."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        asked, answer, user, is_http = HTTPConnection(scope), None, None, scope["type"] == "http"
        try:
            if not is_http or scope["path"] != _FOR_EVERYBODY or scope["method"] not in WITHOUT_BODY:
                user = self._user(asked)
                answer = await self._answer(user, Request(scope, receive)) if is_http else None
        except PrivateFileError as error:
            if self._unavailable != f"{error}":  # once, and not with every request of an open page
                self._audit.note("nobody can sign in", None, self._proxy.address(asked), why=f"{error}")
            self._unavailable = f"{error}"
            answer = PlainTextResponse("Sign-in is unavailable; the server log says why.\n", 503)
        if not is_http:
            await self._websocket(user, scope, receive, send)
        elif answer:
            await answer(scope, receive, _private(send))
        else:
            await self._app({**scope, "user": user}, receive, _private(send))

    async def _answer(self, user: User | None, request: Request) -> Response | None:
        """What is answered here; None if the request may pass."""
        path, is_changing = request.scope["path"], request.method not in WITHOUT_BODY
        if path == SIGN_IN and self._users:
            return await self._tried(self._users, request) if request.method == "POST" else self._page(user, request)
        if path == SIGN_OUT and request.method == "POST":
            return self._sign_out(user, request)
        if user is None:
            return self._unknown(request)
        if is_changing and path != GRAPHQL:
            may = user.role == "operator"
            asked = f"{request.method} {path}"
            self._audit.note(asked, user, self._proxy.address(request), outcome="passed on" if may else "refused")
            return None if may else PlainTextResponse(f"Refused: {refusal(user)}.\n", 403)
        return None

    async def _websocket(self, user: User | None, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a websocket for as long as its user is signed in."""
        closing: Message = {"type": "websocket.close", "code": 1008}
        if user is None:
            await send(closing)
            return
        is_open = True

        async def stays_open() -> bool:
            nonlocal is_open
            if is_open and not self._is_still(user, scope):
                is_open = False
                await send(closing)
            return is_open

        async def sending(message: Message) -> None:
            if await stays_open():
                await send(message)

        async def receiving() -> Message:
            message = await receive()
            may_be_heard = message["type"] != "websocket.receive" or await stays_open()
            return message if may_be_heard else {"type": "websocket.disconnect", "code": 1008}

        await self._app({**scope, "user": user}, receiving, sending)

    def _is_still(self, user: User, scope: Scope) -> bool:
        try:
            return self._user(HTTPConnection(scope)) == user
        except PrivateFileError:
            return False

    def _user(self, asked: HTTPConnection) -> User | None:
        """Who sends it, as a proxy, a token or a cookie says."""
        if user := self._proxy.user(asked):
            return user
        if not self._users:
            return None
        accounts = self._users.accounts()
        self._unavailable = ""
        scheme, _, token = asked.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            name = self._users.with_token(token.strip())
        else:
            session = self._session(self._users, asked)
            name = session.name if session and not session.is_over else None
        account = accounts.get(name or "")  # the file may have changed since
        return User(name, account.role) if name and account else None

    def _session(self, users: Users, asked: HTTPConnection) -> Session | None:
        return self._sessions.read(asked.cookies.get(self._sessions.cookie_name, ""), users.accounts())

    def _unknown(self, request: Request) -> Response:
        is_page = request.method == "GET" and "text/html" in request.headers.get("accept", "")
        if is_page and self._users:
            path, query = quote(request.scope["path"]), request.scope["query_string"].decode("latin-1")
            then = own_path(f"{path}?{query}" if query else path)
            return RedirectResponse(f"{SIGN_IN}?{urlencode({'next': then})}", 303, {"Cache-Control": "no-store"})
        if is_page:
            return PlainTextResponse(f"{_BY_PROXY}\n", 401)
        headers = {"WWW-Authenticate": 'Bearer realm="capstone"'} if self._users else None
        return graphql_error(401, _UNKNOWN if self._users else _BY_PROXY, headers)

    def _page(self, user: User | None, request: Request) -> Response:
        can_sign_out = self._sessions.cookie_name in request.cookies
        return page(user=user, can_sign_out=can_sign_out, then=own_path(request.query_params.get("next", "")))

    async def _tried(self, users: Users, request: Request) -> Response:
        """Sign in whoever has typed the right password; one try after another, so that many at once gain nothing."""
        form = await form_of(request)
        if form is None:
            return page(wrong="The form could not be read. Reload the page and try again.", status=400)
        async with self._one_at_a_time:
            keys, address = self._keys(users, form, request), self._proxy.address(request)
            if wait := self._tries.wait(*keys):
                seconds = math.ceil(wait)
                in_full = seconds if seconds < 60 else 60 * math.ceil(seconds / 60)
                later = f"Too many wrong passwords: try again in {lasting(in_full)}."
                refused = page(wrong=later, then=form.next, name=form.name, status=429)
                refused.headers["Retry-After"] = f"{seconds}"
                return refused
            account = users.accounts().get(form.name)
            stored = account.password if account else None
            is_right = await run_in_threadpool(is_password, form.password, stored)  # takes as long for nobody
            if not (is_right and account and stored):
                self._tries.was_wrong(*keys)
                self._audit.note("wrong password", None, address, name=form.name if account else "of nobody")
                return page(wrong="Wrong name or password.", then=form.next, name=form.name, status=401)
            self._tries.was_right(keys[0])  # not the address: its other tries were perhaps for other names
        self._audit.note("signed in", User(form.name, account.role), address)
        answer = RedirectResponse(form.next, 303, {"Cache-Control": "no-store"})
        self._set_cookie(answer, self._sessions.cookie(form.name, stored), _COOKIE_SECONDS)
        return answer

    def _keys(self, users: Users, form: Form, request: Request) -> tuple[str, ...]:
        """What a wrong password counts for."""
        known = self._session(users, request)
        if known and known.name == form.name:
            return (f"browser {request.cookies[self._sessions.cookie_name]}",)
        return f"name {form.name[:100]}", f"address {neighbourhood(self._proxy.address(request))}"

    def _sign_out(self, user: User | None, request: Request) -> Response:
        if user:
            self._audit.note("signed out", user, self._proxy.address(request))
        answer = RedirectResponse(SIGN_IN, 303, {"Cache-Control": "no-store"})
        self._set_cookie(answer, "", 0)
        return answer

    def _set_cookie(self, answer: Response, value: str, seconds: int) -> None:
        name, is_https = self._sessions.cookie_name, self._is_https
        answer.set_cookie(name, value, max_age=seconds, httponly=True, samesite="lax", secure=is_https)


def refusal(user: User) -> str:
    """Why a viewer may not do this."""
    return f"{user.name} is a viewer and may not make changes; ask an operator"


def graphql_error(status: int, why: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """A refusal that clients of GraphQL, and Dagster's pages, can show."""
    return JSONResponse({"data": None, "errors": [{"message": why}]}, status, headers)


def _private(send: Send) -> Send:
    """Keep what one user may see out of caches that several share."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).setdefault("Cache-Control", "private")
        await send(message)

    return sending
