"""An S3 server on loopback: moto's, in threads of this process, with atomic conditional puts.

moto serves other AWS services at the same address, too. Objects are in the memory of this process.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

App = Callable[..., Iterable[bytes]]


@contextmanager
def s3_server(port: int = 0, around: Callable[[App], App] = lambda app: app) -> Iterator[str]:
    """Run a server on 127.0.0.1, isolated from AWS, and yield its URL; port 0 means any free port.

    ``around`` may answer requests in place of the server.
    """
    # The server logs every request at INFO.
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    app = around(_one_at_a_time(DomainDispatcherApplication(create_backend_app)))
    server = make_server("127.0.0.1", port, app, threaded=True, request_handler=MotoRequestHandler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _one_at_a_time(app: App) -> App:
    """Run one request at a time: S3 checks the condition of a put and stores it atomically, moto's threads do not."""
    lock = threading.Lock()

    def locked(*args: Any) -> Iterable[bytes]:
        with lock:
            return app(*args)

    return locked
