"""What happens on the cluster, brought into the run storage while it happens."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

import dagster as dg
from dagster._core.execution.context.system import StepExecutionContext
from dagster._core.log_manager import DagsterLogRecordMetadata, set_log_record_metadata

from capstone_dagster.emr.staging import END, End, events_name
from spark_code.storage import Storage


@dataclass
class Relay:
    """Reads the batches of one attempt in their order, each once."""

    step: StepExecutionContext
    storage: Storage
    is_decided: bool = False
    """Whether the step itself has said how it ended: success, failure, or to be tried again."""
    _read: int = field(default=0, repr=False)

    def new_events(self) -> Iterator[dg.DagsterEvent]:
        """Store and show what has come since the last time."""
        while (content := self.storage.read(events_name(self._read + 1))) is not None:
            self._read += 1
            for entry in dg.deserialize_value(content.decode(), list):
                self.step.instance.handle_new_event(entry)
                self._show(entry)
                if event := entry.dagster_event:
                    self.is_decided |= event.is_step_success or event.is_step_failure or event.is_step_up_for_retry
                    yield event

    def end(self) -> End | None:
        """The last word of the cluster, if it came to it."""
        content = self.storage.read(END)
        return End.from_json(content) if content else None

    def _show(self, entry: dg.EventLogEntry) -> None:
        """The run's own loggers (the terminal of ``capstone run``) know nothing of what is stored directly."""
        record = logging.LogRecord("dagster", int(entry.level), __file__, 0, entry.message, None, None)
        metadata = DagsterLogRecordMetadata(
            **self.step.log.metadata,
            dagster_event=entry.dagster_event,
            dagster_event_batch_metadata=None,
            orig_message=entry.user_message,
            log_message_id="",
            log_timestamp="",
        )
        set_log_record_metadata(record, metadata)
        for logger in self.step.log._dagster_handler._loggers:  # noqa: SLF001 - no other way leads to them
            logger.handle(record)
