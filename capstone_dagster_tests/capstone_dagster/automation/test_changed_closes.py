"""The sensor `changed_closes`: each change of closes makes the next day's report again, once, whatever the order."""

import itertools
import json
import random
import time
from collections.abc import Iterator
from datetime import date, timedelta

import dagster as dg
import pytest

from capstone_dagster.assets.jobs import JOB_NAMES
from capstone_dagster.automation import changed_actions
from capstone_dagster.automation import changed_closes as module
from capstone_dagster.automation.changed_closes import Cursor, changed_closes
from capstone_dagster.run_tags import DELIVERIES_TAG
from capstone_dagster_tests.builders.hand_made_days import (
    FRIDAY,
    PREVIOUS,
    THURSDAY,
    TUESDAY,
    HandMadeDays,
    HandMadeRun,
    pointer,
)
from capstone_dagster_tests.builders.run_histories import FAILURE, SUCCESS, Event
from spark_code.corporate_actions import INPUT
from spark_code.manifest import Attempt
from spark_code.schemas import CLOSES, DAILY_SUMMARY, QUALITY, QUOTE_ANALYTICS, TRADES, Table

# Started for files: by itself.
BY_ITSELF = {DELIVERIES_TAG: "files"}


class Ticks:
    """The sensor as the daemon evaluates it, a minute after what happened."""

    def __init__(self, days: HandMadeDays) -> None:
        self.days = days
        self.later = timedelta(minutes=1)
        self.cursor: str | None = None
        self.passes = 0.0
        self._seconds = 0.0
        self._sensor = changed_closes(days.settings, lambda: time.time() + self.later.total_seconds(), self._monotonic)

    def evaluated(self) -> dg.SensorResult:
        """One evaluation; the daemon may die before it keeps the cursor."""
        with dg.build_sensor_context(instance=self.days.instance, cursor=self.cursor) as context:
            result = self._sensor(context)
        assert isinstance(result, dg.SensorResult)
        return result

    def tick(self) -> list[HandMadeRun]:
        """One tick; the runs that it put into the queue. As the daemon does, each run key once for ever."""
        result = self.evaluated()
        self.cursor = result.cursor
        return [run for request in result.run_requests or [] if (run := self._queue(request))]

    def said(self) -> str:
        """Why a tick asks for nothing."""
        result = self.evaluated()
        self.cursor = result.cursor
        assert not result.run_requests
        return str(result.skip_reason and result.skip_reason.skip_message)

    def _monotonic(self) -> float:
        """So many seconds pass whenever the sensor looks at the clock."""
        self._seconds += self.passes
        return self._seconds

    def _queue(self, request: dg.RunRequest) -> HandMadeRun | None:
        job = next(name for name in JOB_NAMES if name == request.job_name)
        assert request.partition_key
        tags = {"dagster/run_key": request.run_key or ""}
        if self.days.instance.get_runs(dg.RunsFilter(tags=tags)):
            return None
        return self.days.queued(job, date.fromisoformat(request.partition_key), tags=tags)


@pytest.fixture
def ticks(days: HandMadeDays) -> Ticks:
    """Three days are published, and the sensor has seen it."""
    for day in (THURSDAY, FRIDAY, TUESDAY):
        days.ran("daily_pipeline", day, tags=BY_ITSELF)
    ticks = Ticks(days)
    assert ticks.tick() == []
    return ticks


def named(runs: list[HandMadeRun]) -> list[tuple[str, date]]:
    return [(run.job, run.day) for run in runs]


def correct(days: HandMadeDays, day: date, price: str) -> None:
    days.ran("daily_pipeline", day, f"{day} {price}", price=price, tags=BY_ITSELF)


def finish(run: HandMadeRun, end: Event = SUCCESS) -> None:
    run.starts()
    if end == SUCCESS:
        run.reports()
    run.ends(end)


def test_a_tick_without_news_says_so(ticks: Ticks) -> None:
    assert ticks.said() == "no closes and no reports were published since the last tick"


def test_changed_closes_make_the_report_of_the_next_trading_day_again_once(ticks: Ticks) -> None:
    correct(ticks.days, FRIDAY, "11")

    (run,) = ticks.tick()
    assert named([run]) == [("analytical", TUESDAY)]
    assert ticks.said() == f"2020-09-08 waits for the end of analytical (QUEUED, run {run.run_id})"
    finish(run)
    assert ticks.said() == "2020-09-08 is up to date"
    assert ticks.said() == "no closes and no reports were published since the last tick"


