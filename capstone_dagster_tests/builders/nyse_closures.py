"""The days on which the NYSE is closed or closes early, as exchange-calendars knows them: `make calendar` keeps them.

The platform reads the kept file: to build the calendar of that package takes a third of what a command takes to start.
"""

import csv
from collections.abc import Iterator
from datetime import time
from pathlib import Path

import exchange_calendars
import pandas as pd

from spark_code import nyse_calendar
from spark_code.nyse_calendar import COLUMNS, FIRST_KNOWN_DAY, LAST_KNOWN_DAY, NEW_YORK, USUAL_HOURS

KEPT = Path(nyse_calendar.__file__).with_name("nyse_closures.csv")


def closures() -> Iterator[tuple[str, str, str]]:
    """Each weekday that is not traded as usual: the day, when trading ends if there is any, the holiday's name."""
    nyse = exchange_calendars.get_calendar("XNYS", start=f"{FIRST_KNOWN_DAY}", end=f"{LAST_KNOWN_DAY}")
    names = nyse.regular_holidays.holidays(f"{FIRST_KNOWN_DAY}", f"{LAST_KNOWN_DAY}", return_name=True)
    for day in pd.bdate_range(f"{FIRST_KNOWN_DAY}", f"{LAST_KNOWN_DAY}"):
        if day not in nyse.sessions:
            yield f"{day.date()}", "", names.get(day, "")
            continue
        opens, closes = (_in_new_york(moment) for moment in nyse.session_open_close(day))
        if (opens, closes) != USUAL_HOURS:
            assert opens == USUAL_HOURS[0], f"{day}: the file has no column for days that begin late"
            yield f"{day.date()}", f"{closes:%H:%M}", ""


def _in_new_york(moment: pd.Timestamp) -> time:
    at: time = moment.astimezone(NEW_YORK).time()
    return at


if __name__ == "__main__":
    with KEPT.open("w") as kept:
        csv.writer(kept, lineterminator="\n").writerows([COLUMNS, *closures()])
