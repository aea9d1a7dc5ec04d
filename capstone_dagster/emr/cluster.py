"""The cluster of a run: created or taken when its first step needs it, given back when the run ends.

Termination protection is on while the run works. ``cluster_request`` describes new clusters; ``reaper`` ends the
clusters of runs that have died.
"""

import logging
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from capstone_dagster.emr.api import Answer, Emr, EmrApiError
from capstone_dagster.emr.cluster_request import Owner, creation
from capstone_dagster.settings import EmrSettings
from spark_code.errors import ExpectedError
from spark_code.storage import Storage

ACTIVE = ("STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING")


class NoClusterError(ExpectedError):
    """The cluster that the setting names cannot be used."""


@dataclass
class RunCluster:
    """One cluster for all steps of one run, or for all days of a range. ``require`` creates or takes it."""

    emr: Emr
    wanted: EmrSettings
    id: str | None = None
    owner: Owner | None = None
    """Its owner; None if that is the run that requires it."""
    is_hurried: bool = False
    """Whether the run was asked to stop, and somebody waits for that."""
    _was_protected: bool = field(default=False, repr=False)
    _created: int = field(default=0, repr=False)

    def require(self, owner: Owner, log: logging.Logger) -> str:
        """The id of a cluster that accepts steps; it may still be starting."""
        if self.id and describe(self.emr, self.id)["Status"]["State"] in ACTIVE:
            return self.id
        if self.wanted.cluster_id:
            self.id = self._take(self.wanted.cluster_id, log)
        else:
            self.id = self._create(self.owner or owner, log)
        return self.id

    def release(self, log: logging.Logger) -> None:
        """Switch protection off, and terminate the cluster if wanted. Never fails: the run already has its result."""
        if self.id is None:
            return
        emr = self.emr.steadfast(is_hurried=self.is_hurried)
        try:
            if self.wanted.terminate_cluster:
                terminate(emr, self.id)
                log.info("EMR: terminated cluster %s", self.id)
            elif not self._was_protected and describe(emr, self.id)["Status"]["State"] in ACTIVE:
                protect(emr, self.id, False)
        except EmrApiError as error:
            log.warning("cluster %s was not given back, the sensor emr_reaper tries again: %s", self.id, error)
        self.id = None

    def _take(self, cluster_id: str, log: logging.Logger) -> str:
        try:
            cluster = describe(self.emr, cluster_id)
        except EmrApiError as error:
            raise NoClusterError(f"CAPSTONE_EMR_CLUSTER_ID: {error}") from error
        if cluster["Status"]["State"] not in ACTIVE:
            raise NoClusterError(
                f"CAPSTONE_EMR_CLUSTER_ID: cluster {cluster_id} takes no steps: {in_words(cluster)}; name one that "
                "runs, or leave it empty and every run creates its own"
            )
        self._was_protected = cluster["TerminationProtected"]
        protect(self.emr, cluster_id, True)
        log.info("EMR: took cluster %s, which is %s", cluster_id, in_words(cluster))
        return cluster_id

    def _create(self, owner: Owner, log: logging.Logger) -> str:
        self._created += 1
        request = creation(self.wanted, owner, self._created, Storage(self.wanted.staging_uri))

        def find(emr: Emr) -> str | None:
            clusters = emr.pages("list_clusters", "Clusters", ClusterStates=list(ACTIVE))
            return next((cluster["Id"] for cluster in clusters if cluster["Name"] == request["Name"]), None)

        try:
            created = self.emr.submit(
                "run_job_flow", lambda: find(self.emr), lambda answer: str(answer["JobFlowId"]), **request
            )
        except BaseException:  # the cluster may exist although its id was lost: then the run's end gives it back
            with suppress(EmrApiError):
                self.id = find(self.emr.steadfast())
            raise
        log.info("EMR: created cluster %s (%s); its machines start now", created, self.wanted.release)
        return created


def describe(emr: Emr, cluster_id: str) -> Answer:
    """EMR's description of the cluster."""
    cluster: Answer = emr.ask("describe_cluster", ClusterId=cluster_id)["Cluster"]
    return cluster


def in_words(cluster_or_step: Any) -> str:
    """The state of a cluster or step, and the reasons that EMR gives for it."""
    status = cluster_or_step["Status"]
    details = status.get("FailureDetails", {})
    reasons = (status.get("StateChangeReason", {}).get("Message"), details.get("Reason"), details.get("Message"))
    return ": ".join([status["State"], *dict.fromkeys(filter(None, reasons))])


def protect(emr: Emr, cluster_id: str, is_protected: bool) -> None:
    """Switch termination protection on or off."""
    emr.ask("set_termination_protection", JobFlowIds=[cluster_id], TerminationProtected=is_protected)


def terminate(emr: Emr, cluster_id: str) -> None:
    """End a cluster, protected or not, unless it has already ended."""
    if describe(emr, cluster_id)["Status"]["State"] in ACTIVE:
        protect(emr, cluster_id, False)
        emr.ask("terminate_job_flows", JobFlowIds=[cluster_id])