def test_a_correction_that_changes_no_close_asks_for_nothing(ticks: Ticks) -> None:
    ticks.days.ran("daily_pipeline", FRIDAY, "quotes corrected", tags=BY_ITSELF)
    assert ticks.tick() == []
    assert ticks.tick() == []


@pytest.mark.parametrize("has_read", [False, True], ids=["before it reads", "after it has read"])
def test_closes_that_change_while_the_next_day_is_worked_on_are_not_lost(ticks: Ticks, has_read: bool) -> None:
    next_day = ticks.days.started("analytical", TUESDAY)
    read = next_day.reads() if has_read else None
    correct(ticks.days, FRIDAY, "11")
    assert ticks.tick() == []
    next_day.reports(read)
    assert ticks.tick() == []
    next_day.ends(SUCCESS)

    assert named(ticks.tick()) == ([("analytical", TUESDAY)] if has_read else [])


def test_closes_that_change_while_the_next_day_waits_in_the_queue_need_no_run_of_their_own(ticks: Ticks) -> None:
    next_day = ticks.days.queued("daily_pipeline", TUESDAY, tags=BY_ITSELF)
    correct(ticks.days, FRIDAY, "11")
    assert ticks.tick() == []
    next_day.starts()
    next_day.loads("B")
    finish_report(next_day)
    assert [ticks.tick(), ticks.tick()] == [[], []]


def finish_report(run: HandMadeRun) -> None:
    run.reports()
    run.ends(SUCCESS)


def test_closes_that_change_after_the_next_day_has_failed_make_its_report(ticks: Ticks) -> None:
    failed = ticks.days.started("daily_pipeline", TUESDAY, tags=BY_ITSELF)
    failed.loads("B")
    failed.ends(FAILURE)
    correct(ticks.days, FRIDAY, "11")

    assert named(ticks.tick()) == [("analytical", TUESDAY)]


def test_a_run_that_fails_is_not_asked_for_again_until_the_closes_change_again(ticks: Ticks) -> None:
    correct(ticks.days, FRIDAY, "11")
    (run,) = ticks.tick()
    finish(run, FAILURE)
    assert "analytical_2020-09-08 ended in FAILURE" in ticks.said()
    assert ticks.said() == "no closes and no reports were published since the last tick"
    ticks.days.ran("daily_pipeline", FRIDAY, "quotes corrected", price="11", tags=BY_ITSELF)
    # Other versions, though of the same rows: a new state, and the report is still of the old closes.
    assert named(ticks.tick()) == [("analytical", TUESDAY)]


def test_two_corrections_in_a_row_make_one_report_if_the_run_reads_the_second(ticks: Ticks) -> None:
    correct(ticks.days, FRIDAY, "11")
    (run,) = ticks.tick()
    correct(ticks.days, FRIDAY, "12")
    assert ticks.tick() == []
    finish(run)
    assert [ticks.tick(), ticks.tick()] == [[], []]


def test_two_corrections_in_a_row_make_two_reports_if_the_run_has_read_the_first(ticks: Ticks) -> None:
    correct(ticks.days, FRIDAY, "11")
    (run,) = ticks.tick()
    run.starts()
    read = run.reads()
    correct(ticks.days, FRIDAY, "12")
    run.reports(read)
    run.ends(SUCCESS)

    (second,) = ticks.tick()
    finish(second)
    assert [ticks.tick(), ticks.tick()] == [[], []]


def test_a_correction_that_is_taken_back_before_anybody_looks_asks_for_nothing(ticks: Ticks) -> None:
    correct(ticks.days, FRIDAY, "11")
    correct(ticks.days, FRIDAY, "10")
    assert ticks.tick() == []


def test_a_correction_that_is_taken_back_later_makes_the_report_again(ticks: Ticks) -> None:
    for price in ("11", "10"):
        correct(ticks.days, FRIDAY, price)
        (run,) = ticks.tick()
        finish(run)
        assert ticks.tick() == []


def test_all_changes_between_two_ticks_are_seen(ticks: Ticks) -> None:
    for day in (FRIDAY, THURSDAY):
        correct(ticks.days, day, "11")
    ticks.days.ran("preprocessing", TUESDAY, tags=BY_ITSELF)  # the latest of all, and of no interest

    assert named(ticks.tick()) == [("analytical", FRIDAY), ("analytical", TUESDAY)]


