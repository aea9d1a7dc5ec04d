"""The sign-in page alone: where it leads, what its form takes, and that foreign text stays text."""

import asyncio
from urllib.parse import urlencode

import pytest
from starlette.requests import Request
from starlette.types import Message

from capstone_dagster.ui.sign_in_page import Form, form_of, own_path, page


@pytest.mark.parametrize("target", ["/", "/runs", "/runs/1234?focus=%2F%2Fa&x=[1]", "/assets/a%20b#top"])
def test_people_come_back_to_the_page_that_they_wanted(target: str) -> None:
    assert own_path(target) == target


@pytest.mark.parametrize(
    "target",
    [
        *("", "runs", "https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil.example"),
        *("/\t/evil.example", "/\n/evil.example", " //evil.example", "///evil.example", "javascript:alert(1)"),
        *("/runs\r\nSet-Cookie: a=b", "/caf\u00e9", "/sign-in", "/sign-in?next=/runs", "/sign-out"),
    ],
)
def test_the_page_never_leads_to_another_site_or_to_itself(target: str) -> None:
    assert own_path(target) == "/"


def _form(*pieces: bytes) -> Form | None:
    waiting: list[Message] = [{"type": "http.request", "body": piece, "more_body": True} for piece in pieces]

    async def receive() -> Message:
        return waiting.pop(0) if waiting else {"type": "http.request", "body": b""}

    return asyncio.run(form_of(Request({"type": "http"}, receive)))


def test_a_form_is_read_as_browsers_send_it() -> None:
    sent = urlencode({"next": "/runs", "name": " anna ", "password": " caf\u00e9 & more "}).encode()

    assert _form(sent[:7], sent[7:]) == Form("anna", " caf\u00e9 & more ", "/runs")
    assert _form(b"name=anna") == Form("anna", "", "/")
    assert _form(b"name=anna&name=ben&password=a&password=b") == Form("anna", "a", "/")


@pytest.mark.parametrize("sent", [[b"a" * 8193], [b"a" * 5000] * 2, ["é".encode()], [b"a=1&" * 20]])
def test_what_is_too_long_or_no_form_is_not_read(sent: list[bytes]) -> None:
    assert _form(*sent) is None


def test_a_browser_that_leaves_before_its_form_has_come_sends_none() -> None:
    async def receive() -> Message:
        return {"type": "http.disconnect"}

    assert asyncio.run(form_of(Request({"type": "http"}, receive))) is None


def test_what_somebody_has_typed_is_text_on_the_page_and_nothing_is_loaded_from_elsewhere() -> None:
    shown = page(name='"><script>alert(1)</script>', then='/"><b>', wrong="<i>", status=401)
    text = bytes(shown.body).decode()

    assert (shown.status_code, shown.headers["cache-control"]) == (401, "no-store")
    assert shown.headers["content-security-policy"].startswith("default-src 'none'; style-src 'nonce-")
    assert "<script>" not in text
    assert "<b>" not in text
    assert "<i>" not in text
    assert "://" not in text
