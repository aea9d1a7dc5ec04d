"""Ends what runs have left on EMR: clusters and steps whose run has ended without giving them back.

A process that is killed cannot clean up. The run storage knows that its run has ended, and the names of clusters and
steps contain the run id. Clusters and steps of runs that this run storage does not know are left alone.
"""

import dagster as dg

from capstone_dagster.emr.api import Emr, EmrApiError
from capstone_dagster.emr.cluster import ACTIVE, describe, protect, terminate
from capstone_dagster.emr.cluster_request import NAME, TERMINATE_TAG
from capstone_dagster.emr.launcher import region
from capstone_dagster.emr.step_calls import Steps
from capstone_dagster.settings import EmrSettings

_SECONDS = 60
_UNENDED_STEPS = ("PENDING", "CANCEL_PENDING", "RUNNING")


def reap(emr: Emr, instance: dg.DagsterInstance, taken_cluster: str | None) -> list[str]:
    """End what ended runs have left; returns sentences about what was ended, and what could not be."""
    sentences = []
    for cluster in list(emr.pages("list_clusters", "Clusters", ClusterStates=list(ACTIVE))):
        try:
            if cluster["Id"] == taken_cluster:
                sentences += _reap_steps(emr, instance, cluster["Id"])
            elif run_id := _ended_run(instance, cluster["Name"]):
                sentences += _reap_cluster(emr, instance, cluster["Id"], run_id)
        except EmrApiError as error:  # go on: the next cluster may work
            sentences.append(f"left cluster {cluster['Id']}: {error}")
    return sentences


def _reap_cluster(emr: Emr, instance: dg.DagsterInstance, cluster_id: str, run_id: str) -> list[str]:
    cluster = describe(emr, cluster_id)
    tags = {tag["Key"]: tag["Value"] for tag in cluster.get("Tags", [])}
    if tags.get(TERMINATE_TAG) == "true":
        terminate(emr, cluster_id)
        return [f"ended cluster {cluster_id} of run {run_id}"]
    if cluster["TerminationProtected"]:  # it is to stay, but people may end it
        protect(emr, cluster_id, False)
    return _reap_steps(emr, instance, cluster_id)


def _reap_steps(emr: Emr, instance: dg.DagsterInstance, cluster_id: str) -> list[str]:
    left = {}
    for step in emr.pages("list_steps", "Steps", ClusterId=cluster_id, StepStates=list(_UNENDED_STEPS)):
        if run_id := _ended_run(instance, step["Name"]):
            left[step["Id"]] = f"ended step {step['Id']} of run {run_id} on cluster {cluster_id}"
    if left:
        Steps(emr).cancel(cluster_id, list(left))
    return list(left.values())


def _ended_run(instance: dg.DagsterInstance, name: str) -> str | None:
    """The run in the name of a cluster or step, if this run storage knows that it has ended."""
    words = name.split()
    run = instance.get_run_by_id(words[2]) if words[:1] == [NAME] and len(words) > 2 else None
    return run.run_id if run and run.is_finished else None


def reap_now(wanted: EmrSettings, instance: dg.DagsterInstance) -> list[str]:
    """The same without long waits: the next call tries again what EMR does not answer now."""
    return reap(Emr(region(), min(wanted.patience_minutes * 60, _SECONDS / 6)), instance, wanted.cluster_id)


def reaper(wanted: EmrSettings) -> dg.SensorDefinition:
    """The sensor."""

    @dg.sensor(
        name="emr_reaper",
        minimum_interval_seconds=_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Ends EMR clusters and steps whose run has ended, also if the run's process was killed.",
    )
    def emr_reaper(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        sentences = reap_now(wanted, context.instance)
        return dg.SkipReason("; ".join(sentences) or "nothing is left on EMR by runs that have ended")

    return emr_reaper
