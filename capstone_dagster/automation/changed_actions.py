"""Which reports a changed file of corporate actions concerns: those made with other actions than it has for their day.

The sensor ``changed_closes`` looks, and ``needed_runs`` judges the days that are found.
"""

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from functools import partial
from typing import NamedTuple

from capstone_dagster.trading_days import TradingDays
from spark_code.corporate_actions import CorporateActions
from spark_code.lake import Lake, LakeError
from spark_code.locations import StorageError
from spark_code.schemas import DAILY_SUMMARY, QUALITY, Table
from spark_code.storage import at_once

# Each tick compares the reports of so many days, the latest first: a year's manifests are read in a few seconds.
_AT_ONCE = 250
# The measures, too: they may have stopped a report because an action was missing.
_TABLES = (QUALITY, DAILY_SUMMARY)


class Compared(NamedTuple):
    """How far the reports are compared with the file."""

    state: str
    """The state of that file; empty without a file."""
    left: date | None
    """The last of the days that are still to be compared; None if none are."""
    days: tuple[date, ...] = ()
    """The days that were made with other actions."""
    problem: str | None = None
    """Why nothing could be compared; the next tick tries again."""


def compared(before: Compared, lake: Lake, actions: CorporateActions, calendar: TradingDays, today: date) -> Compared:
    """Look whether the file has changed, and compare some more reports with it if it has, or had."""
    try:
        state = actions.state()
        last = before.left if state == before.state else today
        if last is None:
            return Compared(state, None)
        known = sorted({day for table in _TABLES for day in lake.pointed(table) if day <= last})
        wanted = known[-_AT_ONCE:]
        days = tuple(sorted(set(_with_others(lake, actions, calendar, wanted)))) if wanted else ()
    except (LakeError, StorageError) as error:
        return Compared(before.state, before.left, problem=f"corporate actions cannot be looked at: {error}")
    return Compared(state, wanted[0] - timedelta(days=1) if len(known) > len(wanted) else None, days)


def _with_others(lake: Lake, actions: CorporateActions, calendar: TradingDays, days: Sequence[date]) -> Iterator[date]:
    def is_of_others(table: Table, day: date) -> bool:
        try:
            manifest = lake.manifest(table, day)
        except LakeError:  # whoever judges the day says what is wrong with it
            return True
        return manifest is not None and not actions.of(day, calendar.previous(day)).are_those_of(manifest)

    for table in _TABLES:
        found = at_once(partial(is_of_others, table), days)
        yield from (day for day, is_other in zip(days, found, strict=True) if is_other)
