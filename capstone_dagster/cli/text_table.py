"""Rows as aligned columns. A person at a terminal also gets right-aligned numbers with separators, and colours.

What other programs read through a pipe stays as it is, whatever people like.
"""

import os
import sys
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import click

from spark_code.locations import shown

_WIDEST_CELL = 40
# Numbers of a column get separators if one of them has more digits than a year.
_LONG_NUMBER = 10_000
_NUMBERS_WITHOUT_SEPARATORS = ("_nb", "_id")  # they count nothing
_COLUMNS_WITH_COLOURS = ("status", "word")
_COLOURS = {
    "SUCCESS": "green",
    "FAILURE": "red",
    "CANCELED": "yellow",
    "STARTED": "cyan",
    "available": "green",
    "degraded": "yellow",
    "missing": "red",
    "pending": "cyan",
    "proven": "green",
    "damaged": "red",
    "ok": "green",
    "warning": "yellow",
    "wrong": "red",
}


def for_person() -> bool:
    """Whether a person reads what is printed: standard output is a terminal."""
    return sys.stdout.isatty()


def coloured(word: str, width: int) -> str:
    """A word in its colour, if a person reads it, and as wide as others of its column."""
    cell = f"{word:<{width}}"
    return _painted(cell, for_person() and _has_colours())


def print_table(header: Sequence[str], rows: Sequence[Sequence[Any]], below: Sequence[str] = ()) -> None:
    """Print rows with a header, and below each row its text, if there is some."""
    lines = _lines(header, rows) if for_person() else as_text(header, rows).split("\n")
    texts = ["", *below] if below else [""] * len(lines)
    click.echo("\n".join(line + text for line, text in zip(lines, texts, strict=True)))


def as_text(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Format rows as aligned columns with a header."""
    cells = [[_cell(name) for name in header], *([_cell(value) for value in row] for row in rows)]
    return "\n".join("".join(line).rstrip() for line in _aligned(cells, [False] * len(header)))


def _lines(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    columns = [[row[number] for row in rows] for number in range(len(header))]
    are_numbers = [any(map(_is_number, column)) and all(map(_is_number_or_none, column)) for column in columns]
    separated = [
        is_number and not name.endswith(_NUMBERS_WITHOUT_SEPARATORS) and any(map(_is_long, column))
        for name, column, is_number in zip(header, columns, are_numbers, strict=True)
    ]
    body = [
        [
            _cell(f"{value:,}" if is_long and value is not None else value)
            for value, is_long in zip(row, separated, strict=True)
        ]
        for row in rows
    ]
    first, *others = _aligned([list(map(_cell, header)), *body], are_numbers)
    if not _has_colours():
        return ["".join(line).rstrip() for line in (first, *others)]
    painted = [name in _COLUMNS_WITH_COLOURS for name in header]
    return [
        click.style("".join(first).rstrip(), bold=True),
        *("".join(map(_painted, line, painted)).rstrip() for line in others),
    ]


def _aligned(cells: Sequence[Sequence[str]], to_the_right: Sequence[bool]) -> list[list[str]]:
    """The cells with blanks around them, so that columns are aligned; two blanks are between columns."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    layout = [f"{'>' if right else '<'}{width}" for width, right in zip(widths, to_the_right, strict=True)]
    return [[f"{cell:{how}}  " for cell, how in zip(line, layout, strict=True)] for line in cells]


def _painted(cell: str, is_word: bool) -> str:
    word = cell.strip()
    return cell.replace(word, click.style(word, fg=_COLOURS[word]), 1) if is_word and word in _COLOURS else cell


def _has_colours() -> bool:
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _is_number_or_none(value: object) -> bool:
    return value is None or _is_number(value)


def _is_long(value: Any) -> bool:
    return value is not None and abs(value) >= _LONG_NUMBER


def _cell(value: object) -> str:
    line = shown("" if value is None else str(value)[: _WIDEST_CELL + 1])
    return line if len(line) <= _WIDEST_CELL else line[: _WIDEST_CELL - 1] + "\N{HORIZONTAL ELLIPSIS}"
