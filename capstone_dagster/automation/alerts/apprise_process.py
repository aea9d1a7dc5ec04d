"""The process that hands one alert to its channels: ``messages`` starts it, and is the only one to read what it prints.

It is asked by JSON on its standard input and answers by JSON: for every URL null, or why the alert was not taken, in
fixed words and at most the three digits of an HTTP status. It imports nothing of Dagster, which would take seconds.
"""

import json
import os
import re
import sys
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import redirect_stdout

import boto3
from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType
from botocore.exceptions import ClientError

# The longest that SNS takes.
_SUBJECT_LENGTH = 99
_FAILED = "could not be reached, or refused it"


def _prepare(url: str) -> Apprise | None:
    asset = AppriseAsset(
        app_id="Market data platform",  # as which most channels show the sender
        storage_mode="memory",  # else some channels keep tokens in files
        async_mode=False,
        service_timeout=0,  # the threads here are waited for no longer than asked
    )
    service = Apprise.instantiate(url, asset=asset)
    return Apprise(service, asset=asset) if service else None


def _hand_over(prepared: "Future[Apprise | None]", title: str, text: str) -> str | None:
    channel = prepared.result()
    if channel is None:
        return "is no URL that apprise understands"
    result = channel.notify(text, title, notify_type=NotifyType.WARNING, body_format=NotifyFormat.TEXT)
    status = re.search(r"\berror=(\d{3})\b", "\n".join(entry.message for entry in result.logs()))
    return None if result else f"answered {status[1]}" if status else _FAILED


def _publish(topic: str, title: str, text: str) -> str | None:
    """Publish to a topic of SNS, as the role or user that boto3 finds: apprise takes only keys."""
    subject = title.encode("ascii", "ignore").decode()[:_SUBJECT_LENGTH]
    try:
        sns = boto3.Session(region_name=topic.split(":")[3]).client("sns")
        sns.publish(TopicArn=topic, Subject=subject, Message=f"{title}\n{text}")
    except ClientError as error:
        return f"answered {error.response['ResponseMetadata']['HTTPStatusCode']}"
    return None


def _answer(sending: "Future[str | None]", seconds: float) -> str | None:
    if not sending.done():
        return f"gave no answer in {seconds:g} s"
    return _FAILED if sending.exception() else sending.result()


def main() -> None:
    """Hand it to all channels side by side, and wait no longer than asked."""
    asked = json.load(sys.stdin)
    urls, seconds = asked["urls"], asked["seconds"]
    with redirect_stdout(sys.stderr):
        threads = ThreadPoolExecutor(len(urls))
        topics = [url for url in urls if url.startswith("arn:")]
        prepared = {url: threads.submit(_prepare, url) for url in urls if url not in topics}
        wait(prepared.values())
        message = (asked["title"], asked["text"])
        sendings = [
            threads.submit(_publish, url, *message)
            if url in topics
            else threads.submit(_hand_over, prepared[url], *message)
            for url in urls
        ]
        wait(sendings, timeout=seconds)
    json.dump([_answer(sending, seconds) for sending in sendings], sys.stdout)
    sys.stdout.flush()
    os._exit(0)  # at an ordinary end, threads that hang would be waited for


if __name__ == "__main__":
    main()
