"""DuckDB, plain: runs ``plain_duckdb.sql``, and holds the events of the day in memory between its steps."""

from pathlib import Path

import duckdb

from benchmarks.day.answers import Clock, answer
from spark_code.flow import STEPS
from spark_code.schemas import CLOSES, EVENTS, TABLES

_SQL = Path(__file__).with_suffix(".sql").read_text()
_NO_CLOSES = "(SELECT NULL::VARCHAR AS symbol, NULL::VARCHAR AS exchange, NULL::DECIMAL(18,6) AS close_pr LIMIT 0)"
_connection = duckdb.connect()


def run(day: str, previous: str | None, raw: str, out: str) -> dict[str, float]:
    """Write the tables of the day; returns the seconds of each step."""
    clock = Clock()
    for folder in (*TABLES, f"{EVENTS.path}/rec_type=T", f"{EVENTS.path}/rec_type=Q"):
        Path(out, folder).mkdir(parents=True, exist_ok=True)
    closes = f"'{out}/{CLOSES.path}/{previous}.parquet'" if previous else _NO_CLOSES
    sql = _SQL.format(raw=raw, out=out, day=day, previous_closes=closes)
    for step, statements in zip(STEPS, sql.split("-- next step"), strict=True):
        with clock.step(step.name):
            _connection.execute(statements)
    return clock.seconds


if __name__ == "__main__":
    answer(run)
