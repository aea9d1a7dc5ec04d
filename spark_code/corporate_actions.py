"""Splits and cash payments, by which a day's prices are compared with the adjusted closes of the day before.

    <raw>/reference/corporate_actions.csv      symbol,ex_date,kind,value      AAPL,2020-08-31,split,4:1

The file is small and read as a whole, in plain Python, by the process of the step. Every line is judged by itself; a
bad one is named and left out. The edges apply those actions that concern their day.
"""

import hashlib
import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from functools import cached_property
from math import floor
from typing import Any

from spark_code.locations import StorageError, leads_out, shown
from spark_code.manifest import Manifest
from spark_code.storage import Storage
from spark_code.wording import counted, shortened

FOLDER = "reference"
FILE = f"{FOLDER}/corporate_actions.csv"
# The name of the actions of a day among the inputs of a manifest. A day without actions has no such input.
INPUT = f"{FOLDER}/corporate_actions"
# The facts of a manifest that say what was done.
ADJUSTED, REFUSED = "adjusted_closes", "refused_corporate_actions"

# Twenty years of dividends of all American stocks take less; who reads more has been given another file.
_MOST_BYTES = 10_000_000
_LONGEST_LINE = 1_000
# How many are named one by one.
_NAMED = 20
_LONGEST_NAME = 60
_BLANKS = " \t"  # as around the fields of deliveries
_HEADER = ["symbol", "ex_date", "kind"]
_NUMBER = re.compile(r"\d{1,12}(\.\d{1,6})?", re.ASCII)
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_MICROS = 10**6
_GREATEST = 10**18 - 1  # in millionths: decimal(18,6)

Instrument = tuple[str, str]
"""Symbol and exchange."""


class ActionsFileError(StorageError):
    """The file as a whole cannot be used; no report is made while its closes may be wrong."""


class _BadLineError(Exception):
    """Why a line is no action."""


class Kind(StrEnum):
    """What happens to the price."""

    SPLIT = "split"
    CASH = "cash"


@dataclass(frozen=True)
class Action:
    """What a price is divided by, or what is taken from it, on all exchanges."""

    symbol: str
    ex_date: date
    kind: Kind
    value: Fraction
    line: int = field(compare=False)
    text: str = field(compare=False)
    """The value as the file has it."""

    @property
    def order(self) -> tuple[Any, ...]:
        """By day; on one day splits come first, so cash is of a share after the split."""
        return self.symbol, self.ex_date, self.kind == Kind.CASH, self.value

    def applied_to(self, price: Fraction) -> Fraction:
        """The price as it would have been with this action."""
        return price / self.value if self.kind == Kind.SPLIT else price - self.value

    def __str__(self) -> str:
        return f"{self.kind} {self.text} of {_short(self.symbol)} on {self.ex_date}"


@dataclass(frozen=True)
class Adjusted:
    """Closes of the day before that actions change, and the actions that they cannot be changed by."""

    closes: Mapping[Instrument, Decimal] = field(default_factory=dict)
    said: Sequence[str] = ()
    """The same in words."""
    refused: Sequence[str] = ()


@dataclass(frozen=True)
class Actions:
    """The actions that concern one day: their ex-date is after the trading day before it, and not after the day."""

    of: Sequence[Action] = ()
    """In the order in which they apply."""
    refused: Sequence[str] = ()
    """The bad lines of the whole file, in sentences."""

    @property
    def version(self) -> str | None:
        """The same for the same actions, wherever they stand in the file; None without actions."""
        lines = (f"{action.symbol}\t{action.ex_date}\t{action.kind}\t{action.value}" for action in self.of)
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16] if self.of else None

    def as_input(self) -> dict[str, str]:
        """The version, as the manifest of what is computed with it names it."""
        return {INPUT: self.version} if self.version else {}

    def are_those_of(self, manifest: Manifest) -> bool:
        """Whether a version was computed with these actions, or without any if there are none."""
        return manifest.inputs.get(INPUT) == self.version

    @property
    def symbols(self) -> list[str]:
        """Those that have actions."""
        return list(dict.fromkeys(action.symbol for action in self.of))

    def adjusted(self, closes: Iterable[tuple[str, str, Decimal | None]]) -> Adjusted:
        """Adjust closes by symbol and exchange: exactly, and rounded half up to six decimals at the end."""
        by_symbol: dict[str, list[Action]] = {}
        for action in self.of:
            by_symbol.setdefault(action.symbol, []).append(action)
        prices, said, refused = {}, [], []
        for symbol, exchange, close in sorted(row for row in closes if row[2] is not None and row[0] in by_symbol):
            price = Fraction(close or 0)
            for action in by_symbol[symbol]:
                changed = action.applied_to(price)
                if 0 < _micros(changed) <= _GREATEST:
                    price = changed
                else:
                    refused.append(
                        _sentence(action.line, f"{action} leaves no price of the close {close} on {exchange}")
                    )
            prices[symbol, exchange] = adjusted = Decimal(_micros(price)).scaleb(-6)
            said.append(f"{_short(symbol)} on {exchange}: {close}, adjusted {adjusted}")
        return Adjusted(prices, said, refused)

    def facts(self, adjusted: Adjusted) -> dict[str, Any]:
        """What people read about it in the manifest: nothing if there is nothing to say."""
        closes = _first(adjusted.said, "more close")
        facts = {ADJUSTED: closes, REFUSED: [*self.refused, *_first(adjusted.refused, "more action")]}
        return {name: said for name, said in facts.items() if said}


