"""The days of the benchmark, and the comparison of what was made of them."""

import subprocess
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import duckdb
import pytest
from pyspark.sql import SparkSession

from benchmarks.day.duckdb_sql import DuckDbDays
from benchmarks.day.process_tree import ProcessTree
from benchmarks.day.raw_days import RawDays
from benchmarks.day.same_rows import Files, differences, published, written
from spark_code.flow import WHOLE
from spark_code.lake import Lake
from spark_code.schemas import TABLES, Reject
from spark_code.submit import Work

DAYS = (date(2020, 8, 5), date(2020, 8, 6))


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("raw")
    for day in DAYS:
        RawDays(folder, 4_000).write(day)
    return folder


@pytest.fixture(scope="module")
def by_duckdb(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out: Path = tmp_path_factory.mktemp("duckdb")
    contract, previous = DuckDbDays("contract"), None
    for day in DAYS:
        contract.run(f"{day}", previous, f"{raw}", f"{out}")
        previous = f"{day}"
    return out


def test_the_pipeline_and_duckdb_make_the_same_rows_of_a_day(
    spark: SparkSession, raw: Path, by_duckdb: Path, tmp_path: Path
) -> None:
    lake, previous = Lake(f"{tmp_path}"), None
    for day in DAYS:
        Work(WHOLE, day, previous, f"{raw}", lake).run(spark, lake.begin(day, "test"))
        previous = day
    for day in DAYS:
        assert list(differences(published(f"{tmp_path}", day), written(f"{by_duckdb}", day))) == []


def test_a_day_has_corrections_late_events_and_lines_to_reject_for_many_reasons(by_duckdb: Path) -> None:
    made = written(f"{by_duckdb}", DAYS[0])
    lines, trades, quotes = (_count(made[name]) for name in ("ingested/events", "eod/trades", "eod/quotes"))
    (rejects,) = (path for path in made["ingested/events"] if "rec_type=B" in path)
    rejected = _count([rejects])
    reasons = {reason for (reason,) in duckdb.execute(f"SELECT reject_reason FROM '{rejects}'").fetchall()}  # noqa: S608
    assert 4_020 < lines < 4_060
    assert 10 < rejected < 40
    assert 20 < lines - rejected - trades - quotes < 60
    assert len(reasons) > len(Reject) / 2


def test_the_same_arguments_write_the_same_bytes(raw: Path, tmp_path: Path) -> None:
    RawDays(tmp_path, 4_000).write(DAYS[0])
    files = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 6
    assert [(tmp_path / name).read_bytes() for name in files] == [(raw / name).read_bytes() for name in files]


@pytest.mark.parametrize(("skewed", "least", "most"), [(False, 0, 0.1), (True, 0.45, 0.6)])
def test_half_of_all_quotes_are_of_one_symbol_on_a_skewed_day(
    tmp_path: Path, skewed: bool, least: float, most: float
) -> None:
    RawDays(tmp_path, 4_000, skewed).write(DAYS[0])
    lines = (tmp_path / f"csv/{DAYS[0]}/NYSE/part-00000.csv").read_bytes().splitlines()
    symbols = [fields[3] for fields in (one.split(b",") for one in lines) if fields[2:3] == [b"Q"]]
    assert least < max(map(symbols.count, set(symbols))) / len(symbols) < most


@pytest.fixture
def made(tmp_path: Path) -> dict[str, list[str]]:
    """Every table of a day, with two rows."""
    return {name: [_written(tmp_path / name, name, "1", "2")] for name in TABLES}


def _written(file: Path, table: str, *rows: str) -> str:
    """A table with these values in the first of its columns, and one in the others."""
    _, first, *others = TABLES[table].columns
    values = ", ".join(f"({row})" for row in rows)
    file.parent.mkdir(parents=True, exist_ok=True)
    ones = ", ".join(f"1 AS {name}" for name in others)
    query = f"SELECT {first}, {ones} FROM (VALUES {values}) AS rows({first})"  # noqa: S608
    duckdb.execute(f"COPY ({query}) TO '{file}' (FORMAT parquet)")
    return f"{file}"


def test_equal_rows_in_another_order_are_no_difference(made: Files, tmp_path: Path) -> None:
    turned = {**made, "eod/quotes": [_written(tmp_path / "turned", "eod/quotes", "2", "1")]}
    assert list(differences(made, turned)) == []


@pytest.mark.parametrize(
    ("rows", "difference"),
    [
        (["1"], "eod/quotes: 1 rows are only in rows0, e.g. (2, "),
        (["1", "2", "2"], "eod/quotes: 1 rows are only in rows1, e.g. (2, "),
        (["1", "NULL"], "eod/quotes: 1 rows are only in rows0, e.g. (2, "),
        (["1.0", "2.0"], "eod/quotes: its columns are "),
    ],
)
def test_a_row_lost_doubled_or_changed_is_a_difference(
    made: Files, tmp_path: Path, rows: list[str], difference: str
) -> None:
    changed = {**made, "eod/quotes": [_written(tmp_path / "changed", "eod/quotes", *rows)]}
    assert next(differences(made, changed)).startswith(difference)


def test_memory_of_processes_below_a_process_counts() -> None:
    """The parent starts a child that holds 100 MiB until its input ends."""
    child = "import sys; held = bytes(range(256)) * 409_600; print(len(held), flush=True); sys.stdin.read()"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        with ProcessTree(process.pid) as tree:
            assert process.stdout
            assert process.stdout.readline() == f"{256 * 409_600}\n"
        process.communicate()
    assert 0.1 < tree.usage.peak_gib < 0.3
    assert tree.usage.peak_java_gib == 0


def _count(files: Sequence[str]) -> int:
    ((count,),) = duckdb.execute(f"SELECT count(*) FROM read_parquet({list(files)})").fetchall()  # noqa: S608
    return int(count)
