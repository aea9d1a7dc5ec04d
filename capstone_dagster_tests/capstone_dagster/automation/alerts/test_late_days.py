"""The late alarm: every day is judged once, told about once if it is late, and looked at until it lands."""

from collections.abc import Collection
from datetime import date
from pathlib import Path

import dagster as dg
import pytest

from capstone_dagster.assets.jobs import LANDED
from capstone_dagster.automation.alerts.late_days import late_days
from capstone_dagster.automation.alerts.messages import Alert, Sent
from capstone_dagster.deliveries.sample import Sample
from capstone_dagster.settings import Settings
from capstone_dagster.trading_days import trading_days
from capstone_dagster_tests.builders.lakes import break_storage, deliver, land
from capstone_dagster_tests.builders.run_histories import FAILURE, STARTED, Histories, failed
from capstone_dagster_tests.capstone_dagster.test_trading_days import in_new_york
from capstone_dagster_tests.servers.job_status_database import Database
from capstone_dagster_tests.servers.platform import Platform
from spark_code.raw_files import SOURCES

FIRST = date(2020, 8, 3)
CHANNELS = {"CAPSTONE_ALERT_URLS": "json://nowhere.invalid slack://nowhere.invalid"}
JSON, SLACK = "channel 1 (json)", "channel 2 (slack)"


class Mailbox:
    """What people get, by channel; a channel that is down takes nothing."""

    def __init__(self) -> None:
        self.taken: dict[str, list[Alert]] = {JSON: [], SLACK: []}
        self.down: set[str] = set()

    def deliver(self, settings: Settings, alert: Alert, to: Collection[str]) -> Sent:
        assert len(settings.alert_urls) == len(self.taken)
        taken_by = [channel for channel in to if channel not in self.down]
        for channel in taken_by:
            self.taken[channel].append(alert)
        return Sent(tuple(taken_by), {channel: "is down" for channel in to if channel in self.down})

    def titles(self, channel: str = JSON) -> list[str]:
        return [alert.title for alert in self.taken[channel]]


class Alarm:
    """The sensor over a lake, at times that a test names."""

    def __init__(self, folder: Path, instance: dg.DagsterInstance) -> None:
        platform = Platform(folder, FIRST)
        self.settings = Settings.from_mapping(platform.environment | CHANNELS)
        self.lake, self.raw, self.mailbox = platform.lake, platform.raw, Mailbox()
        self._instance = instance
        self.cursor: str | None = None
        self.passes = 0.0
        self._seconds = 0.0
        self._now = in_new_york(FIRST, "00:00")
        self._sensor = late_days(self.settings, self._clock, self.mailbox.deliver, self._monotonic)

    def tick(self, day: str, clock: str) -> str:
        """Look at this time in New York; what the tick says."""
        self._now = in_new_york(date.fromisoformat(day), clock)
        with dg.build_sensor_context(instance=self._instance, cursor=self.cursor) as context:
            ticked = self._sensor.evaluate_tick(context)
        self.cursor = ticked.cursor
        return str(ticked.skip_message)

    def _clock(self) -> float:
        return self._now.timestamp()

    def _monotonic(self) -> float:
        """So many seconds pass whenever the sensor looks at the clock."""
        self._seconds += self.passes
        return self._seconds

    def land(self, *days: str) -> None:
        for day in days:
            land(self.lake, date.fromisoformat(day))

    @property
    def checks(self) -> list[tuple[str, bool]]:
        """All evaluations of the check, the first one first: the day, and whether it had landed."""
        records = self._instance.event_log_storage.get_asset_check_execution_history(LANDED, limit=100)
        evaluations = [record.evaluation for record in reversed(records)]
        return [(str(judged.metadata["day"].value), judged.passed) for judged in evaluations if judged]


@pytest.fixture
def instance(database: Database) -> dg.DagsterInstance:
    """Statuses are read from Postgres."""
    return database.instance


@pytest.fixture
def alarm(tmp_path: Path, histories: Histories) -> Alarm:
    return Alarm(tmp_path / "home", histories.instance)


@pytest.fixture
def watching(alarm: Alarm) -> Alarm:
    """After the first tick, with Wednesday the 5th landed in time."""
    alarm.land("2020-08-05")
    alarm.tick("2020-08-05", "20:00")
    assert alarm.checks == [("2020-08-05", True)]
    return alarm


def late(day: str) -> str:
    return f"{day} has not landed by 20:00 New York"


