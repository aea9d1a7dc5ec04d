"""DuckDB, with SQL written by hand: ``python -m benchmarks.day.duckdb_sql plain`` or ``contract``.

The SQL is in files of its own. The events of a day stay in memory between the steps. For the contract, Python reads
the files once before: it counts their lines independently, and finds lines that DuckDB cannot read.
"""

import gzip
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from string import Template

import duckdb

from benchmarks.day.answers import MADE_BY_ALL, Clock, answer
from spark_code.line_rules import MAX_LINE_BYTES
from spark_code.raw_files import SOURCES, is_hidden
from spark_code.raw_lines import MAX_KEPT_BYTES
from spark_code.schemas import CLOSES, EVENTS, TABLES, RecordType, Reject

_NO_CLOSES = "(SELECT NULL::VARCHAR AS symbol, NULL::VARCHAR AS exchange, NULL::DECIMAL(18,6) AS close_pr LIMIT 0)"
_BLOCK = 1024 * 1024
_BOM = "\ufeff".encode()


class DuckDbDays:
    """Days made by the SQL of a file beside this module."""

    def __init__(self, sql: str) -> None:
        self._steps = Path(__file__).with_name(f"duckdb_{sql}.sql").read_text().split("-- next step")
        self._is_exact = sql == "contract"
        self.connection = duckdb.connect()

    def run(self, day: str, previous: str | None, raw: str, out: str) -> dict[str, float]:
        """Write the tables of the day; returns the seconds of each step."""
        clock = Clock()
        for folder in (*TABLES, *(f"{EVENTS.path}/rec_type={kind}" for kind in RecordType)):
            Path(out, folder).mkdir(parents=True, exist_ok=True)
        facts: dict[str, object] = {
            "day": day,
            "raw": raw,
            "out": out,
            "previous_closes": f"'{out}/{CLOSES.path}/{previous}.parquet'" if previous else _NO_CLOSES,
            "max_line": MAX_LINE_BYTES,
        }
        for step, sql in zip(MADE_BY_ALL, self._steps, strict=True):
            with clock.step(step.name):
                if self._is_exact and step.reads_deliveries:
                    facts["lines"] = self._survey(day, Path(raw))
                self.connection.execute(Template(sql).substitute(facts))
        return clock.seconds

    def _survey(self, day: str, raw: Path) -> int:
        """Count all lines; those that DuckDB cannot read go into a table."""
        folders = [raw / source.format / day / source.exchange for source in SOURCES]
        files = [path for folder in folders for path in folder.iterdir() if not is_hidden(path.name)]
        with ThreadPoolExecutor(os.cpu_count()) as threads:
            counts, found = zip(*threads.map(survey, files), strict=True)
        self.connection.execute("CREATE OR REPLACE TABLE odd_lines (source_file VARCHAR, line VARCHAR, reason VARCHAR)")
        for path, lines in zip(files, found, strict=True):
            for line in lines:
                row = [str(path.relative_to(raw)), *kept(line)]
                self.connection.execute("INSERT INTO odd_lines VALUES (?, ?, ?)", row)
        return sum(counts)


def survey(path: Path) -> tuple[int, list[bytes]]:
    """The number of lines of a file, and those of them that DuckDB cannot read."""
    count, odd = 0, []
    for lines in _whole_lines(path):
        count += lines.count(b"\n")
        if not _is_utf8(lines) or _has_long_line(lines):
            each = (line.removesuffix(b"\r") for line in lines.removesuffix(b"\n").split(b"\n"))
            odd += [line for line in each if len(line) > MAX_LINE_BYTES or not _is_utf8(line)]
    return count, odd


def kept(line: bytes) -> tuple[str, Reject | None]:
    """The text of an odd line, as a reject keeps it, and the reason."""
    content = line.removeprefix(_BOM)
    reason = Reject.TOO_LONG if len(content) > MAX_LINE_BYTES else None if _is_utf8(content) else Reject.BAD_ENCODING
    return line[:MAX_KEPT_BYTES].removeprefix(_BOM).decode(errors="replace"), reason


def _whole_lines(path: Path) -> Iterator[bytes]:
    """The content in blocks that end with a line, the last of which is given its LF if it has none."""
    begun = b""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        for block in iter(lambda: file.read(_BLOCK), b""):
            end = block.rfind(b"\n") + 1
            if end:
                yield begun + block[:end]
                begun = block[end:]
            else:
                begun += block
    if begun:
        yield begun + b"\n"


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _has_long_line(lines: bytes) -> bool:
    start = 0
    while start < len(lines):
        end = lines.rfind(b"\n", start, start + MAX_LINE_BYTES + 1)
        if end < 0:
            return True
        start = end + 1
    return False


if __name__ == "__main__":
    answer(DuckDbDays(sys.argv[1]).run)
