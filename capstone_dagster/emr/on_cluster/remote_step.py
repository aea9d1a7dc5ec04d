"""Runs a step on the cluster, and sends its events to the host while it runs.

Every batch of events is a separate object, written once. The host reads the batches in order.
"""

import pickle
import time
from queue import Empty, Queue
from threading import Thread
from types import TracebackType
from typing import Self

import dagster as dg
from dagster._core.execution.plan.external_step import external_instance_from_step_run_ref, run_step_from_ref

from capstone_dagster.emr.attempt_folder import END, End, events_name
from spark_code.storage import Storage

# The host looks every few seconds, so smaller batches would only mean more requests.
_BATCH_SECONDS = 1.0


def run(folder: str, step_run_ref: bytes) -> int:
    """Run the step that the host has pickled; 0 if it succeeded."""
    # The host wrote it into a bucket; whoever can write there can also change the code that runs here.
    ref = pickle.loads(step_run_ref)  # noqa: S301
    failed = False
    with _EventWriter(Storage(folder)) as writer:
        instance = external_instance_from_step_run_ref(ref, event_listener_fn=writer.put)
        for event in run_step_from_ref(ref, instance):
            failed = failed or event.is_step_failure or event.is_step_up_for_retry
    return int(failed)


class _EventWriter:
    """Writes events in batches while the step runs, and at last the file that says that all are stored."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._waiting: Queue[dg.EventLogEntry | None] = Queue()
        self._batches = 0
        self._error: Exception | None = None
        self._thread = Thread(target=self._write, name="events", daemon=True)

    def put(self, event: dg.EventLogEntry) -> None:
        """Queue an event; the step's thread calls this."""
        self._waiting.put(event)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._waiting.put(None)
        self._thread.join()
        if self._error:
            raise self._error
        if error is None:
            self._storage.write(END, End(self._batches).to_json())

    def _write(self) -> None:
        try:
            self._write_batches()
        except Exception as error:  # noqa: BLE001 - raised again in the thread of the step
            self._error = error

    def _write_batches(self) -> None:
        is_open = True
        while is_open:
            batch, is_open = self._batch()
            if batch:
                self._batches += 1
                self._storage.write(events_name(self._batches), dg.serialize_value(batch).encode())

    def _batch(self) -> tuple[list[dg.EventLogEntry], bool]:
        """Collect events for the time of a batch from the first one on; also returns whether more may come."""
        taken = [self._waiting.get()]
        until = time.monotonic() + _BATCH_SECONDS
        while taken[-1] is not None:
            try:
                taken.append(self._waiting.get(timeout=max(0.0, until - time.monotonic())))
            except Empty:
                break
        return [event for event in taken if event is not None], taken[-1] is not None
