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
from spark_code.storage import Storage

_DAYS = 5
# Ten days in a row without any trading are not in sight.
_LOOK_BACK = timedelta(days=30)
_SAMPLE = Sample(symbols=12, events=100_000, seed=7)
# What would lead the demo or its links away from its home, tell others of it, or keep it from running.
_AWAY = (
    *("CAPSTONE_DEPLOYMENT", "CAPSTONE_RAW_URI", "CAPSTONE_LAKE_URI", "CAPSTONE_POSTGRES_URL"),
    *("CAPSTONE_WAREHOUSE_URL", "CAPSTONE_GLUE_DATABASE", "CAPSTONE_PRECONDITIONS", "CAPSTONE_QUALITY_LIMITS"),
    *("CAPSTONE_PAGES_URL", "CAPSTONE_ALERT_URLS", "CAPSTONE_ALERT_TOPIC"),
)
_FIRST = "CAPSTONE_FIRST_TRADING_DAY"
_HEAD = "# Written by make demo, and again by the next one."
# What the next demo takes away; samples that people have made look the same, and stay.
_DAYS_WRITTEN = "# Days: "


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
        # Published days are those of an earlier demo, or people's own whose raw files are gone.
        and (own.read_text().startswith(_HEAD) if own.exists() else not Storage(settings.lake_uri).has_objects())
    )
    return settings.home if is_free else settings.home / "demo"


def _days_of_earlier_demo(home: Path) -> list[date]:
    """The days that the settings of a home name."""
    written = (home / HOME_FILE).read_text().splitlines() if (home / HOME_FILE).exists() else []
    specs = [line.removeprefix(_DAYS_WRITTEN) for line in written if line.startswith(_DAYS_WRITTEN)]
    return [day for spec in specs for day in chosen_days(spec)]


def prepare(days: list[date], settings: Settings, given: Mapping[str, str]) -> dict[str, str]:
    """Remove the days of an earlier demo and write the settings of the home; returns the variables of the script."""
    home = home_for(settings)
    home.mkdir(parents=True, exist_ok=True)
    _SAMPLE.remove(f"{home}/raw", set(_days_of_earlier_demo(home)) - set(days))
    (home / HOME_FILE).write_text(f"{_HEAD}\n{_DAYS_WRITTEN}{days[0]}..{days[-1]}\n{_FIRST}={days[0]}\n")
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
