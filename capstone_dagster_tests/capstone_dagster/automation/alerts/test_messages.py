"""Alerts reach every channel that takes them, and no URL shows."""

import logging
import re
import socket
from collections.abc import Iterator

import boto3
import pytest
from click.testing import CliRunner
from moto.sns.models import sns_backends

from capstone_dagster.automation.alerts import messages
from capstone_dagster.automation.alerts.messages import Alert, Sent, channels, deliver
from capstone_dagster.cli.main import cli
from capstone_dagster.settings import Settings
from capstone_dagster_tests.servers.s3_server import s3_endpoint  # noqa: F401 -- pytest finds fixtures by their import
from capstone_dagster_tests.servers.webhook_server import Webhook

ALERT = Alert("daily_pipeline_2020-08-06 failed", "Reason: out of paper", "1234")


def settings(*urls: str) -> Settings:
    return Settings.from_mapping({"CAPSTONE_ALERT_URLS": " ".join(urls), "CAPSTONE_UI_URL": "http://ui:3000/"})


def sent(settings: Settings, alert: Alert = ALERT) -> str:
    """What came of it, of all channels."""
    return str(deliver(settings, alert, channels(settings)))


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Bound and not listened on, so that nobody else can take it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_an_alert_has_its_title_its_text_and_the_link_to_the_run(webhook: Webhook) -> None:
    assert sent(settings(webhook.url())) == "sent to 1 channel"

    (message,) = webhook.messages
    assert message["title"] == "daily_pipeline_2020-08-06 failed"
    assert message["message"] == "Reason: out of paper\nRun: http://ui:3000/runs/1234"


def test_an_alert_about_no_run_has_no_link_and_one_that_is_too_long_is_cut(webhook: Webhook) -> None:
    sent(settings(webhook.url()), Alert("2020-08-06 is late", "x" * 2_001))

    assert webhook.messages[0]["message"] == "x" * 2_000 + "..."


def test_markup_and_quotes_arrive_as_they_are(webhook: Webhook) -> None:
    sent(settings(webhook.url()), Alert("a <b> & \"c\" 'd' é", "# *no* `markup` \\n"))

    (message,) = webhook.messages
    assert (message["title"], message["message"]) == ("a <b> & \"c\" 'd' é", "# *no* `markup` \\n")


def test_a_file_name_calls_nobody_and_links_nowhere(webhook: Webhook) -> None:
    sent(settings(webhook.url()), Alert("@here", "<@U1> ![x](http://evil.example)"))

    (message,) = webhook.messages
    assert (message["title"], message["message"]) == ("@\u200bhere", "<@\u200bU1> ![x]\u200b(http://evil.example)")


def test_without_channels_it_says_so() -> None:
    assert sent(settings()) == "no alert channel is configured (CAPSTONE_ALERT_URLS, CAPSTONE_ALERT_TOPIC)"


