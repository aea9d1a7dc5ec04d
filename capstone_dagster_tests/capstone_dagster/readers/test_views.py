"""The tables as views of a DuckDB, of a lake in a folder, in a folder with an odd name, and on S3."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from capstone_dagster.readers.rows import Only, arrow_schema
from capstone_dagster.readers.views import QueryError, connect
from capstone_dagster_tests.builders.published_files import DAY, close, first_rows, publish
from capstone_dagster_tests.servers.s3_server import (  # noqa: F401 -- pytest finds fixtures by their import
    s3_endpoint,
    s3_uri,
)
from spark_code.lake import Lake, MissingFilesError
from spark_code.schemas import CLOSES, DAILY_SUMMARY, EVENTS, TABLES

NEXT_DAY = date(2020, 8, 6)
OLD_SUMMARY = arrow_schema(DAILY_SUMMARY, Only(columns=DAILY_SUMMARY.columns[:-1]))


def without(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


def published(lake: Lake) -> Lake:
    publish(lake, CLOSES, {"part-0.parquet": [close("OLD")]}, "v1")
    publish(lake, CLOSES, {"part-0.parquet": [close("A")], "part-1.parquet": [close("B", "2.5")]}, "v2")
    publish(lake, CLOSES, {"part-0.parquet": [close("A", "3")]}, day=NEXT_DAY)
    names = [name for name in EVENTS.columns if name not in ("trade_dt", "rec_type")]
    publish(lake, EVENTS, {"rec_type=B/part-0.parquet": [dict.fromkeys(names) | {"reject_reason": "blank"}]})
    return lake


def assert_all_is_found(lake: Lake) -> None:
    database = connect(published(lake))

    assert database.sql("FROM eod.closes ORDER BY ALL").fetchall() == [
        (DAY, "A", "NYSE", Decimal("1.250000")),
        (DAY, "B", "NYSE", Decimal("2.500000")),
        (NEXT_DAY, "A", "NYSE", Decimal("3.000000")),
    ]
    assert database.sql("SELECT trade_dt, rec_type, reject_reason FROM ingested.events").fetchall() == [
        (DAY, "B", "blank")
    ]
    assert database.sql("FROM report.bars").fetchall() == []


@pytest.mark.parametrize("name", ["lake", "l'a k%20e", "lake[1]", "lake*", "exchange=US", "trade_dt=2000-01-01"])
def test_published_versions_are_found(tmp_path: Path, name: str) -> None:
    assert_all_is_found(Lake(f"{tmp_path / name}"))


def test_a_lake_on_s3_is_read_like_a_local_one(s3_uri: str) -> None:  # noqa: F811 -- the fixture
    assert_all_is_found(Lake(s3_uri))


@pytest.mark.parametrize("name", ["lake", "lake[1]"])
def test_a_file_that_is_gone_or_torn_is_named(tmp_path: Path, name: str) -> None:
    lake = published(Lake(f"{tmp_path / name}"))
    file = Path(lake.storage.uri(lake.require(CLOSES, DAY).paths[0]))
    file.write_bytes(b"torn")
    with pytest.raises(QueryError, match=r"^eod/closes cannot be read: [^\n]*part-0.parquet"):
        connect(lake)
    file.unlink()
    with pytest.raises(MissingFilesError, match=r"part-0.parquet is gone; publish eod/closes of 2020-08-05 again"):
        connect(lake)


@pytest.mark.parametrize("days", [1, 2])
def test_days_of_older_releases_have_nulls_in_the_columns_that_a_table_has_gained(tmp_path: Path, days: int) -> None:
    lake, price = Lake(f"{tmp_path}"), Decimal("1.000000")
    old = {name: price for name in DAILY_SUMMARY.columns if name.endswith("_pr")} | {"symbol": "OLD"}
    publish(lake, DAILY_SUMMARY, {"part-0.parquet": [without(old, *DAILY_SUMMARY.gained)]}, schema=OLD_SUMMARY)
    if days == 2:
        new = publish(
            lake,
            DAILY_SUMMARY,
            {"part-0.parquet": [old | {"symbol": "NEW"}]},
            day=NEXT_DAY,
            schema=arrow_schema(DAILY_SUMMARY),
        )
        new = replace(new, columns=DAILY_SUMMARY.columns)
        lake.storage.write(f"{DAILY_SUMMARY.path}/_published/{NEXT_DAY}.json", new.to_json())
    expected = [("OLD", price, None), ("NEW", price, price)][:days]

    query = "SELECT symbol, prev_close_pr, adjusted_prev_close_pr FROM report.daily_summary ORDER BY trade_dt"
    assert connect(lake).sql(query).fetchall() == expected
    rows = [row for day in (DAY, NEXT_DAY)[:days] for row in first_rows(lake, DAILY_SUMMARY, day, 1)]
    assert [(row[1], row[-4], row[-1]) for row in rows] == expected


def test_views_of_nothing_have_the_columns_of_the_tables(tmp_path: Path) -> None:
    database = connect(Lake(f"{tmp_path}"))

    for table in TABLES.values():
        found = database.sql(f"FROM {table.layer}.{table.name}")
        assert (found.columns, found.fetchall()) == (table.columns, [])