NO_ACTIONS = Actions()


class CorporateActions:
    """All actions of a raw folder, none without the file. It is read once, when the first day is asked for."""

    def __init__(self, raw_uri: str | None) -> None:
        self._raw_uri = raw_uri

    def of(self, day: date, previous: date | None) -> Actions:
        """Those between a trading day and the one before it; none on the first one, which is compared with nothing."""
        if previous is None:
            return NO_ACTIONS
        actions, refused = self._read
        first, end = (bisect_right(actions, of, key=lambda action: action.ex_date) for of in (previous, day))
        return Actions(tuple(sorted(actions[first:end], key=lambda action: action.order)), refused)

    def state(self) -> str:
        """Changes when the file is written again; empty without a file."""
        stored = Storage(self._raw_uri).find(FILE) if self._raw_uri else None
        return f"{stored.etag} {stored.size}" if stored else ""

    @cached_property
    def _read(self) -> tuple[Sequence[Action], Sequence[str]]:
        """The actions by their day, and the bad lines."""
        storage = Storage(self._raw_uri) if self._raw_uri else None
        if storage is None or (stored := storage.find(FILE)) is None:
            return (), ()
        if storage.is_local and leads_out(storage.root, FILE):
            raise ActionsFileError(
                f"{storage.uri(FILE)} leads out of the raw folder by a link; put the file itself there"
            )
        if stored.size > _MOST_BYTES:
            raise ActionsFileError(
                f"{storage.uri(FILE)} has {stored.size:,} bytes, and at most {_MOST_BYTES:,} are read; remove "
                "actions of days that no longer matter, or move the file away"
            )
        return parsed(storage.read(FILE) or b"")


NO_FILE = CorporateActions(None)


def parsed(content: bytes) -> tuple[Sequence[Action], Sequence[str]]:
    """The actions of a file by their day, and sentences about its bad lines; of a wrong file only the first ones."""
    actions: dict[Action, int] = {}
    refused: list[str] = []
    others = 0
    lines = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    for number, line in enumerate(lines, start=1):
        try:
            fields = _fields(line.removesuffix(b"\r"))
            if fields is None or (number == 1 and [name.casefold() for name in fields[:3]] == _HEADER):
                continue
            first = actions.setdefault(_action(fields, number), number)
            reason = f"it repeats line {first}" if first != number else ""
        except _BadLineError as error:
            reason = str(error)
        if reason and len(refused) < _NAMED:
            refused.append(_sentence(number, reason))
        elif reason:
            others += 1
    if others:
        refused.append(f"{FILE}: {counted(others, 'more line')} left out")
    return sorted(actions, key=lambda action: action.ex_date), refused


def _fields(line: bytes) -> list[str] | None:
    """The fields of a line; None of an empty one."""
    if len(line) > _LONGEST_LINE:
        raise _BadLineError(f"it has more than {_LONGEST_LINE:,} bytes")
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise _BadLineError("it is not UTF-8") from None
    if "\0" in text:
        raise _BadLineError("it contains a NUL")
    if '"' in text:
        raise _BadLineError("it contains a quotation mark; write the fields without")
    return [name.strip(_BLANKS) for name in text.split(",")] if text.strip(_BLANKS) else None


def _action(fields: Sequence[str], line: int) -> Action:
    if len(fields) != len(_HEADER) + 1:
        raise _BadLineError(f"it has {counted(len(fields), 'field')}; write symbol,ex_date,kind,value")
    symbol, day, kind, value = fields
    if not symbol:
        raise _BadLineError("it names no symbol")
    try:
        ex_date = date.fromisoformat(day if _DATE.fullmatch(day) else "")
    except ValueError:
        raise _BadLineError(f"{_quoted(day)} is not a date; write yyyy-mm-dd") from None
    match kind:
        case Kind.SPLIT:
            return Action(symbol, ex_date, Kind.SPLIT, _ratio(value), line, value)
        case Kind.CASH:
            return Action(symbol, ex_date, Kind.CASH, _number(value), line, value)
    raise _BadLineError(f"{_quoted(kind)} is neither split nor cash")


def _ratio(text: str) -> Fraction:
    """New shares for old ones: 4, 4:1 or 1:10."""
    new, has_old, old = (part.strip(_BLANKS) for part in text.partition(":"))
    return _number(new) / (_number(old) if has_old else 1)


def _number(text: str) -> Fraction:
    number = Fraction(text if _NUMBER.fullmatch(text) else 0)
    if not number:
        raise _BadLineError(
            f"{_quoted(text)} is not a number above zero with at most 12 digits before the point and 6 after it"
        )
    return number


def _micros(price: Fraction) -> int:
    """In millionths, rounded half up."""
    return floor(price * _MICROS + Fraction(1, 2))


def _sentence(line: int, reason: str) -> str:
    return f"{FILE}, line {line}: {reason}; it is left out"


def _quoted(text: str) -> str:
    return f"'{_short(text)}'"


def _short(text: str) -> str:
    return shortened(shown(text), _LONGEST_NAME)


def _first(said: Sequence[str], what: str) -> Sequence[str]:
    others = len(said) - _NAMED
    return [*said[:_NAMED], f"{FILE}: {counted(others, what)}"] if others > 0 else said