def test_a_topic_gets_it_without_a_key_in_any_setting(
    webhook: Webhook,
    s3_endpoint: str,  # noqa: F811 -- the fixture
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in {"ENDPOINT_URL": s3_endpoint, "ACCESS_KEY_ID": "role", "SECRET_ACCESS_KEY": "role"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)  # as the metadata of a machine would
    topic = boto3.client("sns", region_name="eu-west-1").create_topic(Name="market-alarms")["TopicArn"]
    both = settings(webhook.url()).model_copy(update={"alert_topic": topic})

    assert sent(both, Alert("a day is late \u2014 \u00e9", "look")) == "sent to 2 channels"

    [(_, message, subject, *_)] = sns_backends["123456789012"]["eu-west-1"].topics[topic].sent_notifications
    assert (subject, message) == ("a day is late  ", "a day is late \u2014 \u00e9\nlook")
    absent = both.model_copy(update={"alert_urls": (), "alert_topic": f"{topic}-absent"})
    assert sent(absent) == "1 of 1 channels did not take it: the topic answered 404"


def test_only_the_channels_that_are_named_are_asked(webhook: Webhook, second_webhook: Webhook) -> None:
    assert deliver(settings(webhook.url(), second_webhook.url()), ALERT, ["channel 2 (json)"]) == Sent(
        ("channel 2 (json)",), {}
    )

    assert (webhook.titles, second_webhook.titles) == ([], [ALERT.title])


def test_broken_channels_are_told_by_place_and_scheme_and_stop_no_other(webhook: Webhook, closed_port: int) -> None:
    webhook.refuse(500)
    broken = settings(
        webhook.url(), f"json://127.0.0.1:{closed_port}/x", "slak://a/b/c", "https://127.0.0.1/services/x", "slack://a"
    )
    assert sent(broken) == (
        "5 of 5 channels did not take it: channel 1 (json) answered 500; "
        "channel 2 (json) could not be reached, or refused it; "
        "channel 3 (slak) is no URL that apprise understands; "
        "channel 4 (https) is no URL that apprise understands; "
        "channel 5 (slack) is no URL that apprise understands"
    )
    webhook.refuse(404)
    several = settings(f"json://127.0.0.1:{closed_port}/x", webhook.url(), webhook.url(), webhook.url())
    assert re.fullmatch(
        r"2 of 4 channels did not take it: channel 1 \(json\) could not be reached, or refused it; "
        r"channel [234] \(json\) answered 404",
        sent(several),
    )
    assert len(webhook.messages) == 2


def test_a_channel_that_hangs_is_given_up_and_stops_no_other(
    webhook: Webhook, second_webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook.hang()
    monkeypatch.setattr(messages, "CHANNEL_SECONDS", 1.5)

    told = sent(settings(webhook.url(path="x?rto=60"), second_webhook.url()))

    assert told == "1 of 2 channels did not take it: channel 1 (json) gave no answer in 1.5 s"
    assert second_webhook.titles == [ALERT.title]


def test_a_sending_process_that_cannot_even_start_raises_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/no/such/python")

    assert sent(settings("json://canaryuser:canarypassword@127.0.0.1")) == (
        "1 of 1 channels did not take it: "
        "channel 1 (json) could not be tried: the process that sends alerts gave no answer"
    )


def test_a_test_alert_says_who_does_not_take_it(webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPSTONE_ALERT_URLS", f"{webhook.url()} jsonx://user:hunter2@a")
    tried = CliRunner().invoke(cli, ["test-alert"])

    told = "1 of 2 channels did not take it: channel 2 (jsonx) is no URL that apprise understands\n"
    assert (tried.output, tried.exit_code) == (told, 1)
    assert webhook.titles == ["Test of the alerts"]


def test_a_test_alert_that_all_take_is_a_success(webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPSTONE_ALERT_URLS", webhook.url())
    tried = CliRunner().invoke(cli, ["test-alert"])

    assert (tried.output, tried.exit_code) == ("sent to 1 channel\n", 0)


def test_one_that_never_ends_is_ended(webhook: Webhook, monkeypatch: pytest.MonkeyPatch) -> None:
    webhook.hang()
    monkeypatch.setattr(messages, "_START_SECONDS", -messages.CHANNEL_SECONDS + 0.2)

    assert sent(settings(webhook.url())).endswith("the process that sends alerts gave no answer")


def test_nothing_of_a_url_shows_whatever_becomes_of_it(
    webhook: Webhook, closed_port: int, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(1)
    logging.getLogger("apprise").setLevel(1)
    webhook.refuse(500)
    secrets = "canaryuser:canarypassword@"
    rest = "canarypath?-canarykey=canaryvalue"
    given = settings(
        webhook.url(secrets, rest),
        f"jsons://{secrets}127.0.0.77:{closed_port}/{rest}&verify=no",
        f"slak://{secrets}host/{rest}",
        f"json://{secrets}127.0.0.77:canaryport/{rest}",
        f"mailtos://{secrets}127.0.0.77:{closed_port}?to=canaryvalue@canaryhost",
    )

    told = sent(given)

    assert webhook.asked == 1
    shown = "\n".join([told, repr(given), *capfd.readouterr(), caplog.text])
    assert "channel 5 (mailtos)" in shown
    assert not [word for word in ("canary", "127.0.0.", str(closed_port)) if word in shown]
