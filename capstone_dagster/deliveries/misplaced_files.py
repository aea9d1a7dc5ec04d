"""Files and folders in the raw folder that are part of no delivery: where, why, and what to do about them.

Misplaced files stop nothing. The sensor ``new_files`` warns once of each; ``new_files_cursor`` remembers which.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from capstone_dagster.trading_days import NoTradingDayError, TradingDays, parse_day
from capstone_dagster.wording import few
from spark_code import corporate_actions
from spark_code.raw_files import RawFolder, is_hidden
from spark_code.storage import StoredObject

# If somebody takes their whole home for the raw folder, it must not fill log and cursor.
_MAX_MISPLACED = 100
_NAMES_SHOWN = 3

Names = tuple[Sequence[str], Sequence[str]]
"""The names of folders, and those of files."""


@dataclass(frozen=True)
class Misplaced:
    """A file or folder that nothing reads."""

    place: str
    """Its path below the raw folder."""
    why: str
    """Why nothing reads it, and what to do."""


def sort_out(
    raw: RawFolder, names: Mapping[str, Names], calendar: TradingDays, today: date
) -> tuple[list[date], list[Misplaced]]:
    """Sort the names in the raw folder and in the folders of the formats into trading days and misplaced files."""
    formats = [*dict.fromkeys(source.format for source in raw.sources)]
    others = _shown_of(names[""], [*formats, corporate_actions.FOLDER])
    found = {name: f"only {' and '.join(formats)} are read; move it there" for name in others}
    beside_actions = _shown_of(names.get(corporate_actions.FOLDER, ([], [])))
    found |= {
        place: f"only {corporate_actions.FILE} is read here; rename it, or move it away"
        for place in (f"{corporate_actions.FOLDER}/{name}" for name in beside_actions)
        if place != corporate_actions.FILE
    }
    days: set[date] = set()
    for top in formats:
        folders, files = names[top]
        found |= {f"{top}/{name}": _belongs(raw, top, "<yyyy-mm-dd>") for name in _shown_of(([], files))}
        for name in _shown_of((folders, [])):
            try:
                day = parse_day(name)
            except NoTradingDayError as error:
                found[f"{top}/{name}"] = f"{error}, or move it away"
                continue
            if reason := _why_not(day, calendar, today):
                found[f"{top}/{name}"] = reason
            else:
                days.add(day)
    misplaced = [Misplaced(place, why) for place, why in found.items()]
    if (more := len(misplaced) - _MAX_MISPLACED) > 0:
        misplaced[_MAX_MISPLACED:] = [Misplaced("", f"{more} more names have no place here; is it the raw folder?")]
    return sorted(days), misplaced


def beside_deliveries(raw: RawFolder, top: str, day: date, listed: Iterable[StoredObject]) -> list[Misplaced]:
    """The objects below the folder of a day that are in no exchange's folder, or too deep in it."""
    exchanges = {source.exchange: source for source in raw.sources}
    names: dict[str, list[str]] = {}
    why: dict[str, str] = {}
    for stored in listed:
        folder, *below = stored.key.removeprefix(f"{top}/{day}/").split("/")
        source = exchanges.get(folder)
        if any(is_hidden(name) for name in (folder, *below)):
            continue
        if not below:
            if source and not stored.size:
                continue  # the empty object that the S3 console makes for a folder
            place, reason = f"{top}/{day}", _belongs(raw, top, day)
        elif source is None:
            place = f"{top}/{day}/{folder}"
            reason = f"no exchange of this name is known; {_belongs(raw, top, day)}"
        elif source.format != top:
            place = f"{top}/{day}/{folder}"
            reason = f"{folder} delivers {source.format}; move it into {source.folder(day)}/"
        elif len(below) > 1:
            place = f"{top}/{day}/{folder}/{below[0]}"
            reason = f"a delivery has no deeper folders; move it into {source.folder(day)}/"
        else:
            continue
        names.setdefault(place, []).append(stored.key.removeprefix(f"{place}/"))
        why[place] = reason
    return [Misplaced(place, f"{few(names[place], _NAMES_SHOWN, ', ')}: {why[place]}") for place in names]


def _why_not(day: date, calendar: TradingDays, today: date) -> str | None:
    if closed := calendar.why_closed(day):
        return f"{closed}; nothing of this day is run: move the files to their trading day, or away"
    if day > today:
        return f"it is in the future, in New York it is {today}; it is watched from that day on, unless you rename it"
    return None


def _belongs(raw: RawFolder, top: str, day: date | str) -> str:
    folders = [f"{top}/{day}/{source.exchange}/" for source in raw.sources if source.format == top]
    return f"files belong in {' or '.join(folders)}"


def _shown_of(names: Names, besides: Sequence[str] = ()) -> list[str]:
    return [name for some in names for name in some if not is_hidden(name) and name not in besides]
