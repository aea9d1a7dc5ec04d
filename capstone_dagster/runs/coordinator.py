"""The queue: Dagster's own, in which work done outside Dagster takes no place.

Named in ``deploy/dagster.yaml``. Daemon, webserver and command line load it with their instance, so it imports nothing
of Spark.
"""

from dagster import DagsterRun, QueuedRunCoordinator, RunRecord, RunsFilter
from dagster._core.run_coordinator import SubmitRunContext
from dagster._core.run_coordinator.queued_run_coordinator import RunQueueConfig

from capstone_dagster.run_tags import MAX_RETRIES_TAG, PARTITION_TAG
from capstone_dagster.runs.day_guard import refused
from capstone_dagster.runs.day_slot import IN_PROGRESS, day_locked, holder, say_who_is_waited_for
from capstone_dagster.runs.outside_run import is_outside
from capstone_dagster.settings import Settings


class DayRunCoordinator(QueuedRunCoordinator):
    """Every run that is submitted, by whatever door, passes ``submit_run``."""

    def submit_run(self, context: SubmitRunContext) -> DagsterRun:
        """Refuse the run, or put it into the queue and tell in its log who works on its day."""
        run = context.dagster_run
        # Read here, and not handed on: Dagster makes the queue from deploy/dagster.yaml, and knows no settings.
        settings = Settings.from_environment()
        if ended := refused(self._instance, run, settings.first_trading_day):
            return ended
        if run.parent_run_id and run.tags.get(MAX_RETRIES_TAG) == "0":
            # Copied from its parent, which nobody was to try again.
            self._instance.add_run_tags(run.run_id, {MAX_RETRIES_TAG: f"{settings.max_retries}"})
        taken = self._holder(run)
        queued = super().submit_run(context)
        if taken:
            say_who_is_waited_for(self._instance, queued, taken)
        return queued

    def get_run_queue_config(self) -> RunQueueConfig:
        """How many runs may be in progress: as many as configured, besides the work outside Dagster.

        Dagster's daemon asks before every look at the queue, and counts all runs in progress. Outside work holds the
        slot of its day, and uses nothing of what the limit is for.
        """
        configured = super().get_run_queue_config()
        if configured.max_concurrent_runs <= 0:  # no limit, or a queue that is held on purpose
            return configured
        in_progress = self._instance.get_runs(RunsFilter(statuses=IN_PROGRESS))
        most = configured.max_concurrent_runs + sum(map(is_outside, in_progress))
        return configured._replace(max_concurrent_runs=most)

    def _holder(self, run: DagsterRun) -> RunRecord | None:
        day = run.tags.get(PARTITION_TAG)
        if not day:
            return None
        with day_locked(self._instance, day):
            return holder(self._instance, day, besides=run.run_id)
