"""Published rows as text, from parquet files that another program wrote."""

from dataclasses import asdict
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from capstone_dagster.cli.text_table import as_text
from capstone_dagster.steps.preview import first_rows
from spark_code.lake import Lake, NotPublishedError
from spark_code.manifest import Manifest
from spark_code.schemas import CLOSES, EVENTS, Table

DAY = date(2020, 8, 5)
Files = dict[str, list[dict[str, Any]]]


def publish(root: Path, table: Table, files: Files, version: str = "v1") -> Lake:
    """A version with these files, made by hand; the columns in their paths are not in the files."""
    lake = Lake(str(root))
    paths = [f"{table.path}/data/{version}/trade_dt={DAY}/{name}" for name in files]
    for path, rows in zip(paths, files.values(), strict=True):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), root / path)
    manifest = Manifest(
        trade_dt=DAY.isoformat(),
        version=version,
        paths=paths,
        rows=sum(map(len, files.values())),
        bytes=0,
        run_id="run",
        attempt=1,
        token=1,
        published_at="2020-08-05T23:00:00.000+00:00",
        inputs={},
    )
    lake.storage.write(f"{table.path}/_published/{DAY}.json", Manifest(**asdict(manifest)).to_json())
    return lake


def close(symbol: str, price: str = "1.250000") -> dict[str, Any]:
    # The order of the columns in a file is not the order of the schema.
    return {"close_pr": Decimal(price), "exchange": "NYSE", "symbol": symbol}


def test_rows_come_in_the_order_of_files_and_columns(tmp_path: Path) -> None:
    lake = publish(tmp_path, CLOSES, {"part-0.parquet": [close("B"), close("A")], "part-1.parquet": [close("C")]})

    assert first_rows(lake, CLOSES, DAY, 10) == [
        [DAY, "B", "NYSE", Decimal("1.250000")],
        [DAY, "A", "NYSE", Decimal("1.250000")],
        [DAY, "C", "NYSE", Decimal("1.250000")],
    ]


@pytest.mark.parametrize(("limit", "symbols"), [(1, "A"), (2, "AB"), (3, "ABC"), (4, "ABCD"), (9, "ABCD")])
def test_no_more_rows_than_asked_for(tmp_path: Path, limit: int, symbols: str) -> None:
    lake = publish(tmp_path, CLOSES, {"part-0": [close("A"), close("B")], "part-1": [close("C"), close("D")]})

    assert [row[1] for row in first_rows(lake, CLOSES, DAY, limit)] == list(symbols)


def test_a_day_without_rows_has_none(tmp_path: Path) -> None:
    assert first_rows(publish(tmp_path, CLOSES, {}), CLOSES, DAY, 10) == []


def test_a_column_that_is_only_in_the_path_is_shown(tmp_path: Path) -> None:
    names = [name for name in EVENTS.columns if name not in ("trade_dt", "rec_type")]
    bad = dict.fromkeys(names) | {"reject_reason": "blank", "line": ""}
    lake = publish(tmp_path, EVENTS, {"rec_type=B/part-0.parquet": [bad]})

    [row] = first_rows(lake, EVENTS, DAY, 1)

    expected = {"trade_dt": DAY, "rec_type": "B", "reject_reason": "blank", "line": ""}
    assert dict(zip(EVENTS.columns, row, strict=True)) == dict.fromkeys(EVENTS.columns) | expected


def test_only_the_published_version_is_shown(tmp_path: Path) -> None:
    publish(tmp_path, CLOSES, {"part-0.parquet": [close("OLD")]}, "v1")
    lake = publish(tmp_path, CLOSES, {"part-0.parquet": [close("NEW")]}, "v2")

    assert [row[1] for row in first_rows(lake, CLOSES, DAY, 10)] == ["NEW"]


def test_a_day_that_is_not_published_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotPublishedError) as refused:
        first_rows(Lake(str(tmp_path)), CLOSES, DAY, 10)

    assert str(refused.value) == f"eod/closes of 2020-08-05 is not published in {tmp_path}"


def test_columns_are_aligned_under_their_names() -> None:
    rows: list[list[Any]] = [
        ["A", Decimal("10.250000"), None, datetime(2020, 8, 5, 9, 30, 0, 123_000)],
        ["LONGER", None, 300, None],
    ]

    assert as_text(["symbol", "price", "n", "event_tm"], rows).splitlines() == [
        "symbol  price      n    event_tm",
        "A       10.250000       2020-08-05 09:30:00.123000",
        "LONGER             300",
    ]


def test_without_rows_there_are_only_the_names() -> None:
    assert as_text(["symbol", "price"], []) == "symbol  price"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param("a|b", "a|b", id="a pipe"),
        pytest.param("a\nb\rc\td", r"a\nb\rc\td", id="line ends and tabs"),
        pytest.param("\x1b[31mred\x07\x00\x9b", r"\x1b[31mred\x07\x00\x9b", id="what steers a terminal"),
        pytest.param("a\u2028b\u202ec\ufeffd", r"a\u2028b\u202ec\ufeffd", id="separators and marks nobody sees"),
        pytest.param("Zürich 株", "Zürich 株", id="other alphabets"),
        pytest.param("x" * 40, "x" * 40, id="as wide as a cell"),
        pytest.param("x" * 41, "x" * 39 + "…", id="wider than a cell"),
        pytest.param("\n" * 70_000, r"\n" * 19 + "\\…", id="a long line of nothing"),
        pytest.param(None, "", id="null"),
    ],
)
def test_a_value_is_one_printable_cell(value: str | None, shown: str) -> None:
    assert as_text(["a", "b"], [[value, "end"]]) == f"{'a'.ljust(len(shown) or 1)}  b\n{shown.ljust(1)}  end"
