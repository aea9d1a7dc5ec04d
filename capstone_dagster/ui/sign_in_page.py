"""The page on which people sign in and out, its form, and where they go afterwards."""

import re
import secrets
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs

import jinja2
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse

from capstone_dagster.ui.request_guard import SIGN_IN, SIGN_OUT
from capstone_dagster.ui.users import User

_MOST_BYTES = 8192
# A path on this server. Browsers take a backslash for a slash and drop blanks, and so reach another host.
_OWN_PATH = re.compile(r"/(?!/)[!-\[\]-~]*")


class Form(NamedTuple):
    """What somebody has typed."""

    name: str
    password: str
    next: str


async def form_of(request: Request) -> Form | None:
    """The form in a request; None if that is too long or no form."""
    body = b""
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > _MOST_BYTES:
                return None
        fields = parse_qs(body.decode("ascii"), max_num_fields=10)
    except (ValueError, ClientDisconnect):
        return None
    name, password, then = (fields.get(field, [""])[0] for field in Form._fields)
    return Form(name.strip(), password, own_path(then))


def own_path(target: str) -> str:
    """Where to go after signing in: the target if that is a page of this UI, else the first page."""
    is_own = _OWN_PATH.fullmatch(target) and not target.startswith((SIGN_IN, SIGN_OUT))
    return target if is_own else "/"


def page(  # noqa: PLR0913 - what the page shows
    *,
    user: User | None = None,
    can_sign_out: bool = False,
    then: str = "/",
    name: str = "",
    wrong: str = "",
    status: int = 200,
) -> HTMLResponse:
    """The form, or who has signed in."""
    nonce = secrets.token_urlsafe(16)
    policy = f"default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self'; base-uri 'none'"
    headers = {
        "Cache-Control": "no-store",
        "Content-Security-Policy": policy,
        "Referrer-Policy": "same-origin",  # with no referrer at all, browsers send the form with Origin: null
        "X-Content-Type-Options": "nosniff",
    }
    shown = _template().render(user=user, can_sign_out=can_sign_out, next=then, name=name, wrong=wrong, nonce=nonce)
    return HTMLResponse(shown, status, headers)


@cache
def _template() -> jinja2.Template:
    text = Path(__file__).with_name("sign_in.html").read_text(encoding="utf-8")
    return jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True).from_string(text)
