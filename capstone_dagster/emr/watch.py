"""Waiting for a step of EMR: its events, its end, and what to do when it does not end well.

A step that is given up is told to the lake first: whatever goes on of it can publish nothing any more. Then
it is cancelled. A failure tells the reason EMR gives, the driver's last words and where its log lies.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import dagster as dg
from dagster._core.execution.context.system import StepExecutionContext

from capstone_dagster.emr.api import Answer, EmrApiError, jittered
from capstone_dagster.emr.cluster import ACTIVE, RunCluster, describe, told
from capstone_dagster.emr.events import Relay
from capstone_dagster.emr.steps import ENDED, Steps, last_of_stderr, log_folder
from capstone_dagster.inputs import made_tables
from capstone_dagster.settings import EmrSettings, Settings
from spark_code.lake import Lake, LakeError
from spark_code.manifest import Attempt
from spark_code.storage import StorageError

_POLLS_TO_SEE_A_CANCEL = 2
_LONGEST_RETRY_SECONDS = 300.0


@dataclass
class Watch:
    """One attempt at one step, from its submission to its end."""

    step: StepExecutionContext
    settings: Settings
    cluster: RunCluster
    steps: Steps
    step_id: str
    attempt: Attempt
    relay: Relay

    def until_ended(self) -> Iterator[dg.DagsterEvent]:
        """The events of the step; an error if it does not end as the step itself has said."""
        try:
            ended = yield from self._poll()
        except BaseException as reason:  # interrupted, overdue, EMR unreachable: whatever it is, nothing may go on
            self._give_up()
            if self.relay.is_decided and isinstance(reason, dg.Failure):
                return  # the step has its result, only EMR did not come to an end with it
            raise
        yield from self.relay.new_events()
        if self.relay.is_decided:
            return
        self._forbid()
        raise self._failure(ended)

    def _poll(self) -> Generator[dg.DagsterEvent, None, Answer]:
        emr, before, since = self.cluster.emr, None, 0.0
        while True:
            step = self.steps.describe(self._cluster_id, self.step_id)
            state = step["Status"]["State"]
            if state in ENDED:
                return step
            if state != before:
                before, since = state, emr.clock()
                self.step.log.info("EMR: step %s is %s", self.step_id, state)
            yield from self.relay.new_events()
            self._require_in_time(step, emr.clock() - since)
            emr.pause(jittered(self._wanted.poll_seconds))

    def _require_in_time(self, step: Answer, seconds: float) -> None:
        """Nothing waits for ever; the time counts from the last change of the step's state."""
        state, wanted = step["Status"]["State"], self._wanted
        limit, setting = {
            "PENDING": (wanted.start_minutes, "CAPSTONE_EMR_START_MINUTES"),
            "CANCEL_PENDING": (wanted.patience_minutes, "CAPSTONE_EMR_PATIENCE_MINUTES"),
        }.get(state, (wanted.step_minutes, "CAPSTONE_EMR_STEP_MINUTES"))
        if seconds > limit * 60:
            cluster = describe(self.cluster.emr, self._cluster_id)
            raise dg.Failure(
                f"step {self.step_id} of EMR is {told(step)} for {seconds / 60:.0f} minutes, more than {setting} "
                f"allows; cluster {self._cluster_id} is {told(cluster)}",
                allow_retries=False,
            )

    def _give_up(self) -> None:
        emr = self.cluster.emr.steadfast()
        steps = Steps(emr)
        self._forbid()
        try:
            steps.cancel(self._cluster_id, [self.step_id])
            for _ in range(_POLLS_TO_SEE_A_CANCEL):
                emr.pause(self._wanted.poll_seconds)
                step = steps.describe(self._cluster_id, self.step_id)
                if step["Status"]["State"] in ENDED:
                    break
            self.step.log.info("EMR: step %s was cancelled and is %s", self.step_id, told(step))
            for _ in self.relay.new_events():
                pass
        except (EmrApiError, StorageError) as error:
            self.step.log.warning(
                "step %s was not cancelled, the sensor emr_reaper tries again: %s", self.step_id, error
            )

    def _forbid(self) -> None:
        """From now on this attempt can publish nothing, however long it goes on somewhere."""
        lake, day = Lake(self.settings.lake_uri), date.fromisoformat(self.step.partition_key)
        try:
            for table in made_tables(self.step):
                lake.give_up(table, day, self.attempt.name)
        except (LakeError, StorageError) as error:
            self.step.log.warning("what goes on of step %s may still publish: %s", self.step_id, error)

    def _failure(self, ended: Answer) -> Exception:
        """Why the step failed although it has not said so itself; a request to try again where that may help."""
        end = self.relay.end()
        if end and end.refusal:
            return dg.Failure(end.refusal, allow_retries=False)
        state, cluster = ended["Status"]["State"], describe(self.cluster.emr, self._cluster_id)
        is_lost = cluster["Status"]["State"] not in ACTIVE
        reasons = [f"step {self.step_id} of EMR ended {told(ended)}"]
        if is_lost:
            reasons.append(f"cluster {self._cluster_id} is {told(cluster)}")
        metadata: dict[str, Any] = {"emr_cluster": self._cluster_id, "emr_step": self.step_id}
        if folder := log_folder(cluster, self.step_id):
            reasons.append(f"log: {folder}/")
            metadata["log"] = dg.MetadataValue.path(f"{folder}/")
            if last := self._last_words(folder):
                reasons.append(f"its last lines:\n{last}")
        failure = dg.Failure("; ".join(reasons), metadata, allow_retries=False)
        if state == "CANCELLED" and not is_lost:  # somebody wanted it to end
            return failure
        return tried_again(failure, self.step, self.settings, is_lost=is_lost)

    def _last_words(self, folder: str) -> str | None:
        """EMR brings logs to S3 minutes later; the cluster costs meanwhile, so the wait is short."""
        emr = self.cluster.emr
        until = emr.clock() + self._wanted.log_seconds
        while True:
            if last := last_of_stderr(folder):
                return last
            if emr.clock() >= until:
                return None
            emr.pause(jittered(self._wanted.poll_seconds))

    @property
    def _wanted(self) -> EmrSettings:
        assert self.settings.emr  # noqa: S101
        return self.settings.emr

    @property
    def _cluster_id(self) -> str:
        assert self.cluster.id  # noqa: S101
        return self.cluster.id


def tried_again(failure: dg.Failure, step: StepExecutionContext, settings: Settings, *, is_lost: bool) -> Exception:
    """The failure as a request to try again, where that may help: a taken cluster that is lost stays lost."""
    assert settings.emr  # noqa: S101
    if not settings.max_retries or (is_lost and not settings.emr.create_cluster):
        return failure
    seconds = min(_LONGEST_RETRY_SECONDS, settings.emr.poll_seconds * 2**step.previous_attempt_count)
    request = dg.RetryRequested(settings.max_retries, jittered(seconds))
    request.__cause__ = failure
    return request
