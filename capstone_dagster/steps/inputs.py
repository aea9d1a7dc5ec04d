"""Checks before any work that the inputs of a step are published: the guard against early analytics.

Dagster's dependencies order the steps of one run; they do not stop a job whose inputs were never published. This
check does, however a run was started.
"""

from datetime import date

import dagster as dg

from capstone_dagster.assets.raw import record_arrivals
from capstone_dagster.trading_days import parse_day
from spark_code.flow import maker_of
from spark_code.lake import Lake
from spark_code.schemas import TABLES, Table

Need = tuple[Table, date]


def needed_inputs(step: dg.StepExecutionContext) -> list[Need]:
    """Every table and day that the step reads from the lake."""
    layer = step.job_def.asset_layer
    needs: list[Need] = []
    for name in step.op_def.input_dict:
        key = layer.get_asset_key_for_node_input(step.node_handle, name)
        table = TABLES.get(key.to_user_string()) if key else None
        if table:
            days = step.asset_partitions_subset_for_input(name).get_partition_keys()
            needs += [(table, date.fromisoformat(day)) for day in days]
    return needs


def made_tables(step: dg.StepExecutionContext) -> list[Table]:
    """Every table that the step publishes."""
    layer = step.job_def.asset_layer
    keys = [layer.get_asset_key_for_node_output(step.node_handle, name) for name in step.op_def.output_dict]
    return [TABLES[key.to_user_string()] for key in keys if key]


def missing_inputs(lake: Lake, needs: list[Need]) -> str | None:
    """Which inputs are not published, and which job ids make them; None if all are published."""
    missing = [need for need in needs if lake.manifest(*need) is None]
    if not missing:
        return None
    what = ", ".join(f"{table.path} of {of}" for table, of in missing)
    jobs = sorted({(of, maker_of(table).job) for table, of in missing})
    first = ", then ".join(f"{job}_{of} (capstone run {of} --job {job})" for of, job in jobs)
    return f"not published: {what}. Run first: {first}"


def require_inputs(step: dg.StepExecutionContext) -> None:
    """Fail before any work if an input of the step is missing: raw files, or days of the lake.

    It also records the deliveries, because a cluster that reads them has no run storage.
    """
    resources = step.resources
    if raw_folder := getattr(resources, "raw_folder", None):
        record_arrivals(step.instance, raw_folder.deliveries(parse_day(step.partition_key)))
    resources.lake.require_inputs(step)


def require_published(lake: Lake, needs: list[Need], day: date, job: str) -> None:
    """Fail without a retry if an input of ``day`` is missing; the message names it and the job that makes it."""
    missing = missing_inputs(lake, needs)
    if missing is None:
        return
    message = f"{missing}, and then capstone run {day} --job {job}"
    if any(of != day and lake.manifest(table, of) is None for table, of in needs):
        message += (
            ". To go on without the previous trading day's closes: --allow-missing-closes, or in the UI's launchpad "
            "resources.report_options.config.allow_missing_closes: true"
        )
    raise dg.Failure(message, allow_retries=False)
