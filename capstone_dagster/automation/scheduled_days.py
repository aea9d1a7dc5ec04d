"""What one tick of the schedule makes of its trading day, and of the days whose ticks were missed before it.

Of the ticks that a stopped daemon has missed, Dagster makes only the last: the days of the others are judged with it.
"""

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import islice, takewhile

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorType, ScheduleInstigatorData, TickStatus

from capstone_dagster.assets.jobs import JobName
from capstone_dagster.automation.landing import has_landed
from capstone_dagster.automation.needed_runs import Judge, Verdict
from capstone_dagster.deliveries.scan import still_arriving
from capstone_dagster.runs.unfinished import unfinished_runs
from capstone_dagster.settings import Settings
from capstone_dagster.trading_days import NEW_YORK, TradingDays, trading_days
from spark_code.lake import Lake, LakeError
from spark_code.locations import StorageError
from spark_code.raw_files import MissingDeliveryError, RawFolder, UnreadableNameError

_JOB: JobName = "daily_pipeline"
# A daemon that was down for longer: the sensor runs what has files, and nobody wants a failure for every day without.
_MOST_MISSED_DAYS = 5
# Of a precondition. Dagster gives a tick a minute, also for all the missed days.
_COMMAND_SECONDS = 2.0


@dataclass(frozen=True)
class Tick:
    """One tick of a schedule of `daily_pipeline`: its day is that of the time it was due at, whenever it is made."""

    settings: Settings
    context: dg.ScheduleEvaluationContext
    schedule: str
    """The name."""

    @property
    def due(self) -> datetime:
        """When it should be made."""
        return self.context.scheduled_execution_time.astimezone(NEW_YORK)

    def judged(self) -> tuple[list[dg.RunRequest], list[str]]:
        """The runs to start, the oldest day first; and in words what is done with every day."""
        calendar = trading_days(self.settings.first_trading_day)
        today = self.due.date()
        days = self._missed(calendar, today)
        reasons = []
        if closed := calendar.why_closed(today):
            reasons.append(f"no run of {today}: {closed}")
        else:
            days.append(today)
        requests: dict[date | None, dg.RunRequest] = {}
        away: StorageError | None = None
        for day in days:
            previous = calendar.previous(day)
            try:
                # A store that is away takes half a minute to say so: once is enough.
                verdict = _in_doubt(day, away) if away else self._judged(day, previous, on_the_way=previous in requests)
            except StorageError as error:
                away, verdict = error, _in_doubt(day, error)
            except (LakeError, UnreadableNameError) as error:
                verdict = _in_doubt(day, error)
            reasons.append(verdict.reason)
            if verdict.job:
                # A schedule has one job, which does all that is due. Without the closes of the day before it loads
                # the day, and then says so.
                requests[day] = replace(verdict, job=_JOB).request(day)
        return list(requests.values()), reasons

    def _judged(self, day: date, previous: date | None, *, on_the_way: bool) -> Verdict:
        lake = Lake(self.settings.lake_uri)
        is_published = has_landed(lake, day)  # asked first: an error if the lake cannot be read
        try:
            deliveries = RawFolder(self.settings.raw_uri).deliveries(day)
        except MissingDeliveryError as missing:
            if is_published:
                return Verdict(f"{day} is published, and its raw files are gone")
            return Verdict(f"{day} is run, to fail for all to see: {missing}", _JOB, run_key=f"{day}")
        if arriving := still_arriving(deliveries, self.settings.quiet_seconds, datetime.now(UTC)):
            are = "is" if len(arriving) == 1 else "are"
            return Verdict(
                f"{' and '.join(arriving)} {are} still arriving; the sensor new_files runs {day} when it is complete"
            )
        instance = self.context.instance
        judge = Judge(instance, lake, unfinished_runs(instance))
        verdict = judge.files(day, previous, deliveries, on_the_way=on_the_way)
        if verdict.job and (unmet := self.settings.preconditions.unmet_of(deliveries, _COMMAND_SECONDS)):
            # Not as a run for these files: those the sensor runs when the preconditions hold.
            return Verdict(f"{day} is run, to fail for all to see: {unmet}", _JOB, run_key=f"{day}")
        return verdict

    def _missed(self, calendar: TradingDays, today: date) -> list[date]:
        """The trading days before whose ticks Dagster has not made, the oldest first."""
        handled_until = self._handled_until()
        if handled_until is None:
            return []
        at = self.settings.schedule_time
        before = calendar.back_from(today - timedelta(days=1))
        missed = takewhile(lambda day: datetime.combine(day, at, NEW_YORK) > handled_until, before)
        return sorted(islice(missed, _MOST_MISSED_DAYS))

    def _handled_until(self) -> datetime | None:
        """When the last tick was due that came to a result, or the schedule was switched on; None outside a daemon."""
        if self.context.instance_ref is None:
            return None
        instance, moments = self.context.instance, [0.0]
        for state in instance.all_instigator_state(instigator_type=InstigatorType.SCHEDULE):
            if state.instigator_name == self.schedule and isinstance(state.instigator_data, ScheduleInstigatorData):
                ticks = instance.get_ticks(
                    state.instigator_origin_id,
                    state.selector_id,
                    before=self.due.timestamp(),
                    limit=1,
                    statuses=[TickStatus.SUCCESS, TickStatus.SKIPPED],
                )
                moments += [state.instigator_data.start_timestamp or 0.0, *(tick.timestamp for tick in ticks)]
        return datetime.fromtimestamp(max(moments), UTC) if any(moments) else None


def _in_doubt(day: date, error: Exception) -> Verdict:
    """Of a day that cannot be judged: the job tracker then says what its run has met."""
    return Verdict(f"{day} is run, whatever it needs: {error}", _JOB, run_key=f"{day}")
