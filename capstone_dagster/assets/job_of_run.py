"""What a run is about: a job of a trading day, or a part of one.

A run whose tables of the lake are just those of a job *is* that job, by whatever door it came: Dagster's UI starts
"Materialize all" as a job of its own. One that goes on where another has failed is about what that one was about.
Where jobs stand is read by the same rules in SQL (``job_status.attempts_sql``); a test compares the two on random
histories.
"""

from collections.abc import Collection
from collections.abc import Set as AbstractSet

import dagster as dg

from capstone_dagster.assets.jobs import ASSETS, BESIDE_TABLES, JOB_NAMES, JobName, job_id
from capstone_dagster.run_tags import PARTITION_TAG, RANGE_TAGS, RESUME_TAGS, is_over_days
from spark_code.flow import steps_of

# How Dagster names its own job of all assets, which it uses for any selection of them.
_ALL_ASSETS = "__ASSET_JOB"


def job_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> JobName | None:
    """The job that the run does, or None if it does only a part of one."""
    origin = _origin(instance, run)
    job = job_of_assets(origin)
    return None if job and lacks_steps(origin, job) else job


def job_of_assets(run: dg.DagsterRun) -> JobName | None:
    """The job whose assets are just those that the run itself names, whatever its steps.

    An empty selection is none: the runs of ``execute_in_process`` have one.
    """
    if run.asset_selection:
        return job_with(run.asset_selection)
    if run.asset_check_selection:
        return None
    if run.job_name.startswith(_ALL_ASSETS):
        return "daily_pipeline"
    return next((job for job in JOB_NAMES if job == run.job_name), None)


def job_with(assets: AbstractSet[dg.AssetKey]) -> JobName | None:
    """The job whose tables are just those of these assets; what is beside the tables makes no difference."""
    return next((job for job in JOB_NAMES if ASSETS[job] == assets - BESIDE_TABLES), None)


def assets_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> Collection[str]:
    """The assets that the run works on, in order."""
    origin = _origin(instance, run)
    job = job_of_assets(origin)
    return sorted(key.to_user_string() for key in (ASSETS[job] if job else origin.asset_selection or ()))


def what(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """The job of a run, or in words which part of it."""
    if job := job_of(instance, run):
        return job
    origin = _origin(instance, run)
    if job_of_assets(origin):
        return f"the steps {', '.join(origin.step_keys_to_execute or ())} of {job_of_assets(origin)}"
    return ", ".join(assets_of(instance, run)) or _checks(origin) or run.job_name


def what_ran(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """The job id of a run, or the part and the day."""
    job, days = job_of(instance, run), days_of(run)
    if job and days:
        return job_id(job, days)
    return f"{what(instance, run)} of {days}" if days else what(instance, run)


def days_of(run: dg.DagsterRun) -> str | None:
    """The trading day of a run, or the first and the last of several."""
    return "..".join(run.tags[tag] for tag in RANGE_TAGS) if is_over_days(run) else run.tags.get(PARTITION_TAG)


def _origin(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRun:
    """The run that this one goes on with, at last; a retry by hand of chosen steps is about these alone."""
    seen = {run.run_id}
    while _resumes(run) and run.parent_run_id and run.parent_run_id not in seen:
        parent = instance.get_run_by_id(run.parent_run_id)
        if parent is None:
            break
        run = parent
        seen.add(run.run_id)
    return run


def _resumes(run: dg.DagsterRun) -> bool:
    return any(run.tags.get(tag) == "true" for tag in RESUME_TAGS)


def table_steps(job: JobName) -> frozenset[str]:
    """The steps that make the tables of a job."""
    return frozenset(step.name for step in steps_of(job))


def lacks_steps(run: dg.DagsterRun, job: JobName) -> bool:
    """Whether somebody has chosen steps of the job, and left out some that make tables."""
    if _resumes(run) or not run.step_keys_to_execute:
        return False
    return not table_steps(job) <= set(run.step_keys_to_execute)


def _checks(run: dg.DagsterRun) -> str:
    return ", ".join(sorted(f"the check {key.name}" for key in run.asset_check_selection or ()))