def test_a_day_that_has_landed_in_time_is_a_passed_check_and_no_alert(watching: Alarm) -> None:
    watching.land("2020-08-06")

    assert watching.tick("2020-08-06", "19:59") == "all has landed up to 2020-08-05"
    assert watching.tick("2020-08-06", "20:00") == "2020-08-06 has landed"
    assert watching.tick("2020-08-06", "20:01") == "all has landed up to 2020-08-06"
    assert watching.checks == [("2020-08-05", True), ("2020-08-06", True)]
    assert watching.mailbox.titles() == []


def test_a_late_day_is_a_failed_check_and_one_alert_that_says_where_it_hangs(
    watching: Alarm, histories: Histories
) -> None:
    deliver(watching.raw, date(2020, 8, 6))
    run_id = histories.run("daily_pipeline", STARTED, failed("eod", "disk full"), FAILURE)

    told = watching.tick("2020-08-06", "20:00")
    again = [watching.tick("2020-08-06", f"20:0{minute}") for minute in range(1, 4)]

    reason = "daily_pipeline_2020-08-06 ended in FAILURE: disk full"
    assert told == f"{late('2020-08-06')}: {reason}; alert of 2020-08-06 sent to 2 channels"
    assert again == ["nothing new; still late: 2020-08-06"] * 3
    assert watching.checks == [("2020-08-05", True), ("2020-08-06", False)]
    alert = Alert(late("2020-08-06"), f"Day: 2020-08-06\nReason: {reason}", run_id)
    assert watching.mailbox.taken == {JSON: [alert], SLACK: [alert]}


def test_a_day_that_lands_late_is_a_passed_check_and_no_second_alert(watching: Alarm) -> None:
    watching.tick("2020-08-06", "20:00")
    watching.land("2020-08-06")

    assert watching.tick("2020-08-06", "23:00") == "2020-08-06 has landed"
    assert watching.tick("2020-08-06", "23:01") == "all has landed up to 2020-08-06"
    assert watching.checks[1:] == [("2020-08-06", False), ("2020-08-06", True)]
    assert watching.mailbox.titles() == [late("2020-08-06")]


def test_the_last_word_of_the_check_is_about_the_day_that_is_due_now(watching: Alarm) -> None:
    watching.tick("2020-08-06", "20:00")
    watching.tick("2020-08-07", "20:00")
    watching.land("2020-08-06")

    watching.tick("2020-08-07", "21:00")

    assert watching.checks[1:] == [
        ("2020-08-06", False),
        ("2020-08-07", False),
        ("2020-08-06", True),
        ("2020-08-07", False),
    ]
    assert watching.mailbox.titles() == [late("2020-08-06"), late("2020-08-07")]


def test_the_check_is_renewed_when_any_day_is_published_since_dagster_shows_it_as_not_evaluated_then(
    watching: Alarm, histories: Histories
) -> None:
    watching.tick("2020-08-06", "20:00")
    histories.instance.report_runless_asset_event(dg.AssetMaterialization(LANDED.asset_key, partition="2020-08-04"))

    assert watching.tick("2020-08-06", "20:01").startswith(late("2020-08-06"))
    assert watching.tick("2020-08-06", "20:02") == "nothing new; still late: 2020-08-06"
    assert watching.checks[1:] == [("2020-08-06", False), ("2020-08-06", False)]
    assert watching.mailbox.titles() == [late("2020-08-06")]


def test_nothing_is_due_on_weekends_and_holidays(watching: Alarm) -> None:
    watching.land("2020-08-06", "2020-08-07")
    watching.tick("2020-08-07", "20:00")

    assert watching.tick("2020-08-08", "20:00") == "all has landed up to 2020-08-07"
    assert watching.tick("2020-08-09", "20:00") == "all has landed up to 2020-08-07"
    assert watching.tick("2020-08-10", "19:59") == "all has landed up to 2020-08-07"
    watching.tick("2020-09-04", "20:00")
    told = len(watching.mailbox.titles())
    watching.tick("2020-09-07", "20:00")  # Labor Day
    assert len(watching.mailbox.titles()) == told


def test_a_half_day_is_due_at_the_time_of_all_days(alarm: Alarm) -> None:
    alarm.land("2020-11-25")
    alarm.tick("2020-11-25", "20:00")

    assert alarm.tick("2020-11-27", "19:59") == "all has landed up to 2020-11-25"
    assert alarm.tick("2020-11-27", "20:00").startswith(late("2020-11-27"))


@pytest.mark.parametrize("day", ["2021-03-12", "2021-03-15", "2021-11-05", "2021-11-08"])
def test_a_day_beside_the_change_of_clocks_is_due_at_the_same_time(alarm: Alarm, day: str) -> None:
    alarm.tick(day, "19:59:59")
    before = len(alarm.checks)

    assert alarm.tick(day, "20:00").startswith(late(day))
    assert alarm.checks[before:] == [(day, False)]


