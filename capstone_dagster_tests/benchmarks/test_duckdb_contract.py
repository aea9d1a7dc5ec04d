"""The contract in DuckDB's SQL, beside which the pipeline is measured: it makes the rows that the contract says."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from benchmarks.day.duckdb_sql import DuckDbDays, survey
from benchmarks.day.same_rows import written
from capstone_dagster_tests.builders.deliveries import DAY, EventRow, deliver, line
from capstone_dagster_tests.builders.line_cases import CASES, EXCHANGES, LIMIT, Case

BEFORE = date(2020, 8, 5)
# DuckDB does not read files in which some lines end with CR LF, or contain a lone CR, and others do not.
READABLE = [case for case in CASES if b"\r" not in case.line]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Mapping[tuple[str, str], list[EventRow]]:
    """The rows of all cases, by exchange and by the line of a reject or the symbol of an event."""
    raw, out = tmp_path_factory.mktemp("raw"), tmp_path_factory.mktemp("out")
    for exchange in EXCHANGES:
        lines = [case.line for case in READABLE if case.row[3] == exchange]
        deliver(raw, exchange, "lines", b"\n".join(lines) + b"\n")
    days = DuckDbDays("contract")
    days.run(f"{DAY}", None, f"{raw}", f"{out}")
    rows: dict[tuple[str, str], list[EventRow]] = defaultdict(list)
    for row in days.connection.execute("FROM events").fetchall():
        rows[identity(row)].append(row)
    return rows


def identity(row: EventRow) -> tuple[str, str]:
    return row[3], row[-1] if row[1] == "B" else row[2]


@pytest.mark.parametrize("case", READABLE, ids=str)
def test_every_line_becomes_the_row_the_contract_says(
    case: Case, judged: Mapping[tuple[str, str], list[EventRow]]
) -> None:
    assert judged.get(identity(case.row)) == [case.row]


def test_no_line_is_dropped_and_none_is_counted_twice(judged: Mapping[tuple[str, str], list[EventRow]]) -> None:
    assert sum(map(len, judged.values())) == len(READABLE)


def test_a_file_that_duckdb_reads_as_other_lines_is_refused(tmp_path: Path) -> None:
    good = line("NYSE", "T")
    deliver(tmp_path, "NYSE", "lines", good + b"\n" + good.replace(b"SYMA", b"SY\rMA") + b"\n")
    deliver(tmp_path, "NASDAQ", "lines", line("NASDAQ", "T") + b"\n")
    with pytest.raises(duckdb.Error):
        DuckDbDays("contract").run(f"{DAY}", None, f"{tmp_path}", f"{tmp_path}/out")


def test_lines_are_counted_and_those_that_duckdb_cannot_read_are_found(tmp_path: Path) -> None:
    long, bad = b"x" * (LIMIT + 1), b"\xff,\xc3\xa4"
    file = tmp_path / "lines"
    file.write_bytes(b"\n".join([b"a", long, b"", bad, b"y" * LIMIT, *[b"some line"] * 200_000, bad, long + b"\r"]))
    assert survey(file) == (200_007, [long, bad, bad, long])


def test_a_day_becomes_the_tables_the_contract_says(tmp_path: Path) -> None:
    """Two days: corrections, late quotes, a moving average, and the closes of the day before."""
    tables = _tables(
        tmp_path,
        {
            BEFORE: [_trade(BEFORE, "15:59:00", 1, "100.000001", "100"), _trade(BEFORE, "15:59:00", 2, "99.5", "100")],
            DAY: [
                _quote(DAY, "09:29:59", 1, "99", "101"),
                _trade(DAY, "09:30:00", 2, "100", "100"),
                _trade(DAY, "09:30:00", 2, "101", "300", file_tm="20:30:00"),
                _trade(DAY, "10:00:00", 3, "101.000001", "100"),
                _trade(DAY, "10:00:00.000001", 4, "101.000001", "200"),
                _quote(DAY, "10:00:00", 5, "100.5", "101.5"),
                _quote(DAY, "10:00:00.000001", 6, "-0.0", "1e2"),
            ],
        },
    )
    assert tables["eod/closes"] == [("SYMA", "NYSE", Decimal("101.000001"))]
    assert tables["eod/trades"] == [
        ("SYMA", "NYSE", _at("09:30:00"), 2, _at("20:30:00"), Decimal("101.000000"), 300, None),
        ("SYMA", "NYSE", _at("10:00:00"), 3, _at("16:15:00"), Decimal("101.000001"), 100, None),
        ("SYMA", "NYSE", _at("10:00:00.000001"), 4, _at("16:15:00"), Decimal("101.000001"), 200, None),
    ]
    assert [(row[2], *map(_text, row[8:])) for row in tables["report/quote_analytics"]] == [
        (_at("09:29:59"), None, None, "99.500000", "-0.500000", "1.500000", "99.500000"),
        # 101 and 101.000001 make 101.0000005, which is rounded half up; then the trade of 09:30 is too old.
        (_at("10:00:00"), "101.000001", "101.000001", "99.500000", "1.000000", "2.000000", "99.500000"),
        (_at("10:00:00.000001"), "101.000001", "101.000001", "99.500000", "-99.500000", "0.500000", "99.500000"),
    ]
    (summary,) = tables["report/daily_summary"]
    assert list(map(_text, summary)) == [
        *("SYMA", "NYSE", "101.000000", "101.000001", "101.000000", "101.000001", "600", "3"),
        # (300 x 101 + 300 x 101.000001) / 600; spreads of 2, 1 and 100; 1.500001 is 1.5075387 % of 99.5.
        *("101.000001", "3", "34.333333", "99.500000", "1.500001", "1.507539", "99.500000"),
    ]


def _tables(folder: Path, lines: Mapping[date, Sequence[str]]) -> dict[str, list[tuple[Any, ...]]]:
    """The tables of the last day, ordered by their columns."""
    days, previous = DuckDbDays("contract"), None
    for day, content in lines.items():
        for source, text in (("csv/{}/NYSE", "\n".join(content)), ("json/{}/NASDAQ", "")):
            file = folder / source.format(day) / "lines"
            file.parent.mkdir(parents=True)
            file.write_text(text)
        days.run(f"{day}", previous, f"{folder}", f"{folder}/out")
        previous = f"{day}"
    return {
        name: duckdb.execute(f"FROM read_parquet({list(files)}, hive_partitioning = false) ORDER BY ALL").fetchall()
        for name, files in written(f"{folder}/out", max(lines)).items()
    }


def _trade(day: date, clock: str, seq: int, price: str, size: str, file_tm: str = "16:15:00") -> str:
    return f"{day},{day} {file_tm},T,SYMA,{day} {clock},{seq},NYSE,{price},{size}"


def _quote(day: date, clock: str, seq: int, bid: str, ask: str) -> str:
    return f"{day},{day} 16:15:00,Q,SYMA,{day} {clock},{seq},NYSE,{bid},100,{ask},100"


def _at(clock: str) -> datetime:
    return datetime.fromisoformat(f"{DAY} {clock}")


def _text(value: object) -> str | None:
    return None if value is None else str(value)
