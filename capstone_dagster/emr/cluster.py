"""The cluster of a run: created or taken when its first step needs it, given back when the run ends.

Termination protection is on while the run works, unless that is switched off. ``cluster_request`` describes new
clusters; ``reaper`` ends the clusters of runs that have died.
"""

import logging
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from capstone_dagster.emr.api import Answer, Emr, EmrApiError
from capstone_dagster.emr.cluster_request import PROTECTED_BY_TAG, Owner, creation
from capstone_dagster.emr_settings import EmrSettings
from spark_code.errors import ExpectedError
from spark_code.storage import Storage

ACTIVE = ("STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING")
# EMR's codes for why a cluster has ended: another one is not wanted, or would end in the same way, or may not.
_BY_SOMEBODY, _NEVER_VALID, _BOOTSTRAP = "USER_REQUEST", "VALIDATION_ERROR", "BOOTSTRAP_FAILURE"


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
        if self.id:
            before = describe(self.emr, self.id)
            if before["Status"]["State"] in ACTIVE:
                return self.id
            if _code(before) == _BY_SOMEBODY and not self.wanted.cluster_id:
                raise NoClusterError(f"cluster {self.id} of this run is {in_words(before)}; run it again for another")
        if self.wanted.cluster_id:
            self.id = self._take(self.wanted.cluster_id, self.owner or owner, log)
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
            elif not self._was_protected and (cluster := describe(emr, self.id))["Status"]["State"] in ACTIVE:
                unprotect(emr, cluster)
        except EmrApiError as error:
            log.warning("cluster %s was not given back, the sensor emr_reaper tries again: %s", self.id, error)
        self.id = None

    def _take(self, cluster_id: str, owner: Owner, log: logging.Logger) -> str:
        try:
            cluster = describe(self.emr, cluster_id)
        except EmrApiError as error:
            raise NoClusterError(f"CAPSTONE_EMR_CLUSTER_ID: {error}") from error
        if cluster["Status"]["State"] not in ACTIVE:
            raise NoClusterError(
                f"CAPSTONE_EMR_CLUSTER_ID: cluster {cluster_id} takes no steps: {in_words(cluster)}; name one that "
                "runs, or leave it empty and every run creates its own"
            )
        # A run that was killed has left its protection and its tag.
        self._was_protected = cluster["TerminationProtected"] and PROTECTED_BY_TAG not in tags_of(cluster)
        if self.wanted.protect and not self._was_protected:
            tag = {"Key": PROTECTED_BY_TAG, "Value": owner.run_id}
            self.emr.ask("add_tags", ResourceId=cluster_id, Tags=[tag])
            protect(self.emr, cluster_id, True)
        logs = f"; its logs: {folder}/" if (folder := log_uri(cluster)) else ""
        log.info("EMR: took cluster %s, which is %s%s", cluster_id, in_words(cluster), logs)
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
        logs = f"{self.wanted.log_uri}/{created}/"
        what = f"{created} ({self.wanted.release})"
        log.info("EMR: created cluster %s; its machines start now; its logs: %s", what, logs)
        return created


def describe(emr: Emr, cluster_id: str) -> Answer:
    """EMR's description of the cluster."""
    cluster: Answer = emr.ask("describe_cluster", ClusterId=cluster_id)["Cluster"]
    return cluster


def tags_of(cluster: Answer) -> dict[str, str]:
    """The tags in a description of a cluster."""
    return {tag["Key"]: tag["Value"] for tag in cluster.get("Tags", [])}


def in_words(cluster_or_step: Any) -> str:
    """The state of a cluster or step, and the reasons that EMR gives for it."""
    status = cluster_or_step["Status"]
    details = status.get("FailureDetails", {})
    meaning = "somebody has ended it" if _code(cluster_or_step) == _BY_SOMEBODY else None
    said = status.get("StateChangeReason", {}).get("Message")
    reasons = (meaning, said, details.get("Reason"), details.get("Message"))
    return ": ".join([status["State"], *dict.fromkeys(filter(None, reasons))])


def another_may_help(ended: Answer, retries_before: int) -> bool:
    """Whether a new cluster may end better than this one."""
    if _code(ended) == _BOOTSTRAP:  # the script is wrong, or a package index was away
        return retries_before == 0
    return _code(ended) not in {_BY_SOMEBODY, _NEVER_VALID}


def fate(cluster: Answer) -> str:
    """The cluster and its state; if it has never been ready, also where its machines say why."""
    logs = f"; logs of its machines: {folder}" if (folder := machine_logs(cluster)) else ""
    return f"cluster {cluster['Id']} is {in_words(cluster)}{logs}"


def machine_logs(cluster: Answer) -> str | None:
    """Where the logs of the cluster's machines are, if it has never been ready and keeps logs."""
    is_ready = "ReadyDateTime" in cluster["Status"].get("Timeline", {})
    return None if is_ready or not (uri := log_uri(cluster)) else f"{uri}/node/"


def log_uri(cluster: Answer) -> str | None:
    """The folder of a cluster's logs; None if it keeps no logs."""
    # EMR answers with the scheme of an old S3 client, and with or without a slash at the end.
    uri = (cluster.get("LogUri") or "").replace("s3n://", "s3://").rstrip("/")
    return f"{uri}/{cluster['Id']}" if uri else None


def _code(cluster_or_step: Answer) -> str | None:
    code: str | None = cluster_or_step["Status"].get("StateChangeReason", {}).get("Code")
    return code


def protect(emr: Emr, cluster_id: str, is_protected: bool) -> None:
    """Switch termination protection on or off."""
    emr.ask("set_termination_protection", JobFlowIds=[cluster_id], TerminationProtected=is_protected)


def unprotect(emr: Emr, cluster: Answer) -> None:
    """Switch the protection of a cluster off, and forget which run had switched it on."""
    protect(emr, cluster["Id"], False)
    if PROTECTED_BY_TAG in tags_of(cluster):
        emr.ask("remove_tags", ResourceId=cluster["Id"], TagKeys=[PROTECTED_BY_TAG])


def terminate(emr: Emr, cluster_id: str) -> None:
    """End a cluster, protected or not, unless it has already ended."""
    if describe(emr, cluster_id)["Status"]["State"] in ACTIVE:
        protect(emr, cluster_id, False)
        emr.ask("terminate_job_flows", JobFlowIds=[cluster_id])