def test_a_day_that_was_due_before_the_first_tick_is_not_late_and_the_next_one_is(alarm: Alarm) -> None:
    told = [alarm.tick("2020-08-10", "12:00"), alarm.tick("2020-08-10", "12:01"), alarm.tick("2020-08-10", "20:00")]

    assert told[0] == "2020-08-07 was due before this sensor began; it judges the days after it"
    assert told[1] == "all has landed up to 2020-08-07"
    assert told[2].startswith(late("2020-08-10"))
    assert alarm.checks == [("2020-08-10", False)]
    assert alarm.mailbox.titles() == [late("2020-08-10")]


def test_nothing_is_late_after_a_sample_until_somebody_delivers(alarm: Alarm) -> None:
    list(Sample(symbols=1, events=10, seed=1).write(f"{alarm.raw}", date(2020, 8, 5), 1))
    alarm.land("2020-08-05")

    told = [alarm.tick("2020-08-05", "20:00"), alarm.tick("2020-08-06", "20:00"), alarm.tick("2020-09-21", "20:00")]
    alarm.land("2020-08-05")
    deliver(alarm.raw, date(2020, 9, 21), sources=SOURCES[:1])

    assert told == ["2020-08-05 has landed", *["all has landed up to 2020-08-05"] * 2]
    assert alarm.tick("2020-09-22", "20:00").startswith(late("2020-09-16"))
    assert ("2020-09-22", False) in alarm.checks


def test_before_the_first_day_is_due_there_is_nothing_to_say(alarm: Alarm) -> None:
    assert alarm.tick("2020-08-03", "19:59") == "no trading day is due yet"
    assert alarm.checks == []


def test_after_a_time_without_a_daemon_every_day_is_judged(watching: Alarm) -> None:
    watching.land("2020-08-07")

    watching.tick("2020-08-11", "12:00")

    assert watching.checks[1:] == [("2020-08-06", False), ("2020-08-07", True), ("2020-08-10", False)]
    assert watching.mailbox.titles() == [late("2020-08-06"), late("2020-08-10")]


def test_of_a_long_time_without_a_daemon_the_last_five_days_are_judged(watching: Alarm) -> None:
    watching.tick("2020-09-08", "20:00")

    judged = ["2020-09-01", "2020-09-02", "2020-09-03", "2020-09-04", "2020-09-08"]
    assert watching.checks[1:] == [(day, False) for day in judged]
    assert watching.mailbox.titles() == [late(day) for day in judged]


def test_days_for_which_a_tick_has_no_time_are_judged_by_the_next_and_told_once(watching: Alarm) -> None:
    watching.passes = 30.0
    told = [watching.tick("2020-08-10", "20:00") for _ in range(4)]

    days = ["2020-08-06", "2020-08-07", "2020-08-10"]
    assert [text[: len(days[0])] for text in told] == [*days, "nothing ne"]
    assert watching.checks[1:] == [(day, False) for day in days]
    assert watching.mailbox.titles() == [late(day) for day in days]


def test_days_that_land_late_are_all_noticed_although_a_tick_has_time_for_one(watching: Alarm) -> None:
    watching.tick("2020-08-10", "20:00")
    watching.land("2020-08-06", "2020-08-07")
    watching.passes = 30.0
    before = len(watching.checks)

    while watching.tick("2020-08-10", "21:00") != "nothing new; still late: 2020-08-10":
        assert len(watching.checks) < before + 10
    # The last word of the check is about the day that is due now.
    assert watching.checks[-1] == ("2020-08-10", False)
    assert {day for day, has_landed in watching.checks[before:] if has_landed} == {"2020-08-06", "2020-08-07"}


def test_one_look_does_not_keep_an_alert_that_was_not_taken_from_being_sent(watching: Alarm) -> None:
    watching.mailbox.down = {SLACK}
    watching.tick("2020-08-06", "20:00")
    watching.mailbox.down = set()
    watching.passes = 30.0

    assert watching.tick("2020-08-06", "20:01") == "alert of 2020-08-06 sent to 1 channel"


@pytest.mark.parametrize(
    "cursor",
    [
        "{",
        "null",
        "[]",
        "12 13",
        '{"late": [["2020-08-06"]], "judged_to": "2020-08-05"}',
        '{"late": [], "judged_to": null}',
    ],
)
def test_a_cursor_that_somebody_has_broken_begins_anew(watching: Alarm, cursor: str) -> None:
    watching.cursor = cursor

    assert watching.tick("2020-08-06", "20:00").startswith(late("2020-08-06"))
    assert watching.mailbox.titles() == [late("2020-08-06")]


