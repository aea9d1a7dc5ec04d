"""The state of each day on the UI's page of a job's backfill whose runs are over several days.

For each day Dagster shows the run over all days, and if there are several, the oldest: one failed day makes all days
red, for good. Here each day has the state of its own latest run. The server of the UI calls this once.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime

import dagster as dg
from dagster._core.storage.dagster_run import RunPartitionData
from dagster_graphql.schema.backfill import GraphenePartitionBackfill

from capstone_dagster.run_tags import PARTITION_TAG, covers


def show_each_day() -> None:
    """Change the pages of backfills in this process."""
    GraphenePartitionBackfill._get_partition_run_data_for_ranged_job_backfill = _latest_runs  # type: ignore[method-assign, assignment]  # noqa: SLF001


def _latest_runs(
    page: GraphenePartitionBackfill, instance: dg.DagsterInstance, partition_set: object
) -> Sequence[RunPartitionData]:
    """The runs over the days, then those of each day since the backfill began; the page shows the last of each day."""
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
