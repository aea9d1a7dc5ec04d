"""An alert about an event is sent once to every channel, whatever dies in between, and tried again for an hour."""

import logging
from collections.abc import Sequence
from datetime import timedelta

import dagster as dg
import pytest

from capstone_dagster.automation.alerts.failed_jobs import failed_jobs
from capstone_dagster.automation.alerts.messages import Alert
from capstone_dagster.automation.alerts.run_events import Watched, alert_sensor
from capstone_dagster.automation.ticks import Clock
from capstone_dagster.settings import Settings
from capstone_dagster_tests.builders.run_histories import FAILURE, STARTED, Histories
from capstone_dagster_tests.builders.ticks import Ticks
from capstone_dagster_tests.servers.webhook_server import Webhook

TITLE = "daily_pipeline_2020-08-06 failed"
AWAY = "channel 1 (json) answered 503"


def told(histories: Histories, run_id: str) -> list[str]:
    """What the log of the run says of alerts."""
    entries = histories.instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
    return [entry.get_dagster_event().message or "" for entry in entries]


def begun(histories: Histories, *channels: str) -> Ticks:
    ticks = Ticks(histories, failed_jobs, *channels)
    ticks.tick()
    return ticks


def test_a_channel_that_was_away_gets_the_alert_later_and_the_other_gets_it_once(
    histories: Histories, webhook: Webhook, second_webhook: Webhook
) -> None:
    ticks = begun(histories, webhook.url(), second_webhook.url())
    run_id = histories.run("daily_pipeline", STARTED, FAILURE)
    webhook.refuse(503, 503)

    assert [ticks.tick() for _ in range(4)] == [
        f"{TITLE}: 1 of 2 channels did not take it: {AWAY}; 1 alert to be sent again",
        f"{TITLE}: 1 of 1 channels did not take it: {AWAY}; 1 alert to be sent again",
        f"{TITLE}: sent to 1 channel",
        "nothing to send",
    ]
    assert (webhook.titles, second_webhook.titles) == ([TITLE], [TITLE])
    assert told(histories, run_id) == [
        f"Alert '{TITLE}': 1 of 2 channels did not take it: {AWAY}",
        f"Alert '{TITLE}': sent to 1 channel",
    ]


@pytest.mark.parametrize("away", [timedelta(0), timedelta(days=3)], ids=["at once", "after days without a daemon"])
def test_it_is_given_up_an_hour_after_it_was_first_tried(
    histories: Histories, webhook: Webhook, away: timedelta
) -> None:
    ticks = begun(histories, webhook.url())
    run_id = histories.run("daily_pipeline", STARTED, FAILURE)
    webhook.refuse(503, 503, 503)
    histories.now += away
    assert ticks.tick().endswith("; 1 alert to be sent again")
    histories.now += timedelta(hours=1)
    assert ticks.tick().endswith("; 1 alert to be sent again")
    histories.now += timedelta(seconds=1)

    refused = f"1 of 1 channels did not take it: {AWAY}"
    assert ticks.tick() == f"{TITLE}: {refused}; given up"
    assert ticks.tick() == "nothing to send"
    assert told(histories, run_id) == [f"Alert '{TITLE}': {refused}", f"Alert '{TITLE}': {refused}; given up"]
    assert webhook.asked == 3


def test_after_hours_without_a_daemon_what_has_failed_meanwhile_is_told(histories: Histories, webhook: Webhook) -> None:
    ticks = begun(histories, webhook.url())
    histories.run("daily_pipeline", STARTED, FAILURE)
    histories.run("preprocessing", STARTED, FAILURE)
    histories.now += timedelta(days=3)

    assert ticks.tick() == f"{TITLE}: sent to 1 channel; preprocessing_2020-08-06 failed: sent to 1 channel"


def test_a_tick_whose_cursor_was_lost_with_the_daemon_sends_nothing_twice(
    histories: Histories, webhook: Webhook
) -> None:
    ticks = begun(histories, webhook.url())
    before = ticks.cursor
    histories.run("daily_pipeline", STARTED, FAILURE)
    ticks.tick()
    ticks.cursor = before

    assert ticks.tick() == "nothing to send"
    assert webhook.titles == [TITLE]


