"""Ctrl-C and SIGTERM, noticed whoever handles them."""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def noticing_interruptions() -> Iterator[Callable[[], bool]]:
    """Tell whether a Ctrl-C or SIGTERM came since the last time one asked; a hang-up counts as a Ctrl-C.

    Dagster and Spark both install handlers of their own while a run works, and either may see the
    signal; Python writes its number here whoever does.
    """
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    hung_up = signal.getsignal(signal.SIGHUP)
    if hung_up != signal.SIG_IGN:  # a closed terminal or a lost connection; nohup ignores it
        signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGINT))

    def was_interrupted() -> bool:
        try:
            return bool({signal.SIGINT, signal.SIGTERM}.intersection(reader.recv(4096)))
        except BlockingIOError:
            return False

    try:
        yield was_interrupted
    finally:
        signal.set_wakeup_fd(before)
        signal.signal(signal.SIGHUP, hung_up)
        reader.close()
        writer.close()
