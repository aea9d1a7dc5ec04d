"""Rows as aligned columns, for a terminal."""

from typing import Any

from spark_code.locations import shown

_WIDEST_CELL = 40


def as_text(header: list[str], rows: list[list[Any]]) -> str:
    """Format rows as aligned columns with a header."""
    cells = [[_cell(name) for name in header], *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells
    )


def _cell(value: object) -> str:
    line = shown("" if value is None else str(value)[: _WIDEST_CELL + 1])
    return line if len(line) <= _WIDEST_CELL else line[: _WIDEST_CELL - 1] + "\N{HORIZONTAL ELLIPSIS}"
