"""Ends what runs have left on EMR: clusters and steps whose run has ended without giving them back.

A process that is killed cannot clean up. The run storage knows that its run has ended, and the names of clusters and
steps contain the run id. Clusters and steps of runs that this run storage does not know are left alone. What a step
has written is given up first: it may be publishing at this moment.
"""

from datetime import date

import dagster as dg

from capstone_dagster.emr.api import Emr, EmrApiError
from capstone_dagster.emr.cluster import ACTIVE, describe, protect, tags_of, terminate, unprotect
from capstone_dagster.emr.cluster_request import NAME, PROTECTED_BY_TAG, TERMINATE_TAG
from capstone_dagster.emr.launcher import region
from capstone_dagster.emr.step_calls import Steps
from capstone_dagster.run_tags import PARTITION_TAG
from capstone_dagster.settings import Settings
from capstone_dagster.wording import printable
from spark_code.lake import Lake, LakeError
from spark_code.locations import StorageError
from spark_code.schemas import TABLES

_SECONDS = 60
_UNENDED_STEPS = ("PENDING", "CANCEL_PENDING", "RUNNING")


def reap(emr: Emr, instance: dg.DagsterInstance, lake: Lake, taken_cluster: str | None) -> list[str]:
    """End what ended runs have left; returns sentences about what was ended, and what could not be."""
    sentences = []
    for cluster in list(emr.pages("list_clusters", "Clusters", ClusterStates=list(ACTIVE))):
        try:
            if cluster["Id"] == taken_cluster:
                sentences += _reap_steps(emr, instance, lake, cluster["Id"])
                sentences += _reap_protection(emr, instance, cluster["Id"])
            elif run := _named_run(instance, cluster["Name"]):
                sentences += _reap_cluster(emr, instance, lake, cluster["Id"], run.run_id)
        except EmrApiError as error:  # go on: the next cluster may work
            sentences.append(f"left cluster {cluster['Id']}: {error}")
    return sentences


def _reap_cluster(emr: Emr, instance: dg.DagsterInstance, lake: Lake, cluster_id: str, run_id: str) -> list[str]:
    cluster = describe(emr, cluster_id)
    if tags_of(cluster).get(TERMINATE_TAG) == "true":
        _, sentences = _given_up(emr, instance, lake, cluster_id)
        terminate(emr, cluster_id)
        return [*sentences, f"ended cluster {cluster_id} of run {run_id}"]
    if cluster["TerminationProtected"]:  # it is to stay, but people may end it
        protect(emr, cluster_id, False)
    return _reap_steps(emr, instance, lake, cluster_id)


def _reap_steps(emr: Emr, instance: dg.DagsterInstance, lake: Lake, cluster_id: str) -> list[str]:
    left, sentences = _given_up(emr, instance, lake, cluster_id)
    if left:
        Steps(emr).cancel(cluster_id, list(left))
    return sentences + [f"ended step {step_id} of run {run} on cluster {cluster_id}" for step_id, run in left.items()]


def _reap_protection(emr: Emr, instance: dg.DagsterInstance, cluster_id: str) -> list[str]:
    """Switch off the protection that a run has left on somebody's own cluster."""
    cluster = describe(emr, cluster_id)
    run = _ended_run(instance, tags_of(cluster).get(PROTECTED_BY_TAG, ""))
    if run is None:
        return []
    unprotect(emr, cluster)
    return [f"switched off the protection of cluster {cluster_id} by run {run.run_id}"]


def _given_up(emr: Emr, instance: dg.DagsterInstance, lake: Lake, cluster_id: str) -> tuple[dict[str, str], list[str]]:
    """The steps of ended runs, with their runs: from now on they can publish nothing; and why one still could."""
    left, sentences = {}, []
    for step in emr.pages("list_steps", "Steps", ClusterId=cluster_id, StepStates=list(_UNENDED_STEPS)):
        if run := _named_run(instance, step["Name"]):
            left[step["Id"]] = run.run_id
            attempt = step["Name"].split()[-1]
            try:
                day = date.fromisoformat(run.tags[PARTITION_TAG])
                for table in TABLES.values():  # the name of the step does not say which it makes
                    lake.give_up(table, day, f"{run.run_id}/{attempt}")
            except (LakeError, StorageError, KeyError, ValueError) as error:
                sentences.append(f"step {step['Id']} of run {run.run_id} may still publish if it goes on: {error}")
    return left, sentences


def _named_run(instance: dg.DagsterInstance, name: str) -> dg.DagsterRun | None:
    """The run in the name of a cluster or step, if this run storage knows that it has ended."""
    words = name.split()
    return _ended_run(instance, words[2]) if words[:1] == [NAME] and len(words) > 2 else None


def _ended_run(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRun | None:
    run = instance.get_run_by_id(run_id)
    return run if run and run.is_finished else None


def reap_now(settings: Settings, instance: dg.DagsterInstance) -> list[str]:
    """The same without long waits: the next call tries again what EMR does not answer now."""
    wanted = settings.emr
    assert wanted  # noqa: S101 - only that deployment has clusters
    emr = Emr(region(), wanted.patience_minutes * 60).within(_SECONDS / 6)
    return reap(emr, instance, Lake(settings.lake_uri), wanted.cluster_id)


def reaper(settings: Settings) -> dg.SensorDefinition:
    """The sensor."""

    @dg.sensor(
        name="emr_reaper",
        minimum_interval_seconds=_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Ends EMR clusters and steps whose run has ended, also if the run's process was killed.",
    )
    def emr_reaper(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        sentences = reap_now(settings, context.instance)
        for sentence in sentences:
            context.log.info(printable(sentence))
        return dg.SkipReason("; ".join(sentences) or "nothing is left on EMR by runs that have ended")

    return emr_reaper
