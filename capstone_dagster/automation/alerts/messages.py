"""Messages to the people who look after the platform, on the channels of CAPSTONE_ALERT_URLS and a topic.

Nothing here raises, and no part of a URL is shown: a channel is named by its position and its scheme, as in "channel 2
(slack)". ``apprise_process`` talks to the channels; the sensors beside this module decide what needs a message.
"""

import json
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from capstone_dagster.settings import Settings
from capstone_dagster.wording import printable
from spark_code.wording import shortened

# How long to go on trying an alert that a channel did not take.
TRIED_SECONDS = 3_600.0
# For all channels together, which are tried in parallel: a sensor's tick waits for them.
CHANNEL_SECONDS = 10.0
# How long the process that sends may take to start, on a busy machine.
_START_SECONDS = 10.0
_TEXT_LENGTH = 2_000


@dataclass(frozen=True)
class Alert:
    """A message to people."""

    title: str
    text: str
    run_id: str | None = None
    """The run to look at, if there is one."""
    page: str | None = None
    """The address of the day's page, if there will be one and the lake is served."""


@dataclass(frozen=True)
class Sent:
    """What became of an alert, by channel."""

    taken_by: tuple[str, ...]
    refused_by: Mapping[str, str]
    """Each channel with its reason, which holds no secret."""

    def __str__(self) -> str:
        asked = len(self.taken_by) + len(self.refused_by)
        if not asked:
            return "no alert channel is configured (CAPSTONE_ALERT_URLS, CAPSTONE_ALERT_TOPIC)"
        if not self.refused_by:
            return "sent to 1 channel" if asked == 1 else f"sent to {asked} channels"
        reasons = "; ".join(f"{channel} {reason}" for channel, reason in self.refused_by.items())
        return f"{len(self.refused_by)} of {asked} channels did not take it: {reasons}"


def channels(settings: Settings) -> list[str]:
    """The names of the channels."""
    return list(_urls(settings))


def deliver(settings: Settings, alert: Alert, to: Collection[str]) -> Sent:
    """Send the alert to these channels; each is tried once."""
    asked = {channel: url for channel, url in _urls(settings).items() if channel in to}
    answers = zip(asked, _answers(settings, alert, list(asked.values())) if asked else (), strict=True)
    refused = {channel: reason for channel, reason in answers if reason}
    return Sent(tuple(channel for channel in asked if channel not in refused), refused)


def _urls(settings: Settings) -> dict[str, str]:
    urls = {f"channel {n} ({url.split(':')[0].lower()})": url for n, url in enumerate(settings.alert_urls, 1)}
    return urls | ({"the topic": settings.alert_topic} if settings.alert_topic else {})


def _answers(settings: Settings, alert: Alert, urls: Sequence[str]) -> list[str | None]:
    """For each URL None, or why the alert could not be sent.

    A separate process sends it: apprise and its libraries log, warn and print URLs, which nobody reads there, and a
    process that hangs can be ended.
    """
    text = shortened(_inert(alert.text), _TEXT_LENGTH)
    run = f"\nRun: {settings.ui_url}/runs/{alert.run_id}" if alert.run_id else ""
    page = f"\nPage: {alert.page}" if alert.page else ""
    asked = {"urls": urls, "title": _inert(alert.title), "text": text + run + page, "seconds": CHANNEL_SECONDS}
    try:
        ended = subprocess.run(
            [sys.executable, "-P", "-m", "capstone_dagster.automation.alerts.apprise_process"],
            input=json.dumps(asked),  # not an argument: everybody on this machine can see those
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=CHANNEL_SECONDS + _START_SECONDS,
            text=True,
            check=True,
        )
        answers: list[str | None] = json.loads(ended.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):  # the texts of these errors may contain the URLs
        return ["could not be tried: the process that sends alerts gave no answer"] * len(urls)
    return answers


def _inert(text: str) -> str:
    """Keep text from file names and lines from mentioning people or becoming links, in any channel."""
    return printable(text).replace("@", "@\N{ZERO WIDTH SPACE}").replace("](", "]\N{ZERO WIDTH SPACE}(")
