"""What the UI's page of a job's backfill says of each day, where one run goes through several of them.

Dagster shows for each day the run over all of them, and of several such runs the oldest: one failed day makes all days
red, for good. Here each day has the state of its own latest run. Whoever serves the UI calls this once.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime

import dagster as dg
from dagster._core.storage.dagster_run import RunPartitionData
from dagster_graphql.schema.backfill import GraphenePartitionBackfill

from capstone_dagster.run_tags import PARTITION_TAG, covers


def show_each_day() -> None:
    """Let the pages of backfills do so from now on, in this process."""
    GraphenePartitionBackfill._get_partition_run_data_for_ranged_job_backfill = _latest_runs  # type: ignore[method-assign, assignment]  # noqa: SLF001


def _latest_runs(
    page: GraphenePartitionBackfill, instance: dg.DagsterInstance, partition_set: object
) -> Sequence[RunPartitionData]:
    """The runs over the days, then those of each day since the backfill began; of one day the last one counts."""
    del partition_set
    backfill = page._backfill_job  # noqa: SLF001
    days = {day: date.fromisoformat(day) for day in backfill.partition_names or ()}
    over_days = dg.RunsFilter(tags=dg.DagsterRun.tags_for_backfill_id(backfill.backfill_id))
    of_days = dg.RunsFilter(
        job_name=backfill.job_name,
        tags={PARTITION_TAG: list(days)},
        created_after=datetime.fromtimestamp(backfill.backfill_timestamp, UTC),
    )
    return [
        RunPartitionData(
            run_id=record.dagster_run.run_id,
            partition=name,
            status=record.dagster_run.status,
            start_time=record.start_time,
            end_time=record.end_time,
        )
        for wanted in (over_days, of_days)
        for record in instance.get_run_records(wanted, ascending=True)
        for name, day in days.items()
        if covers(record.dagster_run, day)
    ]
