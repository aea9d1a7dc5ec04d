"""The queue: Dagster's own, except that work outside Dagster does not count towards its limit.

``deploy/dagster.yaml`` names it. Daemon, webserver and command line load it with their instance, so it starts nothing.
"""

from dagster import DagsterRun, QueuedRunCoordinator, RunRecord, RunsFilter
from dagster._core.run_coordinator import SubmitRunContext
from dagster._core.run_coordinator.queued_run_coordinator import RunQueueConfig

from capstone_dagster.assets.jobs import limits
from capstone_dagster.run_tags import MAX_RETRIES_TAG, PARTITION_TAG, PRIORITY_TAG, RETRY_NUMBER_TAG, number_in
from capstone_dagster.runs.day_guard import refused
from capstone_dagster.runs.day_slot import IN_PROGRESS, day_locked, holder, say_who_is_waited_for
from capstone_dagster.runs.outside_run import is_outside
from capstone_dagster.settings import Settings


class DayRunCoordinator(QueuedRunCoordinator):
    """Every submitted run passes ``submit_run``, however it was started."""

    def submit_run(self, context: SubmitRunContext) -> DagsterRun:
        """Refuse the run, or queue it and write into its log which run works on its day."""
        run = context.dagster_run
        if of_user := context.workspace.get_viewer_tags():  # also of a re-execution, which has those of its parent
            self._instance.add_run_tags(run.run_id, of_user)
        # Read here, because Dagster creates the queue from deploy/dagster.yaml and cannot pass settings.
        settings = Settings.from_environment()
        if ended := refused(self._instance, run, settings.first_trading_day):
            return ended
        # A run of a job has them; one of chosen assets does not.
        missing = {tag: limit for tag, limit in limits(settings).items() if tag not in run.tags}
        if run.parent_run_id and run.tags.get(MAX_RETRIES_TAG) == "0":
            # It has copied the tag from its parent, which was not to be tried again.
            missing[MAX_RETRIES_TAG] = f"{settings.max_retries}"
        if missing:
            self._instance.add_run_tags(run.run_id, missing)
        if RETRY_NUMBER_TAG in run.tags:
            # Its process was lost. The days that wait behind it need its closes, so it goes before them again.
            self._instance.add_run_tags(run.run_id, {PRIORITY_TAG: f"{number_in(run, PRIORITY_TAG) + 1}"})
        taken = self._holder(run)
        queued = super().submit_run(context)
        if taken:
            say_who_is_waited_for(self._instance, queued, taken)
        return queued

    def get_run_queue_config(self) -> RunQueueConfig:
        """Allow as many runs in progress as configured, plus the work outside Dagster.

        Dagster's daemon asks before every look at the queue, and counts all runs in progress. Outside work holds the
        slot of its day, but uses none of the resources that the limit protects.
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
