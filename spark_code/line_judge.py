"""Judges lines: Arrow arrays of bytes to rows of ``ingested/events``, whatever the state of the lines.

DuckDB works on whole arrays: no line becomes a Python object, unless it is not UTF-8 or too long. Plain lines take a
short way (``plain_lines``), all others come before the rules (``line_rules``).
"""

from collections.abc import Iterable, Iterator
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING

from spark_code.line_rules import GRAMMARS, rules_query
from spark_code.plain_lines import plain_query
from spark_code.raw_files import Source
from spark_code.raw_lines import as_text

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

# How many lines are judged at once: more than a block of a file has, unless they are no events.
_AT_ONCE = 131_072
# How many bytes of lines that are not plain: DuckDB's JSON takes forty times their size.
_BYTES_AT_ONCE = 4 * 1024 * 1024


class Judge:
    """Judges the lines that one exchange delivered for a day."""

    def __init__(self, source: Source, day: date) -> None:
        self._plain = plain_query(source, day)
        self._rules = rules_query(source, day)

    @cached_property
    def _database(self) -> "duckdb.DuckDBPyConnection":
        import duckdb  # noqa: PLC0415 - takes 0.1 s, for those who judge lines; commands import ``flow``

        database = duckdb.connect(config={"threads": 1, "memory_limit": "1GB"})
        database.execute(GRAMMARS)
        return database

    def rows(self, lines: Iterable[tuple[str, "pa.BinaryArray"]]) -> Iterator["pa.Table"]:
        """The rows of lines, which come with their file, in any order; the last column has the unknown fields."""
        import pyarrow as pa  # noqa: PLC0415 - the same
        import pyarrow.compute as pc  # noqa: PLC0415 - the same

        others: list[pa.Table] = []
        size = 0
        for source_file, some in ((name, part) for name, array in lines for part in _slices(array, _AT_ONCE)):
            # The same bytes as text, which they need not be: the grammar of plain lines has only ASCII.
            self._database.register("lines", pa.table({"text": some.view(pa.string())}))
            found = self._database.sql(self._plain).to_arrow_table()
            is_plain = found.column("is_plain")
            yield found.filter(is_plain).drop_columns("is_plain")
            left = some.filter(pc.invert(is_plain).combine_chunks())
            for few in _slices(left, max(1, len(left) * _BYTES_AT_ONCE // max(1, left.nbytes))):
                others.append(as_text(few).append_column("source_file", pa.repeat(source_file, len(few))))
                size += few.nbytes
                # DuckDB takes 0.1 s to plan the rules, so it is asked seldom.
                if size >= _BYTES_AT_ONCE:
                    yield self._judged(others)
                    others, size = [], 0
        if others:
            yield self._judged(others)

    def _judged(self, lines: "list[pa.Table]") -> "pa.Table":
        import pyarrow as pa  # noqa: PLC0415 - the same

        self._database.register("lines", pa.concat_tables(lines))
        return self._database.sql(self._rules).to_arrow_table()


def _slices(lines: "pa.BinaryArray", length: int) -> "Iterator[pa.BinaryArray]":
    return (lines.slice(start, length) for start in range(0, len(lines), length))