def test_the_cursor_of_an_older_release_goes_on_and_doubles_no_alert(watching: Alarm) -> None:
    watching.cursor = (
        '{"judged_to": "2020-08-07", "late": [["2020-08-06", "2020-08-07T00:00:00+00:00", []], '
        '["2020-08-07", "2020-08-08T00:00:00+00:00", ["channel 2 (slack)"]]]}'
    )

    assert watching.tick("2020-08-07", "20:30") == "alert of 2020-08-07 sent to 1 channel"
    assert watching.tick("2020-08-07", "20:31") == "nothing new; still late: 2020-08-06, 2020-08-07"
    assert (watching.mailbox.titles(JSON), watching.mailbox.titles(SLACK)) == ([], [late("2020-08-07")])


def test_a_lake_that_cannot_be_looked_at_delays_the_alarm_and_loses_none(watching: Alarm) -> None:
    folder = Path(watching.lake.storage.root) / "report"
    folder.rename(folder.with_name("away"))
    break_storage(folder)

    told = [watching.tick("2020-08-06", "20:00"), watching.tick("2020-08-07", "20:00")]
    folder.unlink()
    folder.with_name("away").rename(folder)
    watching.tick("2020-08-07", "20:05")

    assert all(text.startswith("the lake cannot be looked at; the next tick tries again: ") for text in told)
    assert watching.checks[1:] == [("2020-08-06", False), ("2020-08-07", False)]
    assert watching.mailbox.titles() == [late("2020-08-06"), late("2020-08-07")]


def test_one_day_that_nobody_can_read_stops_no_other(watching: Alarm) -> None:
    watching.lake.storage.write("report/daily_summary/_published/2020-08-06.json", b"{")
    watching.tick("2020-08-06", "20:00")
    watching.land("2020-08-07")

    assert watching.tick("2020-08-07", "20:00") == "2020-08-07 has landed"
    assert watching.mailbox.titles() == [late("2020-08-06")]


def test_a_channel_that_was_down_gets_the_alert_later_and_the_others_no_second_one(watching: Alarm) -> None:
    watching.mailbox.down = {SLACK}
    told = watching.tick("2020-08-06", "20:00")
    watching.mailbox.down = set()

    assert told.endswith("alert of 2020-08-06 1 of 2 channels did not take it: channel 2 (slack) is down")
    assert watching.tick("2020-08-06", "20:10") == "alert of 2020-08-06 sent to 1 channel"
    assert watching.tick("2020-08-06", "20:11") == "nothing new; still late: 2020-08-06"
    assert [watching.mailbox.titles(channel) for channel in (JSON, SLACK)] == [[late("2020-08-06")]] * 2


def test_an_alert_that_a_channel_does_not_take_is_given_up_after_an_hour(watching: Alarm) -> None:
    watching.mailbox.down = {SLACK}
    watching.tick("2020-08-06", "20:00")

    assert watching.tick("2020-08-06", "21:00").endswith("is down")
    assert watching.tick("2020-08-06", "21:01").endswith("is down; given up")
    assert watching.tick("2020-08-06", "21:02") == "nothing new; still late: 2020-08-06"


def test_without_a_channel_the_tick_says_so(tmp_path: Path, histories: Histories) -> None:
    sensor = late_days(Platform(tmp_path, FIRST).settings, in_new_york(date(2020, 8, 6), "20:00").timestamp)
    cursor = '{"judged_to": "2020-08-05", "late": []}'

    with dg.build_sensor_context(instance=histories.instance, cursor=cursor) as context:
        told = str(sensor.evaluate_tick(context).skip_message)

    assert told.endswith("; no alert channel is configured (CAPSTONE_ALERT_URLS, CAPSTONE_ALERT_TOPIC)")


def test_a_day_that_is_late_by_a_month_is_not_looked_at_any_more(watching: Alarm) -> None:
    days = [f"{day}" for day in trading_days(FIRST).parse("2020-08-06..2020-09-04")]
    assert len(days) == 22
    for day in days:
        watching.tick(day, "20:00")

    assert watching.tick(days[-1], "20:01") == f"nothing new; still late: {', '.join(days[2:])}"


def test_a_tick_that_judges_a_day_or_sends_an_alert_says_so_in_its_log(
    watching: Alarm, capfd: pytest.CaptureFixture[str]
) -> None:
    watching.tick("2020-08-06", "20:00")

    log = capfd.readouterr().err
    assert "2020-08-06 has not landed by 20:00 New York: " in log
    assert "alert of 2020-08-06 sent to " in log
