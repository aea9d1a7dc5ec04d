"""The trading days of the platform: which days are partitions, and why others are not.

Only ``spark_code.nyse_calendar`` knows weekends and holidays.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from functools import cache, cached_property
from typing import TYPE_CHECKING

from spark_code import nyse_calendar
from spark_code.errors import ExpectedError
from spark_code.nyse_calendar import FIRST_KNOWN_DAY, LAST_KNOWN_DAY, CalendarError, NyseCalendar, why_to_come

if TYPE_CHECKING:
    import dagster as dg

NEW_YORK = nyse_calendar.NEW_YORK

EARLIEST_FIRST_DAY, LATEST_FIRST_DAY = FIRST_KNOWN_DAY, date(2039, 12, 31)


class NoTradingDayError(ExpectedError):
    """A day cannot be run; the message says why."""


class TradingDays:
    """The trading days from a first one on."""

    def __init__(self, first: date) -> None:
        if not EARLIEST_FIRST_DAY <= first <= LATEST_FIRST_DAY:
            raise NoTradingDayError(f"a first day must be from {EARLIEST_FIRST_DAY} to {LATEST_FIRST_DAY}, not {first}")
        self._start = first
        self._calendar = NyseCalendar(first)
        self._days = self._calendar.days
        self._first = min(self._days)

    @property
    def first(self) -> date:
        """The first trading day."""
        return self._first

    @cached_property
    def partitions(self) -> "dg.DailyPartitionsDefinition":
        """One partition per trading day, in New York time.

        These are daily windows with exclusions, not a weekday cron, whose Friday window would last until Monday. The
        offset makes a day a partition from midnight on, so that it can run in the evening. The run itself checks
        whether the day's files are there.
        """
        import dagster as dg  # noqa: PLC0415 - takes half a second; every command imports the calendar

        # The excluded days are part of the partitions' identity; they are fixed for years ahead, so it never changes.
        holidays = [datetime(day.year, day.month, day.day) for day in self._closed_weekdays()]  # noqa: DTZ001 - Dagster wants them naive
        return dg.DailyPartitionsDefinition(
            start_date=self.first.isoformat(),
            timezone=NEW_YORK.key,
            end_offset=1,
            exclusions=["0 0 * * 6", "0 0 * * 0", *holidays],
        )

    def back_from(self, day: date) -> Iterator[date]:
        """The trading days up to this day, the latest first."""
        before = (day - timedelta(days=i) for i in range((day - self._start).days + 1))
        return (day for day in before if day in self._days)

    def previous(self, day: date) -> date | None:
        """The trading day before; None before the first."""
        return next(self.back_from(day - timedelta(days=1)), None)

    def next(self, day: date) -> date | None:
        """The trading day after; None at the end of the calendar."""
        after = (day + timedelta(days=i) for i in range(1, (LAST_KNOWN_DAY - day).days + 1))
        return next((day for day in after if day in self._days), None)

    def close_minute(self, day: date) -> int:
        """When the exchange closes on one of these days, in minutes since midnight: earlier on half days."""
        return self._calendar.close_minute(day)

    def why_closed(self, day: date) -> str | None:
        """Why the day is not one of these trading days, past or future; None if it is."""
        if day < self._start:
            return f"it is before the first trading day {self.first} (CAPSTONE_FIRST_TRADING_DAY)"
        if day > LAST_KNOWN_DAY:
            return f"the calendar ends with {LAST_KNOWN_DAY}"
        return self._calendar.why_closed(day)

    def require(self, day: date) -> date:
        """Return the day if it can be run; raise an error that says why if it cannot."""
        if reason := self.why_closed(day) or why_to_come(day, datetime.now(NEW_YORK)):
            raise NoTradingDayError(f"{day} cannot be run: {reason}")
        return day

    def parse(self, spec: str) -> list[date]:
        """The trading days in ``DATE`` or ``FROM..TO``; it skips holidays, and accepts three dots too."""
        if ".." not in spec:
            return [self.require(parse_day(spec))]
        first, last = parse_range(spec)
        for end in (first, last):
            if not self._start <= end <= LAST_KNOWN_DAY:
                self.require(end)
        span = (first + timedelta(days=i) for i in range((last - first).days + 1))
        days = [day for day in span if day in self._days]
        if not days:
            raise NoTradingDayError(f"{spec} contains no trading day of the NYSE")
        self.require(days[-1])
        return days

    def _closed_weekdays(self) -> list[date]:
        span = (LAST_KNOWN_DAY - self.first).days
        every = (self.first + timedelta(days=i) for i in range(span + 1))
        return [day for day in every if day.weekday() < 5 and day not in self._days]


@cache
def trading_days(first: date) -> TradingDays:
    """The calendar from a first day on, created once per process."""
    return TradingDays(first)


def parse_day(text: str) -> date:
    """Read a date in the form yyyy-mm-dd, and no other form."""
    try:
        return nyse_calendar.parse_day(text)
    except CalendarError as error:
        raise NoTradingDayError(str(error)) from None


def parse_range(text: str) -> tuple[date, date]:
    """Read ``FROM..TO``, trading days or not; three dots are two."""
    first, last = (parse_day(part) for part in re.split(r"\.{2,3}", text, maxsplit=1))
    if first > last:
        raise NoTradingDayError(f"{text}: {first} is after {last}")
    return first, last


def beginning_with(start: date | None, days: Sequence[date]) -> list[date]:
    """Sort the days so that those from ``start`` on come first, and then those before it."""
    return sorted(days, key=lambda day: (start is not None and day < start, day))
