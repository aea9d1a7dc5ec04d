"""Settings that can be used, and are probably not what was meant: a sentence for each, of which ``capstone`` warns."""

import os
from collections.abc import Iterator, Mapping

from capstone_dagster.settings import Settings, SettingsError, unknown_variables
from capstone_dagster.trading_days import trading_days

_MIB = 1 << 20
# These start Spark. Others need not be told that the default is too much for this machine.
_WITH_SPARK = ("run", "dev")


def doubts(given: Mapping[str, str | None], command: str | None) -> Iterator[str]:
    """The sentences about these variables, for one who types this command."""
    yield from unknown_variables(given)
    try:
        settings = Settings.from_mapping({name: value or "" for name, value in given.items()})
    except SettingsError:  # the command says so
        return
    if given.get("CAPSTONE_FIRST_TRADING_DAY"):  # the default is one; to look days up takes half a second
        yield from _no_first_day(settings)
    if settings.late_time < settings.schedule_time:
        yield (
            f"CAPSTONE_LATE_TIME={settings.late_time:%H:%M} is before CAPSTONE_SCHEDULE_TIME="
            f"{settings.schedule_time:%H:%M}: a day that only the schedule runs is reported late before it is run"
        )
    is_theirs = given.get("CAPSTONE_DRIVER_MEMORY") or command in _WITH_SPARK
    if is_theirs and settings.deployment == "local":
        yield from _too_much_memory(settings.driver_memory)


def _no_first_day(settings: Settings) -> Iterator[str]:
    first, calendar = settings.first_trading_day, trading_days(settings.first_trading_day)
    if closed := calendar.why_closed(first):
        yield f"CAPSTONE_FIRST_TRADING_DAY={first}: {closed}; the first trading day is {calendar.first}"


def _too_much_memory(asked: str) -> Iterator[str]:
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // _MIB
    if int(asked[:-1]) * (1024 if asked.endswith("g") else 1) > machine:
        yield (
            f"CAPSTONE_DRIVER_MEMORY={asked} is more than the {machine / 1024:.1f}g of this machine: the system may "
            f"end Spark in the middle of a day; half of it is a good start: {max(1, machine // 2048)}g"
        )
