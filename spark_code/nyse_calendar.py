"""Which days the New York Stock Exchange trades, and why it does not trade on the others.

This is only a calendar: ``capstone_dagster.trading_days`` says where the platform's data begins and which days are
partitions.
"""

import re
from datetime import date, datetime, time
from functools import cached_property
from zoneinfo import ZoneInfo

from spark_code.errors import ExpectedError
from spark_code.wording import shortened

NEW_YORK = ZoneInfo("America/New_York")

# Closures that are announced later come with a newer exchange-calendars.
FIRST_KNOWN_DAY, LAST_KNOWN_DAY = date(2004, 1, 1), date(2040, 12, 31)

_SHOWN_LENGTH = 40


class CalendarError(ExpectedError):
    """A day cannot be run, or the calendar is not installed; the message says what to do."""


class NyseCalendar:
    """The trading days from a first one on."""

    def __init__(self, first: date = FIRST_KNOWN_DAY) -> None:
        try:
            from exchange_calendars import get_calendar  # noqa: PLC0415 - takes 0.4 s, for those who ask for days
        except ModuleNotFoundError as error:
            raise CalendarError(
                f"which days the NYSE trades cannot be looked up: {error}; install it: pip install exchange-calendars"
            ) from None
        self._first = first
        self._calendar = get_calendar("XNYS", start=f"{first}", end=f"{LAST_KNOWN_DAY}")
        self.days: frozenset[date] = frozenset(day.date() for day in self._calendar.sessions)

    def why_closed(self, day: date) -> str | None:
        """Why the exchange does not trade on a day that the calendar knows; None if it does."""
        return None if day in self.days else f"the NYSE is closed on {self._closure(day)}"

    def hours(self, day: date) -> tuple[time, time]:
        """When the exchange opens and closes on a trading day, in New York; on some it closes early."""
        opens, closes = self._calendar.session_open_close(f"{day}")
        return opens.astimezone(NEW_YORK).time(), closes.astimezone(NEW_YORK).time()

    def require(self, day: date) -> date:
        """Return the day if it is a trading day that has begun; raise an error that says why if it is not."""
        if not self._first <= day <= LAST_KNOWN_DAY:
            raise CalendarError(f"{day} cannot be run: the calendar knows {self._first} to {LAST_KNOWN_DAY}")
        if reason := self.why_closed(day) or why_to_come(day, datetime.now(NEW_YORK)):
            raise CalendarError(f"{day} cannot be run: {reason}")
        return day

    def _closure(self, day: date) -> str:
        return day.strftime("%As") if day.weekday() >= 5 else self._holidays.get(day, "this day (special closure)")

    @cached_property
    def _holidays(self) -> dict[date, str]:
        named = self._calendar.regular_holidays.holidays(f"{self._first}", f"{LAST_KNOWN_DAY}", return_name=True)
        return {moment.date(): f"{name}" for moment, name in named.items()}


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
