"""Chromium without a window, as an operator's browser: opens pages, and tells what stands in them."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.client import ClientConnection, connect

from capstone_dagster_tests.servers.processes import eventually

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="needs Chromium: sudo apt-get install -y chromium")


class Browser:
    """One tab, spoken to by the protocol of Chrome's developer tools."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection, self._numbers = connection, count(1)

    def _command(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        self._connection.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            answer: dict[str, Any] = json.loads(self._connection.recv(timeout=60))
            if answer.get("id") == number:
                assert "error" not in answer, answer
                return answer["result"]  # type: ignore[no-any-return]

    def open(self, url: str) -> None:
        """Begin to load a page."""
        self._command("Page.navigate", url=url)

    def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page."""
        return self._command("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    @property
    def text(self) -> str:
        """What a person reads on the page."""
        return self.evaluate("document.body ? document.body.innerText : ''") or ""

    def screenshot(self, path: Path) -> None:
        """What a person sees, to look at when a test fails."""
        import base64

        path.write_bytes(base64.b64decode(self._command("Page.captureScreenshot")["data"]))


@contextmanager
def browser(folder: Path, *, hosts: str = "") -> Iterator[Browser]:
    """A browser of its own; ``hosts`` are rules like ``MAP evil.example 127.0.0.1``."""
    assert CHROMIUM
    arguments = [
        *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--window-size=1600,2400"),
        f"--user-data-dir={folder / 'chromium'}",
        f"--host-resolver-rules={hosts}",
        "--remote-debugging-port=0",
        # What only people who confirm it get: that a page of the web reaches this machine. Older browsers never ask.
        "--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests",
    ]
    with (folder / "chromium.log").open("w") as log:
        process = subprocess.Popen([CHROMIUM, *arguments, "about:blank"], stdout=log, stderr=log)
    try:
        told = folder / "chromium" / "DevToolsActivePort"
        port = eventually(lambda: told.read_text().split("\n")[0] if told.exists() else "")
        yield from _tab(int(port))
    finally:
        process.kill()
        process.wait()


def _tab(port: int) -> Iterator[Browser]:
    import urllib.request

    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json", timeout=30) as answer:
        (page,) = [target for target in json.load(answer) if target["type"] == "page"]
    with connect(page["webSocketDebuggerUrl"], max_size=None) as connection:
        yield Browser(connection)
