"""Waiting for a step of EMR: its events, its end, and what to do if it fails.

To give up a step, forbid it in the lake first, so that it can no longer publish anything, and then cancel it. A
failure contains the reason that EMR gives, the last lines of the driver and the location of its log.
"""

from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import dagster as dg
from dagster._core.execution.context.system import StepExecutionContext

from capstone_dagster.emr.api import Answer, EmrApiError, jittered
from capstone_dagster.emr.cluster import ACTIVE, RunCluster, another_may_help, describe, fate, in_words, machine_logs
from capstone_dagster.emr.event_relay import Relay
from capstone_dagster.emr.node_health import NodeHealth
from capstone_dagster.emr.step_calls import ENDED, Steps, last_of_stderr, log_folder
from capstone_dagster.emr_settings import EmrSettings
from capstone_dagster.settings import Settings
from capstone_dagster.steps.inputs import made_tables
from capstone_dagster.steps.retries import Retries
from capstone_dagster.wording import lasting
from spark_code.lake import Lake, LakeError
from spark_code.locations import StorageError
from spark_code.manifest import Attempt

_POLLS_TO_SEE_A_CANCEL = 2


@dataclass
class Watch:
    """One attempt at one step, from before its submission to its end."""

    step: StepExecutionContext
    settings: Settings
    cluster: RunCluster
    name: str
    attempt: Attempt
    relay: Relay
    step_id: str | None = None
    """None until EMR has answered; the answer may be lost."""
    _has_ended: bool = field(default=False, repr=False)

    def until_ended(self, step_id: str) -> Iterator[dg.DagsterEvent]:
        """Yield the events of the step until it ends; an error if it ends without having reported its result."""
        self.step_id = step_id
        ended = yield from self._poll(step_id)
        self._has_ended = True
        yield from self.relay.new_events()
        if not self.relay.is_decided:
            raise self._failure(ended)
        if ended["Status"]["State"] != "COMPLETED":
            folder = log_folder(describe(self.cluster.emr, self._cluster_id), step_id)
            self.step.log.info("EMR: step %s is %s; its log: %s/", step_id, in_words(ended), folder)

    def give_up(self) -> list[dg.DagsterEvent]:
        """End the attempt and keep it from publishing anything; returns its events since the last look."""
        self._forbid()
        log, steps = self.step.log, Steps(self.cluster.emr.steadfast())
        try:
            step_id = self.step_id or steps.find(self._cluster_id, self.name)
            if step_id and not self._has_ended:
                log.info("EMR: step %s was asked to end, and is %s", step_id, in_words(self._cancel(steps, step_id)))
            return list(self.relay.new_events())
        except (EmrApiError, StorageError) as error:
            log.warning("%s was not cancelled, the sensor emr_reaper tries again: %s", self.name, error)
            return []

    def lost_cluster(self, error: EmrApiError) -> Exception | None:
        """The failure to raise instead if the cluster has ended; None if it has not, or if EMR does not answer."""
        with suppress(EmrApiError):
            cluster = describe(self.cluster.emr, self._cluster_id)
            if cluster["Status"]["State"] not in ACTIVE:
                return self._tried_again(dg.Failure(f"{error}; {fate(cluster)}", allow_retries=False), cluster)
        return None

    def _cancel(self, steps: Steps, step_id: str) -> Answer:
        steps.cancel(self._cluster_id, [step_id])
        for _ in range(_POLLS_TO_SEE_A_CANCEL):
            steps.emr.pause(self._wanted.poll_seconds)
            step = steps.describe(self._cluster_id, step_id)
            if step["Status"]["State"] in ENDED:
                break
        return step

    def _poll(self, step_id: str) -> Generator[dg.DagsterEvent, None, Answer]:
        emr, steps = self.cluster.emr, Steps(self.cluster.emr)
        health = NodeHealth(emr.region, self._cluster_id, emr.clock, self.step.log.warning)
        before: tuple[str, bool] | None = None
        since = 0.0
        while True:
            step = steps.describe(self._cluster_id, step_id)
            state = step["Status"]["State"]
            if state in ENDED:
                return step
            yield from self.relay.new_events()
            now = (state, self.relay.is_decided)
            if now != before:
                before, since = now, emr.clock()
                self.step.log.info("EMR: step %s is %s", step_id, state)
            self._require_in_time(step, emr.clock() - since)
            if state == "RUNNING" and not self.relay.is_decided and (complaint := health.complaint()):
                raise dg.Failure(f"step {step_id} of EMR was ended: {complaint}", allow_retries=False)
            emr.pause(jittered(self._wanted.poll_seconds))

    def _require_in_time(self, step: Answer, seconds: float) -> None:
        """Fail if the step takes too long; the time counts from its last change."""
        state, wanted = step["Status"]["State"], self._wanted
        if state == "PENDING":
            limit, setting = wanted.start_minutes, "CAPSTONE_EMR_START_MINUTES"
        elif state == "CANCEL_PENDING" or self.relay.is_decided:  # only its process has yet to end
            limit, setting = wanted.patience_minutes, "CAPSTONE_EMR_PATIENCE_MINUTES"
        else:
            limit, setting = wanted.step_minutes, "CAPSTONE_EMR_STEP_MINUTES"
        if seconds > limit * 60:
            cluster = describe(self.cluster.emr, self._cluster_id)
            raise dg.Failure(
                f"step {step['Id']} of EMR is {in_words(step)} for {lasting(seconds)}, more than {setting} "
                f"allows; {fate(cluster)}",
                allow_retries=False,
            )

    def _forbid(self) -> None:
        lake, day = Lake(self.settings.lake_uri), date.fromisoformat(self.step.partition_key)
        for table in made_tables(self.step):
            try:
                lake.give_up(table, day, self.attempt.name)
            except (LakeError, StorageError) as error:
                self.step.log.warning("%s may still publish if it goes on: %s", self.name, error)

    def _failure(self, ended: Answer) -> Exception:
        """The failure of a step that has not reported one itself, or a request to try again if that may help."""
        end = self.relay.end()
        if end and end.refusal:
            return dg.Failure(end.refusal, allow_retries=False)
        state, step_id, cluster = ended["Status"]["State"], ended["Id"], describe(self.cluster.emr, self._cluster_id)
        is_lost = cluster["Status"]["State"] not in ACTIVE
        reasons = [f"step {step_id} of EMR ended {in_words(ended)}"]
        if is_lost:
            reasons.append(fate(cluster))
        metadata: dict[str, Any] = {"emr_cluster": self._cluster_id, "emr_step": step_id}
        if folder := machine_logs(cluster):  # the step has not begun, so it has no log
            metadata["log"] = dg.MetadataValue.path(folder)
        elif folder := log_folder(cluster, step_id):
            reasons.append(f"log: {folder}/")
            metadata["log"] = dg.MetadataValue.path(f"{folder}/")
            if last := self._last_lines(folder):
                reasons.append(f"its last lines:\n{last}")
        failure = dg.Failure("; ".join(reasons), metadata, allow_retries=False)
        if state == "CANCELLED" and not is_lost:  # somebody has cancelled it
            return failure
        return self._tried_again(failure, cluster if is_lost else None)

    def _tried_again(self, failure: dg.Failure, lost: Answer | None) -> Exception:
        """The failure, as a request to try again; not if a cluster is lost that the run does not replace."""
        retries_before = self.step.previous_attempt_count
        if lost and not (self._wanted.create_cluster and another_may_help(lost, retries_before)):
            return failure
        retries: Retries = self.step.resources.retries
        return retries.request(failure, retries_before)

    def _last_lines(self, folder: str) -> str | None:
        """Wait a short time for the log: EMR uploads it minutes later, and the cluster costs money meanwhile."""
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
