"""Whether a delivery is complete: its exchange has written ``_SUCCESS``, or nothing has changed for long enough."""

from collections.abc import Sequence
from datetime import datetime

from spark_code.raw_files import SUCCESS, Delivery


def still_arriving(deliveries: Sequence[Delivery], quiet_seconds: float, now: datetime) -> list[str]:
    """The exchanges whose delivery is not complete, for a caller that has not looked before."""
    return [found.source.exchange for found in deliveries if why_incomplete(found, quiet_seconds, now, since=now)]


def why_incomplete(delivery: Delivery, quiet_seconds: float, now: datetime, since: datetime) -> str | None:
    """What the delivery waits for, or None if it is complete; ``since`` is when its current files were first seen.

    Where clocks differ, a file's time may be in the future: then the delivery counts as unchanged from ``since`` on.
    """
    if not delivery.files:
        return "it has delivered no data file"
    newest = max(delivery.files, key=lambda stored: stored.last_modified)
    changed = since if newest.last_modified > now else newest.last_modified
    unchanged = (now - changed).total_seconds()
    if delivery.has_success or unchanged >= quiet_seconds:
        return None
    name = newest.key.rsplit("/", 1)[-1]
    return (
        f"{name} is {unchanged:.0f} s old; a {SUCCESS} that is not older, or {quiet_seconds:g} s without a change, "
        "completes the delivery"
    )
