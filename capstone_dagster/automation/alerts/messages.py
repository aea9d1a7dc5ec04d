"""Messages to the people who look after the platform, on the channels of CAPSTONE_ALERT_URLS.

Nothing here raises, and no part of a URL shows: a channel is named by its place and its scheme, as in "channel 2
(slack)". How a channel is spoken to is in ``apprise_process``; what is worth a message, in ``automation``.
"""

import json
import subprocess
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from capstone_dagster.settings import Settings
from capstone_dagster.wording import printable

# So long an alert that a channel did not take is tried again.
TRIED_SECONDS = 3_600.0
# For all channels together, which are tried side by side: a sensor's tick waits meanwhile.
CHANNEL_SECONDS = 10.0
# What the process that speaks to them may take besides, on a machine that has much to do.
_START_SECONDS = 10.0
_MOST_CHARACTERS = 2_000


@dataclass(frozen=True)
class Alert:
    """What people shall know."""

    title: str
    text: str
    run_id: str | None = None
    """The run to look at, if there is one."""


@dataclass(frozen=True)
class Sent:
    """What came of an alert, by channel."""

    taken_by: tuple[str, ...]
    refused_by: Mapping[str, str]
    """With the reason, in words without a secret."""

    def __str__(self) -> str:
        """Tell it in a sentence."""
        asked = len(self.taken_by) + len(self.refused_by)
        if not asked:
            return "no alert channel is configured (CAPSTONE_ALERT_URLS)"
        if not self.refused_by:
            return "sent to 1 channel" if asked == 1 else f"sent to {asked} channels"
        reasons = "; ".join(f"{channel} {reason}" for channel, reason in self.refused_by.items())
        return f"{len(self.refused_by)} of {asked} channels did not take it: {reasons}"


def channels(settings: Settings) -> list[str]:
    """The names of the channels."""
    return list(_urls(settings))


def deliver(settings: Settings, alert: Alert, to: Collection[str]) -> Sent:
    """Send the alert to these channels, each tried once."""
    asked = {channel: url for channel, url in _urls(settings).items() if channel in to}
    answers = zip(asked, _answers(settings, alert, list(asked.values())) if asked else (), strict=True)
    refused = {channel: reason for channel, reason in answers if reason}
    return Sent(tuple(channel for channel in asked if channel not in refused), refused)


def _urls(settings: Settings) -> dict[str, str]:
    return {f"channel {n} ({url.split(':')[0].lower()})": url for n, url in enumerate(settings.alert_urls, 1)}


def _answers(settings: Settings, alert: Alert, urls: Sequence[str]) -> list[str | None]:
    """For each URL None, or why the alert could not be sent.

    By a process of its own: apprise and what it is made of log, warn and print with URLs in their words, which
    nobody reads there, and what hangs can be ended.
    """
    shown = _inert(alert.text)
    text = shown if len(shown) <= _MOST_CHARACTERS else f"{shown[:_MOST_CHARACTERS]}..."
    link = f"\nRun: {settings.ui_url}/runs/{alert.run_id}" if alert.run_id else ""
    asked = {"urls": urls, "title": _inert(alert.title), "text": text + link, "seconds": CHANNEL_SECONDS}
    try:
        spoke = subprocess.run(
            [sys.executable, "-P", "-m", "capstone_dagster.automation.alerts.apprise_process"],
            input=json.dumps(asked),  # not an argument: those are for everybody on this machine to see
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=CHANNEL_SECONDS + _START_SECONDS,
            text=True,
            check=True,
        )
        answers: list[str | None] = json.loads(spoke.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):  # their texts may show what was asked
        return ["could not be tried: the process that sends alerts gave no answer"] * len(urls)
    return answers


def _inert(text: str) -> str:
    """What comes from file names and lines calls nobody and links nowhere, in whatever channel."""
    return printable(text).replace("@", "@\N{ZERO WIDTH SPACE}").replace("](", "]\N{ZERO WIDTH SPACE}(")