def test_a_cursor_that_somebody_has_broken_begins_anew(histories: Histories, webhook: Webhook) -> None:
    ticks = begun(histories, webhook.url())
    ticks.cursor = "12"

    assert ticks.tick() == "looks at events from now on"
    histories.run("daily_pipeline", STARTED, FAILURE)
    assert ticks.tick() == f"{TITLE}: sent to 1 channel"


def test_an_event_that_shows_up_behind_a_later_one_is_not_lost(histories: Histories, webhook: Webhook) -> None:
    """Ids are given before they are committed."""
    hidden: set[str] = set()

    def fetch(instance: dg.DagsterInstance, after: int | None) -> Sequence[dg.EventLogRecord]:
        later = dg.RunStatusChangeRecordsFilter(dg.DagsterEventType.RUN_FAILURE, after_storage_id=after)
        found = instance.fetch_run_status_changes(later, limit=100, ascending=True).records
        return [record for record in found if record.run_id not in hidden]

    def judge(instance: dg.DagsterInstance, record: dg.EventLogRecord, age: float) -> Alert:
        del instance, age
        return Alert(names[record.run_id], "why")

    def sensor(settings: Settings, clock: Clock) -> dg.SensorDefinition:
        return alert_sensor(settings, "names", "", Watched(fetch, judge), clock)

    ticks = Ticks(histories, sensor, webhook.url())
    ticks.tick()
    names = {histories.run("analytical", STARTED, FAILURE): name for name in ("slow", "quick")}
    hidden.add(next(iter(names)))
    assert ticks.tick() == "quick: sent to 1 channel"
    hidden.clear()

    assert ticks.tick() == "slow: sent to 1 channel"
    assert ticks.tick() == "nothing to send"


def test_a_channel_that_takes_nothing_holds_up_no_other_and_is_asked_twice_in_a_tick(
    histories: Histories, webhook: Webhook, second_webhook: Webhook
) -> None:
    ticks = begun(histories, webhook.url(), second_webhook.url())
    jobs = ("analytical", "preprocessing", "daily_pipeline")
    for job in jobs:
        histories.run(job, STARTED, FAILURE)
    webhook.refuse(500, 500)

    assert ticks.tick().endswith("; 3 alerts to be sent again")
    assert webhook.asked == 2
    titles = [f"{job}_2020-08-06 failed" for job in jobs]
    assert second_webhook.titles == titles
    ticks.tick()
    assert webhook.titles == titles
    assert second_webhook.titles == titles


def test_without_a_channel_a_tick_says_what_would_have_been_sent_and_once(histories: Histories) -> None:
    ticks = begun(histories)
    run_id = histories.run("daily_pipeline", STARTED, FAILURE)

    nobody = f"{TITLE}: no alert channel is configured (CAPSTONE_ALERT_URLS, CAPSTONE_ALERT_TOPIC)"
    assert [ticks.tick() for _ in range(3)] == [nobody, "nothing to send", "nothing to send"]
    assert told(histories, run_id) == [
        f"Alert '{TITLE}': no alert channel is configured (CAPSTONE_ALERT_URLS, CAPSTONE_ALERT_TOPIC)"
    ]


def test_nothing_of_a_url_shows_in_ticks_cursors_logs_and_events(
    histories: Histories, webhook: Webhook, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = webhook.url("canaryuser:canarypassword@", "canarypath?-key=canaryvalue")
    ticks = begun(histories, secrets, f"slak://canarytoken@{secrets.removeprefix('json://')}")
    run_id = histories.run("daily_pipeline", STARTED, FAILURE)
    webhook.refuse(403)

    shown = [ticks.tick(), ticks.tick(), f"{ticks.cursor}", *capfd.readouterr(), caplog.text]
    shown += [repr(entry) for entry in histories.instance.all_logs(run_id)]
    assert webhook.titles == [TITLE]
    assert "channel 1 (json) answered 403; channel 2 (slak) is no URL that apprise understands" in shown[0]
    assert TITLE in shown[3] + shown[4] + shown[5]
    assert not [text for text in shown if "canary" in text or "127.0.0.1" in text]
