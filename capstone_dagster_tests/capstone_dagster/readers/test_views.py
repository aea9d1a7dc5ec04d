"""The tables as views of a DuckDB, of a lake in a folder, in a folder with an odd name, and on S3."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from capstone_dagster.readers.views import QueryError, connect
from capstone_dagster_tests.builders.published_files import DAY, close, publish
from capstone_dagster_tests.servers.s3_server import (  # noqa: F401 -- pytest finds fixtures by their import
    s3_endpoint,
    s3_uri,
)
from spark_code.lake import Lake, MissingFilesError
from spark_code.schemas import CLOSES, EVENTS, TABLES

NEXT_DAY = date(2020, 8, 6)


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


def test_views_of_nothing_have_the_columns_of_the_tables(tmp_path: Path) -> None:
    database = connect(Lake(f"{tmp_path}"))

    for table in TABLES.values():
        found = database.sql(f"FROM {table.layer}.{table.name}")
        assert (found.columns, found.fetchall()) == (table.columns, [])
