"""Ends what runs have left on EMR: clusters and steps whose run has ended without giving them back.

A process that is killed cannot clean up. The run storage knows that its run has ended, and the names of
clusters and steps say whose they are. Those of runs that this run storage does not know are left alone.
"""

import dagster as dg

from capstone_dagster.emr.api import Emr
from capstone_dagster.emr.cluster import ACTIVE, describe, terminate
from capstone_dagster.emr.creation import NAME, RUN_TAG, TERMINATE_TAG
from capstone_dagster.emr.launcher import region
from capstone_dagster.emr.steps import Steps
from capstone_dagster.settings import EmrSettings

_SECONDS = 60
_UNENDED_STEPS = ("PENDING", "CANCEL_PENDING", "RUNNING")


def reap(emr: Emr, instance: dg.DagsterInstance, taken_cluster: str | None) -> list[str]:
    """End them; returns what was ended, in words."""
    ended = []
    for found in list(emr.pages("list_clusters", "Clusters", ClusterStates=list(ACTIVE))):
        if found["Id"] == taken_cluster:
            ended += _reap_steps(emr, instance, found["Id"])
        elif found["Name"].startswith(f"{NAME} "):
            ended += _reap_cluster(emr, instance, found["Id"])
    return ended


def _reap_cluster(emr: Emr, instance: dg.DagsterInstance, cluster_id: str) -> list[str]:
    tags = {tag["Key"]: tag["Value"] for tag in describe(emr, cluster_id)["Tags"]}
    run_id = tags.get(RUN_TAG, "")
    if not _has_ended(instance, run_id):
        return []
    if tags.get(TERMINATE_TAG) != "true":
        return _reap_steps(emr, instance, cluster_id)
    terminate(emr, cluster_id)
    return [f"cluster {cluster_id} of run {run_id}"]


def _reap_steps(emr: Emr, instance: dg.DagsterInstance, cluster_id: str) -> list[str]:
    left = {}
    for step in emr.pages("list_steps", "Steps", ClusterId=cluster_id, StepStates=list(_UNENDED_STEPS)):
        words = step["Name"].split()
        if words[:1] == [NAME] and len(words) > 2 and _has_ended(instance, words[2]):
            left[step["Id"]] = f"step {step['Id']} of run {words[2]} on cluster {cluster_id}"
    if left:
        Steps(emr).cancel(cluster_id, list(left))
    return list(left.values())


def _has_ended(instance: dg.DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is not None and run.is_finished


def reaper(wanted: EmrSettings) -> dg.SensorDefinition:
    """The sensor."""
    # A tick has a minute or so; what EMR does not answer now is asked again by the next.
    patience = min(wanted.patience_minutes * 60, _SECONDS / 2)

    @dg.sensor(
        name="emr_reaper",
        minimum_interval_seconds=_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Ends EMR clusters and steps whose run has ended, also where the run's process was killed.",
    )
    def emr_reaper(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        ended = reap(Emr(region(), patience), context.instance, wanted.cluster_id)
        return dg.SkipReason(f"ended {', '.join(ended)}" if ended else "nothing is left on EMR by runs that have ended")

    return emr_reaper
