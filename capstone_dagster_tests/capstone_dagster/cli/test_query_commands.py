"""``capstone sql`` and ``capstone export``: what they print and write, and what they refuse."""

import io
import os
import pty
import signal
import subprocess
import time
from pathlib import Path

import duckdb
import psutil
import pytest

from capstone_dagster_tests.builders.command_line import CAPSTONE, Run, usage_error
from capstone_dagster_tests.builders.published_files import close, publish
from capstone_dagster_tests.servers.processes import heard
from spark_code.lake import Lake
from spark_code.schemas import CLOSES

QUERY = "SELECT symbol, close_pr FROM eod.closes ORDER BY symbol"
ANSWER = "symbol  close_pr\nA       1.250000\nB       2.500000\n2 rows\n"


@pytest.fixture(autouse=True)
def lake(home: Path) -> Lake:
    lake = Lake(f"{home / 'lake'}")
    publish(lake, CLOSES, {"part-0.parquet": [close("A"), close("B", "2.5")]})
    return lake


def test_a_query_is_answered(capstone: Run) -> None:
    assert capstone("sql", QUERY) == (0, ANSWER, "")


def test_a_query_may_come_from_standard_input(capstone: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{QUERY};\n"))

    assert capstone("sql") == (0, ANSWER, "")


def test_text_of_data_cannot_steer_the_terminal(capstone: Run, lake: Lake) -> None:
    publish(lake, CLOSES, {"part-0.parquet": [close("\x1b[31mRED")]}, "v2")

    _, out, _ = capstone("sql", "SELECT symbol FROM eod.closes")

    assert out == "symbol\n\\x1b[31mRED\n1 row\n"


@pytest.mark.parametrize(
    ("query", "reason"),
    [("SELEC 1", "Parser Error: syntax error"), ("FROM eod.prices", "Table with name prices does not exist")],
)
def test_a_wrong_query_is_refused(capstone: Run, query: str, reason: str) -> None:
    code, out, err = capstone("sql", query)

    assert (code, out) == (1, "")
    assert err.startswith("capstone: the query failed: ")
    assert reason in err


@pytest.mark.slow
def test_the_prompt_answers_goes_on_after_an_error_and_ends_with_the_input(home: Path) -> None:
    terminal, end = pty.openpty()
    pipe = subprocess.PIPE
    with subprocess.Popen([f"{CAPSTONE}", "sql"], stdin=end, stdout=pipe, stderr=subprocess.STDOUT, text=True) as run:
        os.close(end)
        os.write(terminal, b"SELEC 1;\nSELECT symbol\nFROM eod.closes WHERE symbol = 'B';\n\x04")
        out, _ = run.communicate(timeout=60)
    os.close(terminal)

    assert "DuckDB over eod.closes, eod.quotes, eod.trades, ingested.events, quality.days, quality.measures" in out
    assert "the query failed: Parser Error" in out
    assert "symbol\nB\n1 row" in out
    assert run.returncode == 0
    assert home.exists()


def test_more_rows_than_people_read_are_left_to_a_file(capstone: Run) -> None:
    _, out, _ = capstone("sql", "FROM range(5000)")

    assert (len(out.splitlines()), out.splitlines()[-1]) == (
        1002,
        "the first 1,000 rows; choose with LIMIT, or write all to a file: capstone export --help",
    )


@pytest.mark.slow
def test_a_query_is_stopped_by_ctrl_c(home: Path) -> None:
    query = "SELECT count(*) FROM range(1000000000) AS a, range(1000000) AS b WHERE a.range + b.range = 7"
    with heard(signal.SIGINT), subprocess.Popen([CAPSTONE, "sql", query], stderr=subprocess.PIPE, text=True) as run:
        process = psutil.Process(run.pid)
        while process.cpu_times().user < 3 or process.num_threads() < 3:  # it is at the query
            assert run.poll() is None
            time.sleep(0.1)
        run.send_signal(signal.SIGINT)
        try:
            _, err = run.communicate(timeout=60)
        finally:
            run.kill()

    assert (run.returncode, err.strip()) == (1, "Aborted!")
    assert home.exists()


def test_no_variable_of_this_program_is_taken_for_a_table(capstone: Run) -> None:
    code, _, err = capstone("sql", "FROM query")

    assert (code, "Table with name query does not exist" in err) == (1, True)


def test_the_stack_of_a_failed_read_is_not_shown(capstone: Run, home: Path) -> None:
    (home / "lake" / "eod" / "closes" / "data" / "v1" / "trade_dt=2020-08-05" / "part-0.parquet").unlink()

    code, out, err = capstone("sql", QUERY)

    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(
        f"capstone: {home}/lake/eod/closes/data/v1/trade_dt=2020-08-05/part-0.parquet is gone; publish"
    )


@pytest.mark.parametrize("to", ["closes.csv", "./closes.csv", "file://{}/closes.csv"])
def test_a_file_is_written_where_its_name_says(
    capstone: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "query.sql").write_text("PIVOT eod.closes ON exchange USING max(close_pr) GROUP BY symbol")

    code, _, err = capstone("export", to.format(tmp_path), "--sql", "query.sql")

    assert (code, err) == (0, "")
    assert (tmp_path / "closes.csv").read_text().splitlines()[0] == "symbol,NYSE"


@pytest.mark.parametrize("name", ["closes.parquet", "closes.csv"])
def test_a_result_is_written_to_a_file(capstone: Run, tmp_path: Path, name: str) -> None:
    query, to = tmp_path / "query.sql", tmp_path / "out" / name
    query.write_text(f"{QUERY};\n")

    assert capstone("export", f"{to}", "--sql", f"{query}") == (0, f"{to}: {to.stat().st_size} bytes\n", "")

    written = duckdb.execute(f"FROM '{to}'").fetchall()
    assert [(symbol, f"{price:.2f}") for symbol, price in written] == [("A", "1.25"), ("B", "2.50")]


@pytest.mark.parametrize(
    ("query", "refusal"),
    [
        ("SELEC 1", "capstone: the query failed: Parser Error"),
        ("CREATE SCHEMA a", "capstone: this is not one query that gives rows"),
        ("SELECT 1; SELECT 2", "capstone: this is not one query that gives rows"),
        ("", "capstone: this is not one query that gives rows"),
    ],
)
def test_what_gives_no_rows_leaves_the_file_of_before(capstone: Run, tmp_path: Path, query: str, refusal: str) -> None:
    to, file = tmp_path / "closes.csv", tmp_path / "query.sql"
    to.write_text("before")
    file.write_text(query)

    code, _, err = capstone("export", f"{to}", "--sql", f"{file}")

    assert (code, to.read_text()) == (1, "before")
    assert err.startswith(refusal)


def test_a_file_of_another_kind_is_refused(capstone: Run, tmp_path: Path) -> None:
    code, _, err = capstone("export", "closes.xlsx", "--sql", os.devnull)

    assert code == 2
    assert usage_error(err) == "Error: Invalid value for 'TO': 'closes.xlsx' must end with .parquet or .csv"
    assert not (tmp_path / "closes.xlsx").exists()
