"""Starts the runs of the queue: Dagster's own launcher, which respects the slots taken outside the queue.

``deploy/dagster.yaml`` names it. Daemon, webserver and command line load it with their instance, so it starts nothing.
"""

from dagster import DagsterRun, DagsterRunStatus, DefaultRunLauncher, RunsFilter
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, WorkerStatus
from dagster._serdes import ConfigurableClassData

from capstone_dagster.run_storage.outages import keep_log_lines_single
from capstone_dagster.run_tags import CODE_SERVER_TAG, DAYS_TAG, LAUNCHER_TAG, PARTITION_TAG, RUN_KEY_TAG, is_over_days
from capstone_dagster.runs.day_guard import refused
from capstone_dagster.runs.day_slot import IN_PROGRESS, back_to_queue, day_locked, end_dead, holder
from capstone_dagster.runs.lease import Lease
from capstone_dagster.runs.worker import Worker
from capstone_dagster.settings import Settings

_FINISHED = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]


class DayRunLauncher(DefaultRunLauncher):
    """Starts only runs of a trading day that is free, none twice; knows dead workers; ends those of no code server."""

    def __init__(self, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(inst_data)
        keep_log_lines_single()  # daemon, webserver and code server all load it

    def launch_run(self, context: LaunchRunContext) -> None:
        """Start the run, refuse it, let it wait again, or cancel it if another has done what it was asked for.

        The daemon looked whether the day was free before it marked this run as starting; in between
        somebody who does not use the queue may have taken it, or the daemon of another host this run.
        """
        run = context.dagster_run
        # Read here, and not handed on: Dagster makes the launcher from deploy/dagster.yaml, and knows no settings.
        if refused(self._instance, run, Settings.from_environment().first_trading_day):
            return
        day = run.tags.get(PARTITION_TAG)
        with day_locked(self._instance, day or run.run_id):
            if not self._is_to_be_launched(run.run_id):
                return
            if day and (taken := holder(self._instance, day, besides=run.run_id)):
                back_to_queue(self._instance, run, taken)
                return
            if day and (same := self._done_already(run, day)):
                reason = f"Not run: run {same.run_id} was asked for the same, and ended in {same.status.value}."
                self._instance.report_run_canceled(run, reason)
                return
            # Should this process and the code server die, it shows that nobody starts the run any more.
            self._instance.add_run_tags(run.run_id, Worker.process().signature(run.run_id, LAUNCHER_TAG))
        super().launch_run(context)

    def _is_to_be_launched(self, run_id: str) -> bool:
        """Whether the run has not ended meanwhile, and no other daemon has launched it."""
        current = self._instance.get_run_by_id(run_id)
        if current is None or current.is_finished:
            return False
        launcher = Worker.of(current, LAUNCHER_TAG)
        return launcher is None or launcher == Worker.process() or launcher.is_dead

    def _done_already(self, run: DagsterRun, day: str) -> DagsterRun | None:
        """The run of another sensor, or of the schedule, that had the same run key and has ended.

        Both may judge the day of the schedule's tick in the same second, as when a daemon starts again in the evening,
        and Dagster compares the keys of each alone.
        """
        key = run.tags.get(RUN_KEY_TAG)
        if not key or run.parent_run_id:  # what is tried again, or re-executed by a person, has the key of before
            return None
        same = self._instance.get_runs(RunsFilter(statuses=_FINISHED, tags={RUN_KEY_TAG: key, PARTITION_TAG: day}))
        return same[0] if same else None

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Run monitoring may ask."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Failed if the process that works on the run is gone, or its lease is over; running if that is not certain.

        A run is ended here, with a reason for people: run monitoring, which asks, would give Dagster's.
        """
        if end_dead(self._instance, run):
            return CheckRunHealthResult(WorkerStatus.FAILED, "it was lost, and has been ended")
        return CheckRunHealthResult(WorkerStatus.RUNNING)

    def terminate(self, run_id: str) -> bool:
        """Also end runs of ``capstone run`` and ``capstone track``, by a signal to their process."""
        run = self._instance.get_run_by_id(run_id)
        worker = Worker.of(run) if run else None
        if run and Lease.of(run) and not run.is_finished:
            self._instance.report_run_canceled(
                run, "stopped; work outside Dagster has no process that could be asked to end"
            )
            return True
        if run and worker and is_over_days(run) and not run.is_finished:
            self._cancel_day(run, worker)
        if run is None or run.is_finished or worker is None or CODE_SERVER_TAG in run.tags:
            return bool(super().terminate(run_id))  # type: ignore[no-untyped-call]
        if not worker.is_of_this_host:
            # Marked as canceling, it would give its slot back after a while, and work on.
            self._instance.report_engine_event(f"{worker} works on this run; stop it there.", run)
            return False
        self._instance.report_run_canceling(run)
        return worker.terminate()

    def _cancel_day(self, run: DagsterRun, worker: Worker) -> None:
        """The day that a run over several is at ends with it, canceled and not failed."""
        of_range = RunsFilter(statuses=IN_PROGRESS, tags={DAYS_TAG: run.tags.get(DAYS_TAG, run.run_id)})
        for day in self._instance.get_runs(of_range):
            if not is_over_days(day) and Worker.of(day) == worker:
                self._instance.report_run_canceling(day)
