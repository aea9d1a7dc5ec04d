"""Notices Ctrl-C and SIGTERM even if another handler takes them."""

import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def noticing_interruptions() -> Iterator[Callable[[], bool]]:
    """Yields a function that says whether Ctrl-C or SIGTERM came since its last call; a hang-up counts as Ctrl-C.

    Dagster and Spark both install their own handlers during a run, and either may take the signal; Python writes its
    number here in any case.
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