def test_a_tick_whose_cursor_was_not_kept_asks_for_the_same_again(ticks: Ticks) -> None:
    correct(ticks.days, FRIDAY, "11")
    first, second = ticks.evaluated(), ticks.evaluated()
    assert [request.run_key for request in first.run_requests or []] == [
        request.run_key for request in second.run_requests or []
    ]
    assert len(ticks.tick()) == 1
    # And once its run was queued, nothing is asked for.
    ticks.cursor = None
    assert ticks.tick() == []


# --- days that wait ---


def test_a_day_that_waits_for_closes_is_reported_once_when_they_come(days: HandMadeDays) -> None:
    days.ran("daily_pipeline", THURSDAY)
    days.ran("preprocessing", TUESDAY, tags=BY_ITSELF)
    ticks = Ticks(days)
    assert ticks.tick() == []

    days.ran("daily_pipeline", FRIDAY, tags=BY_ITSELF)
    (run,) = ticks.tick()
    assert named([run]) == [("analytical", TUESDAY)]
    finish(run)
    assert [ticks.tick(), ticks.tick()] == [[], []]


def test_closes_that_come_while_a_day_is_loaded_without_them_are_not_lost(days: HandMadeDays) -> None:
    days.ran("daily_pipeline", THURSDAY)
    waiting = days.started("preprocessing", TUESDAY, tags=BY_ITSELF)
    ticks = Ticks(days)
    days.ran("daily_pipeline", FRIDAY, tags=BY_ITSELF)
    assert ticks.tick() == []
    waiting.loads()
    waiting.ends(SUCCESS)

    assert named(ticks.tick()) == [("analytical", TUESDAY)]


def test_preprocessing_of_days_by_hand_makes_no_report(days: HandMadeDays) -> None:
    ticks = Ticks(days)
    for day in (THURSDAY, FRIDAY):
        days.ran("preprocessing", day)
        next_day = days.started("preprocessing", TUESDAY if day == FRIDAY else FRIDAY)
        assert ticks.tick() == []
        next_day.loads("B")
        next_day.ends(SUCCESS)
        assert ticks.tick() == []


def test_a_report_that_was_made_from_older_closes_is_noticed_when_it_is_published(ticks: Ticks) -> None:
    """Also where the event of the closes was lost, with the process that published them."""
    next_day = ticks.days.started("analytical", TUESDAY)
    read = next_day.reads()
    correct(ticks.days, FRIDAY, "11")
    told = json.loads(ticks.cursor or "")
    ticks.cursor = json.dumps(told | {"read": told["read"] | {CLOSES.path: 10**6}})
    next_day.reports(read)
    next_day.ends(SUCCESS)

    assert named(ticks.tick()) == [("analytical", TUESDAY)]


# --- what is read ---


def publish(days: HandMadeDays, table: Table, day: str | None) -> None:
    """An event alone."""
    days.instance.report_runless_asset_event(dg.AssetMaterialization(table.path.split("/"), partition=day))


@pytest.mark.parametrize("day", [None, "all", "2020-09-05", "2020-01-02", "2039-12-29", "2040-12-31", "2041-01-02"])
def test_an_event_of_no_day_that_can_be_run_is_passed_by(ticks: Ticks, day: str | None) -> None:
    for table in (CLOSES, QUOTE_ANALYTICS):
        publish(ticks.days, table, day)
    assert ticks.said() == "no closes and no reports were published since the last tick"


def test_the_first_tick_looks_back_for_a_day(days: HandMadeDays) -> None:
    for day in (THURSDAY, FRIDAY):
        days.ran("daily_pipeline", day)
    correct(days, THURSDAY, "11")

    next_day, yesterday = Ticks(days), Ticks(days)
    next_day.later = timedelta(hours=25)
    assert next_day.tick() == []
    yesterday.later = timedelta(hours=23)
    assert named(yesterday.tick()) == [("analytical", FRIDAY)]

    # What comes after it is seen.
    publish(days, CLOSES, f"{THURSDAY}")
    assert "2020-09-04 waits" in next_day.said()


def test_the_cursor_of_an_older_release_goes_on_where_it_stopped(ticks: Ticks) -> None:
    read = json.loads(ticks.cursor or "")["read"]
    text = f'{{"read": {json.dumps(read)}, "pending": ["{TUESDAY}"], "next": null}}'

    ticks.cursor = text
    assert ticks.said() == f"{TUESDAY} is up to date"
    assert Cursor.parse(text) == Cursor(read=read, pending=(TUESDAY,), next=None)
    assert ticks.said() == "no closes and no reports were published since the last tick"


