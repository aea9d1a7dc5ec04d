"""An S3 server on loopback: moto's, in threads of this process, with conditional puts that hold.

moto serves other services of AWS at the same address, too. What is stored lies in this process's memory.
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
    """Run a server on 127.0.0.1 that knows no other world, and give its URL; port 0 is any that is free.

    ``around`` may answer requests in its place.
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
    """S3 checks the condition of a put and stores it as one step; moto's threads would come in between."""
    lock = threading.Lock()

    def locked(*args: Any) -> Iterable[bytes]:
        with lock:
            return app(*args)

    return locked
