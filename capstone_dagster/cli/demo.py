"""Prepares `make demo`, as ``python -m capstone_dagster.cli.demo [DATE|FROM..TO]``: chooses its days and its home.

It prints the variables that ``deploy/demo.sh`` works with, among them those that commands need afterwards to show the
same. A home of people's own days is left alone: the demo then gets a home in it.
"""

import os
import shlex
import sys
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from pathlib import Path

from capstone_dagster.deliveries.sample import Sample, has_only_samples
from capstone_dagster.settings import HOME_FILE, Settings
from capstone_dagster.trading_days import NEW_YORK, TradingDays, parse_day, parse_range
from capstone_dagster.wording import say
from spark_code.errors import ExpectedError
from spark_code.raw_files import RawFolder

_DAYS = 5
# Ten days in a row without any trading are not in sight.
_LOOK_BACK = timedelta(days=30)
_SAMPLE = Sample(symbols=12, events=100_000, seed=7)
# What would lead the demo away from its home, or keep it from running.
_AWAY = (
    *("CAPSTONE_DEPLOYMENT", "CAPSTONE_RAW_URI", "CAPSTONE_LAKE_URI", "CAPSTONE_POSTGRES_URL"),
    *("CAPSTONE_WAREHOUSE_URL", "CAPSTONE_GLUE_DATABASE", "CAPSTONE_PRECONDITIONS"),
)
_FIRST = "CAPSTONE_FIRST_TRADING_DAY"
_HEAD = "# Written by make demo, and again by the next one."


def recent_days(now: datetime) -> list[date]:
    """The last trading days that have ended."""
    today = now.astimezone(NEW_YORK)
    calendar = TradingDays(today.date() - _LOOK_BACK)
    days = [
        day for day in calendar.back_from(today.date()) if day < today.date() or calendar.hours(day)[1] < today.time()
    ]
    return sorted(days[:_DAYS])


def chosen_days(spec: str) -> list[date]:
    """The trading days that people name."""
    first, _ = parse_range(spec) if ".." in spec else (parse_day(spec), None)
    return TradingDays(first).parse(spec)


def home_for(settings: Settings) -> Path:
    """The configured home if nothing of people's own is in it; else one below it."""
    own = settings.home / HOME_FILE
    is_free = (
        (settings.raw_uri, settings.lake_uri) == (f"{settings.home}/raw", f"{settings.home}/lake")
        and has_only_samples(RawFolder(settings.raw_uri))
        and (not own.exists() or own.read_text().startswith(_HEAD))
    )
    return settings.home if is_free else settings.home / "demo"


def prepare(days: list[date], settings: Settings, given: Mapping[str, str]) -> dict[str, str]:
    """Write the settings of the home and remove samples of an earlier demo; returns the variables of the script."""
    home = home_for(settings)
    home.mkdir(parents=True, exist_ok=True)
    (home / HOME_FILE).write_text(f"{_HEAD}\n{_FIRST}={days[0]}\n")
    _SAMPLE.remove_others(f"{home}/raw", days)
    variables = {"CAPSTONE_HOME": f"{home}", _FIRST: f"{days[0]}", **dict.fromkeys(_AWAY, "")}
    needed = [name for name in (_FIRST, *_AWAY) if given.get(name)]
    if home != settings.home:
        needed.insert(0, "CAPSTONE_HOME")
    return {
        **variables,
        "first": f"{days[0]}",
        "last": f"{days[-1]}",
        "days": f"{len(days)}",
        "options": f"--symbols {_SAMPLE.symbols} --events {_SAMPLE.events} --seed {_SAMPLE.seed}",
        "prefix": "".join(f"{name}={shlex.quote(variables[name]) if variables[name] else ''} " for name in needed),
    }


def main() -> None:
    """Print the variables, each in a line that a shell reads."""
    try:
        settings = Settings.from_environment()
        days = chosen_days(sys.argv[1]) if "".join(sys.argv[1:]) else recent_days(datetime.now(NEW_YORK))
        # The settings have put those of .env into the environment.
        for name, value in prepare(days, settings, os.environ).items():
            say(f"export {name}={shlex.quote(value)}")
    except ExpectedError as error:
        say(f"make demo: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
