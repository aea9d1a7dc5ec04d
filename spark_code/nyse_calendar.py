"""Which days the New York Stock Exchange trades, and why it does not trade on the others.

This is only a calendar: ``capstone_dagster.trading_days`` says where the platform's data begins and which days are
partitions.
"""

import csv
import re
from datetime import date, datetime, time, timedelta
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

from spark_code.errors import ExpectedError
from spark_code.wording import shortened

NEW_YORK = ZoneInfo("America/New_York")
USUAL_HOURS = time(9, 30), time(16)

# Closures that are announced later come with a newer exchange-calendars: `make calendar` writes the file anew.
FIRST_KNOWN_DAY, LAST_KNOWN_DAY = date(2004, 1, 1), date(2040, 12, 31)
COLUMNS = ("day", "closes", "holiday")

_SHOWN_LENGTH = 40


class CalendarError(ExpectedError):
    """A day cannot be run; the message says why."""


class NyseCalendar:
    """The trading days from a first one on."""

    def __init__(self, first: date = FIRST_KNOWN_DAY) -> None:
        self._first = first
        every = (first + timedelta(days=i) for i in range((LAST_KNOWN_DAY - first).days + 1))
        self.days = frozenset(day for day in every if day.weekday() < 5 and day not in _holidays())

    def why_closed(self, day: date) -> str | None:
        """Why the exchange does not trade on a day that the calendar knows; None if it does."""
        return None if day in self.days else f"the NYSE is closed on {_closure(day)}"

    def hours(self, day: date) -> tuple[time, time]:
        """When the exchange opens and closes on a trading day, in New York; on some it closes early."""
        opens, closes = USUAL_HOURS
        return opens, _early_closes().get(day, closes)

    def require(self, day: date) -> date:
        """Return the day if it is a trading day that has begun; raise an error that says why if it is not."""
        if not self._first <= day <= LAST_KNOWN_DAY:
            raise CalendarError(f"{day} cannot be run: the calendar knows {self._first} to {LAST_KNOWN_DAY}")
        if reason := self.why_closed(day) or why_to_come(day, datetime.now(NEW_YORK)):
            raise CalendarError(f"{day} cannot be run: {reason}")
        return day


def _closure(day: date) -> str:
    return day.strftime("%As") if day.weekday() >= 5 else _holidays().get(day) or "this day (special closure)"


@cache
def _holidays() -> dict[date, str]:
    return {date.fromisoformat(row["day"]): row["holiday"] for row in _unusual_days() if not row["closes"]}


@cache
def _early_closes() -> dict[date, time]:
    rows = (row for row in _unusual_days() if row["closes"])
    return {date.fromisoformat(row["day"]): time.fromisoformat(row["closes"]) for row in rows}


def _unusual_days() -> "csv.DictReader[str]":
    """Also where this package is read from an archive, as on a cluster."""
    return csv.DictReader((files("spark_code") / "nyse_closures.csv").read_text().splitlines())


def why_to_come(day: date, now: datetime) -> str | None:
    """Why a day cannot have any data yet, or None."""
    today = now.astimezone(NEW_YORK).date()
    return f"it is in the future; in New York it is {today}" if day > today else None


def parse_day(text: str) -> date:
    """Read a date in the form yyyy-mm-dd, and no other form."""
    shown = repr(shortened(text, _SHOWN_LENGTH))
    try:
        if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
            return date.fromisoformat(text)
    except ValueError as error:
        raise CalendarError(f"{shown} is not a date: {error}; write yyyy-mm-dd") from None
    raise CalendarError(f"{shown} is not a date; write yyyy-mm-dd")