def test_events_that_have_just_happened_are_read_again(ticks: Ticks) -> None:
    """One with a smaller number may become visible yet."""
    ticks.later = timedelta(0)
    publish(ticks.days, CLOSES, f"{FRIDAY}")
    assert [ticks.said(), ticks.said()] == ["2020-09-08 is up to date"] * 2
    ticks.later = timedelta(minutes=1)
    assert ticks.said() == "2020-09-08 is up to date"
    assert ticks.said() == "no closes and no reports were published since the last tick"


def test_more_events_than_a_tick_reads_are_read_by_the_next(ticks: Ticks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_EVENTS_PER_TICK", 1)
    for day in (FRIDAY, THURSDAY):
        ticks.days.ran("preprocessing", day, "B", price="11", tags=BY_ITSELF)
    assert named(ticks.tick()) == [("analytical", TUESDAY)]
    assert named(ticks.tick()) == [("analytical", FRIDAY)]


def test_days_for_which_a_tick_has_no_time_are_looked_up_by_the_next(ticks: Ticks) -> None:
    for day in (FRIDAY, THURSDAY):
        ticks.days.ran("preprocessing", day, "B", price="11", tags=BY_ITSELF)
    ticks.passes = 30.0

    (first,) = ticks.tick()
    (second,) = ticks.tick()
    assert named([first, second]) == [("analytical", FRIDAY), ("analytical", TUESDAY)]


def test_a_day_that_cannot_be_judged_takes_no_other_day_its_time(ticks: Ticks) -> None:
    for day in (FRIDAY, THURSDAY):
        correct(ticks.days, day, "11")
    ticks.days.lake.storage.write(pointer(TRADES, FRIDAY), b"{")
    ticks.passes = 30.0

    # Thursday has no closes before it and is settled at once, Friday cannot be judged.
    runs = [ticks.tick() for _ in range(3)]
    assert named([run for tick in runs for run in tick]) == [("analytical", TUESDAY)]
    assert "2020-09-04 cannot be judged: " in ticks.said()


@pytest.mark.parametrize("cursor", ["{", "null", "[]", "1599500000.0", '{"read": 1}', '{"read": {}, "pending": ["x"]}'])
def test_a_cursor_that_somebody_has_broken_begins_anew(ticks: Ticks, cursor: str) -> None:
    correct(ticks.days, FRIDAY, "11")
    ticks.cursor = cursor

    (run,) = ticks.tick()
    finish(run)
    assert named([run]) == [("analytical", TUESDAY)]
    assert [ticks.tick(), ticks.tick()] == [[], []]


def test_what_is_wrong_with_one_day_stops_no_other(ticks: Ticks) -> None:
    for day in (FRIDAY, THURSDAY):
        correct(ticks.days, day, "11")
    kept = ticks.days.lake.storage.read(pointer(TRADES, FRIDAY))
    assert kept
    ticks.days.lake.storage.write(pointer(TRADES, FRIDAY), b"{")

    (run,) = ticks.tick()
    assert named([run]) == [("analytical", TUESDAY)]
    assert "2020-09-04 cannot be judged: " in ticks.said()
    ticks.days.lake.storage.write(pointer(TRADES, FRIDAY), kept)
    assert named(ticks.tick()) == [("analytical", FRIDAY)]


# --- any order ---

SPLIT, OTHER_SPLIT = f"ABC,{FRIDAY},split,4", f"ABC,{FRIDAY},split,5"


def test_a_changed_file_of_actions_makes_the_reports_again_that_it_changes_once(ticks: Ticks) -> None:
    ticks.days.act(SPLIT, "XYZ,2020-09-07,cash,1", "XYZ,2020-09-09,cash,1")

    runs = ticks.tick()
    assert named(runs) == [("analytical", FRIDAY), ("analytical", TUESDAY)]
    assert ticks.tick() == []
    for run in runs:
        finish_report(run)
    assert ticks.said() == "2020-09-04 is up to date; 2020-09-08 is up to date"
    assert ticks.said() == "no closes and no reports were published since the last tick"
    ticks.days.act("XYZ,2020-09-08,cash,2", "nonsense", "XYZ,2020-09-07,cash,1.0", SPLIT)
    assert named(ticks.tick()) == [("analytical", TUESDAY)]


def test_actions_that_become_what_they_were_before_make_the_report_again(ticks: Ticks) -> None:
    keys = set()
    for lines in ([SPLIT], [OTHER_SPLIT], [SPLIT], [], [SPLIT]):
        ticks.days.act(*lines)
        (run,) = ticks.tick()
        assert (run.job, run.day) == ("analytical", FRIDAY)
        keys.add(run.run_id)
        finish_report(run)
        assert ticks.said() == "2020-09-04 is up to date"
    assert len(keys) == 5


def test_a_run_that_does_not_see_the_actions_is_asked_for_once(ticks: Ticks) -> None:
    ticks.days.act(SPLIT)
    (run,) = ticks.tick()
    run.starts()
    run.reports({name: version for name, version in run.reads().items() if name != INPUT})
    run.ends()

    assert ticks.said().startswith("analytical_2020-09-04 ended in SUCCESS with these inputs (run ")
    assert ticks.said() == "no closes and no reports were published since the last tick"


def test_a_day_that_its_quality_stopped_is_run_again_when_its_split_is_known(days: HandMadeDays) -> None:
    days.ran("daily_pipeline", THURSDAY, tags=BY_ITSELF)
    stopped = days.started("daily_pipeline", FRIDAY, tags=BY_ITSELF)
    stopped.loads()
    days.publish(Attempt(stopped.run_id, 1, 1), QUALITY, FRIDAY, stopped.reads())
    stopped.ends(FAILURE)
    ticks = Ticks(days)
    ticks.tick()

    days.act(SPLIT)

    assert named(ticks.tick()) == [("analytical", FRIDAY)]


def test_more_reports_than_a_tick_compares_with_the_file_are_compared_by_the_next(
    ticks: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changed_actions, "_AT_ONCE", 1)
    ticks.days.act(SPLIT, f"ABC,{TUESDAY},split,2")

    assert named(ticks.tick()) == [("analytical", TUESDAY)]
    assert named(ticks.tick()) == [("analytical", FRIDAY)]
    assert ticks.tick() == ticks.tick() == []


def test_broken_manifests_keep_no_day_from_being_compared_with_the_file(ticks: Ticks) -> None:
    storage, broken = ticks.days.lake.storage, pointer(DAILY_SUMMARY, FRIDAY)
    storage.write(broken, b"torn")
    storage.write(broken.replace(f"{FRIDAY}", "2020-13-12"), b"of no day")
    ticks.days.act(SPLIT, f"ABC,{TUESDAY},split,2")

    assert named(ticks.tick()) == [("analytical", FRIDAY), ("analytical", TUESDAY)]


def steps(run: HandMadeRun, price: str) -> Iterator[None]:
    """What a run does, with time for others in between."""
    run.starts()
    yield
    if run.job == "daily_pipeline":
        run.loads(f"{run.day} {price}", price=price)
        yield
    read = run.reads()
    yield
    run.reports(read)
    yield
    run.ends(SUCCESS)


class Queue:
    """Runs one after another of each day, days side by side, in an order that chance decides."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._waiting: list[tuple[HandMadeRun, str]] = []
        self._working: dict[date, Iterator[None]] = {}

    def add(self, run: HandMadeRun, price: str = "") -> None:
        self._waiting.append((run, price))

    def __bool__(self) -> bool:
        return bool(self._waiting or self._working)

    def goes_on(self) -> None:
        """A step of some run, if there is any."""
        free = [entry for entry in self._waiting if entry[0].day not in self._working]
        if free and (not self._working or self._rng.random() < 0.5):
            self._waiting.remove(free[0])
            self._working[free[0][0].day] = steps(*free[0])
        elif self._working:
            day = self._rng.choice(list(self._working))
            if next(self._working[day], "ended") == "ended":
                del self._working[day]


@pytest.mark.faults("F5", sample=True)
@pytest.mark.parametrize("seed", range(6))
def test_in_any_order_of_corrections_runs_and_ticks_every_report_ends_up_current(ticks: Ticks, seed: int) -> None:
    rng, days = random.Random(seed), ticks.days  # noqa: S311 - reproducible, not secret
    queue, corrections, made_again = Queue(rng), 0, 0
    for moment in itertools.count():
        chance = rng.random()
        if chance < 0.1 and moment < 60:
            day, price = rng.choice((THURSDAY, FRIDAY)), rng.choice(("10", "11"))
            queue.add(days.queued("daily_pipeline", day, tags=BY_ITSELF), price)
            corrections += 1
        elif chance < 0.3:
            runs = ticks.tick()
            made_again += len(runs)
            for run in runs:
                queue.add(run)
            if moment >= 60 and not queue and not ticks.tick():
                break
        else:
            queue.goes_on()
    assert [days.judge().report(day, before) for day, before in PREVIOUS.items()] == ["current"] * 3
    assert made_again <= corrections
