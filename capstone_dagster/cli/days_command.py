"""A word for every trading day: ``capstone days``."""

import json
import sys
from dataclasses import asdict
from datetime import timedelta
from itertools import groupby

import click

from capstone_dagster.cli.text_table import print_table
from capstone_dagster.readers.days import Word, until_today, words
from capstone_dagster.settings import Settings
from capstone_dagster.trading_days import NoTradingDayError, parse_range, trading_days
from capstone_dagster.wording import printable, say

_GOOD_ENOUGH = {"available": {Word.AVAILABLE}, "degraded": {Word.AVAILABLE, Word.DEGRADED}}
_LATEST = 10


@click.command()
@click.argument("span", metavar="[DATE|FROM..TO]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per day and exchange.")
@click.option("--require", type=click.Choice(list(_GOOD_ENOUGH)), help="Exit with 1 unless every day is at least this.")
def days(span: str | None, as_json: bool, require: str | None) -> None:
    """Say in one word whether each trading day can be used: available, degraded, pending or missing.

    Of one day, a range, or the last ten days. A range also names the weekdays on which the exchange is closed.
    """
    settings = Settings.from_environment()
    calendar = trading_days(settings.first_trading_day)
    wanted = calendar.parse(span) if span else until_today(calendar)[-_LATEST:]
    if not wanted:
        raise NoTradingDayError(f"the first trading day, {calendar.first}, has not begun (CAPSTONE_FIRST_TRADING_DAY)")
    found = list(words(settings, wanted))
    if as_json:
        for day in found:
            click.echo(json.dumps(asdict(day), default=str))
    else:
        rows = [[f"{day.trade_dt}", day.exchange, day.word, (day.since or "")[:19], day.version] for day in found]
        print_table(["day", "exchange", "word", "since (UTC)", "version"], rows)
        for (day, reason), alike in groupby(found, lambda one: (one.trade_dt, one.reason)):
            if reason:
                say(f"{day} {' and '.join(one.exchange for one in alike)}: {printable(reason)}")
        first, last = parse_range(span) if span and ".." in span else (wanted[0], wanted[-1])
        for offset in range((last - first).days + 1):
            closed = first + timedelta(days=offset)
            if closed.weekday() < 5 and (reason := calendar.why_closed(closed)):
                say(f"{closed}: {reason}")
    if require and not all(day.word in _GOOD_ENOUGH[require] for day in found):
        sys.exit(1)
