"""Numbers as a page writes them: thousands separators, a true minus sign, a dash where there is nothing."""

from datetime import date
from decimal import Decimal
from typing import Any
from urllib.parse import quote

NOTHING, _MINUS = "\N{EN DASH}", "\N{MINUS SIGN}"
_NAMED = ((1e12, "tn"), (1e9, "bn"), (1e6, "m"))


def whole(value: float | None) -> str:
    """A whole number: 1,234,567."""
    return NOTHING if value is None else f"{value:,.0f}".replace("-", _MINUS)


def price(value: Decimal | None) -> str:
    """A price with all its decimals, and at least two: 12.50, 12.345678."""
    if value is None:
        return NOTHING
    text = f"{value:,.6f}".rstrip("0")
    decimals = len(text) - text.index(".") - 1
    return (text + "0" * max(0, 2 - decimals)).replace("-", _MINUS)


def compact(value: float | None) -> str:
    """A number that is easy to read: 999,999, and from a million on 1.23 m, 12.34 bn."""
    if value is None:
        return NOTHING
    for size, name in _NAMED:
        if abs(value) >= size:
            return f"{value / size:,.2f} {name}".replace("-", _MINUS)
    return whole(value)


def signed(value: Any, decimals: int = 2) -> str:
    """With its sign: +1.25."""
    if value is None:
        return NOTHING
    text = f"{value:+,.{decimals}f}".replace("-", _MINUS)
    return text[1:] if not float(f"{value:.{decimals}f}") else text


def percent(value: float | None, decimals: int = 2) -> str:
    """A share: 0.51 %."""
    return NOTHING if value is None else f"{value:,.{decimals}f} %".replace("-", _MINUS)


def bps(value: float | None) -> str:
    """Basis points, with one decimal."""
    return NOTHING if value is None else f"{value:,.1f}".replace("-", _MINUS)


def clock(minute: int) -> str:
    """A minute of the day: 9:35."""
    return f"{minute // 60}:{minute % 60:02}"


def against(now: float | None, before: float | None) -> str:
    """The change in percent, if there is something to compare with."""
    if now is None or not before:
        return NOTHING
    return f"{signed(100 * (now / before - 1), 1)} %"


def link(path: str) -> str:
    """A path as part of an address."""
    return quote(path)


def week_day(day: date) -> str:
    """The day in words: Thursday, 6 August 2020."""
    return f"{day:%A}, {day.day} {day:%B %Y}"
