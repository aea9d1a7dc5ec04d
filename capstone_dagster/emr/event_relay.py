"""Copies the events of a step on the cluster into the run storage while it runs."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field

import dagster as dg
from dagster._core.definitions.data_version import CODE_VERSION_TAG
from dagster._core.events import PIPELINE_EVENTS, StepMaterializationData
from dagster._core.execution.context.system import StepExecutionContext
from dagster._core.execution.plan.execute_step import _build_data_version_tags, _get_input_provenance_data
from dagster._core.log_manager import DagsterLogRecordMetadata, set_log_record_metadata

from capstone_dagster.assets.raw import DATA_VERSION_TAG
from capstone_dagster.emr.attempt_folder import END, End, events_name
from spark_code.locations import StorageError
from spark_code.storage import Storage


class ForeignEventsError(StorageError):
    """Where a step tells its events, there are events of another step or run."""


@dataclass
class Relay:
    """Reads the batches of one attempt in order, each once."""

    step: StepExecutionContext
    storage: Storage
    is_decided: bool = False
    """Whether the step has reported its result: success, failure, or that it must be tried again."""
    _read: int = field(default=0, repr=False)

    def new_events(self) -> Iterator[dg.DagsterEvent]:
        """Store and show the events that have come since the last call."""
        while (content := self.storage.read(name := events_name(self._read + 1))) is not None:
            self._read += 1
            entries: list[dg.EventLogEntry] = dg.deserialize_value(content.decode(), list)
            if not all(map(self._is_of_step, entries)):
                raise ForeignEventsError(
                    f"{self.storage.uri(name)} is not of this step alone: find out who has written it, and who may "
                    "write to the staging location"
                )
            for entry in map(self._with_inputs, entries):
                self.step.instance.handle_new_event(entry)
                self._show(entry)
                if event := entry.dagster_event:
                    self.is_decided |= event.is_step_success or event.is_step_failure or event.is_step_up_for_retry
                    yield event

    def end(self) -> End | None:
        """The last file of the cluster, if it has written one."""
        content = self.storage.read(END)
        return End.from_json(content) if content else None

    def _is_of_step(self, entry: dg.EventLogEntry) -> bool:
        """Whether it may be stored: what is written on a cluster must not decide about anything but its step."""
        event = entry.dagster_event
        is_of_run = event is not None and event.event_type in PIPELINE_EVENTS
        return entry.run_id == self.step.run_id and entry.step_key in (self.step.step.key, None) and not is_of_run

    def _with_inputs(self, entry: dg.EventLogEntry) -> dg.EventLogEntry:
        """Add the data versions of the inputs to a materialization; the cluster's own instance does not know them.

        Its own version is already right: it comes from what was published.
        """
        event = entry.dagster_event
        data = event.event_specific_data if event else None
        if event is None or not isinstance(data, StepMaterializationData):
            return entry
        made = data.materialization
        tags = made.tags or {}
        inputs = _get_input_provenance_data(made.asset_key, self.step)
        version, code_version = dg.DataVersion(tags[DATA_VERSION_TAG]), tags[CODE_VERSION_TAG]
        tags = {**tags, **_build_data_version_tags(version, code_version, inputs, True)}
        known = StepMaterializationData(made._replace(tags=tags), data.asset_lineage)
        return entry._replace(dagster_event=event._replace(event_specific_data=known))

    def _show(self, entry: dg.EventLogEntry) -> None:
        """Pass an event to the run's loggers (the terminal of ``capstone run``), which miss what is stored directly."""
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
        for logger in self.step.log._dagster_handler._loggers:  # noqa: SLF001 - there is no public access
            logger.handle(record)
