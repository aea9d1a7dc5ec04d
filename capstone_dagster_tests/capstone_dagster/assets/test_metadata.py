"""What the UI shows about a materialization, from hand-made manifests."""

from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pyspark.sql import Row

from capstone_dagster.assets.metadata import column_schema, materialization_metadata, rejects_by_reason
from capstone_dagster_tests.builders.manifests import manifest_of
from spark_code.lake import Lake
from spark_code.manifest import Manifest
from spark_code.schemas import CLOSES, EVENTS, TABLES, Reject, Table

ROW: tuple[Any, ...] = (date(2020, 8, 5), "SYMA", "NYSE", None)


def manifest(
    rows: int = 3,
    measures: dict[str, int] | None = None,
    inputs: dict[str, str] | None = None,
    facts: dict[str, Any] | None = None,
) -> Manifest:
    known = manifest_of(date(2020, 8, 5), inputs=inputs, rows=rows)
    paths = ["part-0.parquet", "part-1.parquet"]
    return replace(known, paths=paths, bytes=2048, measures=measures or {}, facts=facts or {})


def table(columns: list[str], *rows: tuple[str | int, ...]) -> dg.TableMetadataValue:
    """Rows as people see them."""
    records = [dg.TableRecord(dict(zip(columns, row, strict=True))) for row in rows]
    return dg.MetadataValue.table(records, dg.TableSchema([dg.TableColumn(name) for name in columns]))


@pytest.mark.parametrize(
    ("measures", "reasons"),
    [
        ({}, {}),
        ({"trades": 3, "rejected": 0}, {}),
        ({f"rejected_{reason}": 0 for reason in Reject}, {}),
        (
            {"trades": 9, "rejected": 7, "rejected_blank": 2, "rejected_bad_json": 0, "rejected_bad_number": 5},
            {"bad_number": 5, "blank": 2},
        ),
        (
            {"rejected_field_count": 1, "rejected_blank": 1, "rejected_bad_json": 1},
            {"bad_json": 1, "blank": 1, "field_count": 1},
        ),
    ],
)
def test_rejects_are_the_reasons_that_occurred_most_frequent_first(
    measures: dict[str, int], reasons: dict[str, int]
) -> None:
    assert list(rejects_by_reason(manifest(measures=measures)).items()) == list(reasons.items())


@pytest.mark.parametrize("table", TABLES.values(), ids=list(TABLES))
def test_the_column_schema_has_every_column_with_type_and_meaning(table: Table) -> None:
    columns = column_schema(table).columns

    shown = ",".join(f"{column.name}:{column.type}" for column in columns)
    assert f"struct<{shown}>" == table.schema.simpleString()
    assert all(column.description for column in columns)


def test_a_price_in_the_column_schema() -> None:
    assert column_schema(CLOSES).columns[-1] == dg.TableColumn(
        "close_pr", "decimal(18,6)", "Price of the last trade of the day"
    )


def test_everything_about_a_version_of_a_table_without_rejects(tmp_path: Path) -> None:
    row = Row(*ROW)

    metadata = materialization_metadata(
        CLOSES, manifest(inputs={"ingested/events": "v0"}), [row], 1.23456, Lake(str(tmp_path))
    )

    assert metadata == {
        "dagster/partition_row_count": 3,
        "bytes": 2048,
        "files": 2,
        "version": "v1",
        "inputs": table(["input", "version"], ("ingested/events", "v0")),
        "dagster/uri": f"{tmp_path}/eod/closes/data/v1",
        "dagster/column_schema": column_schema(CLOSES),
        "preview": table(CLOSES.columns, ("2020-08-05", "SYMA", "NYSE", "")),
        "seconds": 1.23,
    }


def test_where_the_lines_of_a_day_went(tmp_path: Path) -> None:
    measures = {"trades": 2, "quotes": 5, "rejected": 3, "rejected_blank": 1, "rejected_bad_json": 2}
    facts = {"schema_drift": {"json/2020-08-05/NASDAQ/a.json": ["venue"]}}

    metadata = materialization_metadata(EVENTS, manifest(10, measures, facts=facts), [], 0.5, Lake(str(tmp_path)))

    assert metadata == {
        "dagster/partition_row_count": 10,
        "trades": 2,
        "quotes": 5,
        "rejected": 3,
        "lines_in": 10,
        "accepted": 7,
        "rejected_percent": 30.0,
        "rejects_by_reason": table(["reason", "lines"], ("bad_json", 2), ("blank", 1)),
        "schema_drift": dg.MetadataValue.json(facts["schema_drift"]),
        "bytes": 2048,
        "files": 2,
        "version": "v1",
        "inputs": dg.MetadataValue.text("none"),
        "dagster/uri": f"{tmp_path}/ingested/events/data/v1",
        "dagster/column_schema": column_schema(EVENTS),
        "preview": table(EVENTS.columns),
        "seconds": 0.5,
        "seconds_per_million_events": 50000.0,
    }


def test_a_day_without_rejects_says_none(tmp_path: Path) -> None:
    metadata = materialization_metadata(EVENTS, manifest(measures={"rejected": 0}), [], 0.0, Lake(str(tmp_path)))

    assert metadata["rejects_by_reason"] == dg.MetadataValue.text("none")


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        pytest.param("![x](http://evil.example/x)", "![x](http://evil.example/x)", id="Markdown is text"),
        pytest.param("<img src=x>|\\", "<img src=x>|\\", id="so are HTML, pipes and backslashes"),
        pytest.param("a\nb\r\nc", "a b\\r c", id="a line end is no new row"),
        pytest.param("a\x00b\x1b[2J\u202ec", "a\\x00b\\x1b[2J\\u202ec", id="control characters are written out"),
        pytest.param("x" * 81, f"{'x' * 80}...", id="a long line is cut"),
        pytest.param(None, "", id="null"),
        pytest.param(b"\xff\x00", "b'\\xff\\x00'", id="bytes"),
        pytest.param("\ud800", "\\ud800", id="half of a surrogate pair"),
        pytest.param(float("nan"), "nan", id="what JSON has no number for"),
        pytest.param(True, True, id="a truth"),
        pytest.param(2**53 - 1, 2**53 - 1, id="a whole number"),
        pytest.param(2**53, "9007199254740992", id="one that a browser would round"),
    ],
)
def test_what_a_delivered_line_holds_is_shown_as_text(tmp_path: Path, value: object, cell: str | int) -> None:
    row = [date(2020, 8, 5), value, "NYSE", None]

    metadata = materialization_metadata(CLOSES, manifest(), [row], 0.0, Lake(str(tmp_path)))

    assert metadata["preview"] == table(CLOSES.columns, ("2020-08-05", cell, "NYSE", ""))


def test_names_of_files_and_fields_that_drift_are_shown_as_text(tmp_path: Path) -> None:
    long, cut = "x" * 1_001, f"{'x' * 1_000}..."
    drift = {"json/2020-08-05/NASDAQ/a\x1b[2J.json": ["ok", "![x](http://evil.example/x)", "a\u202eb\x00", long]}
    shown = {"json/2020-08-05/NASDAQ/a\\x1b[2J.json": ["ok", "![x](http://evil.example/x)", "a\\u202eb\\x00", cut]}
    known = manifest(measures={"rejected": 0}, facts={"schema_drift": drift})

    metadata = materialization_metadata(EVENTS, known, [], 0.0, Lake(str(tmp_path)))

    assert metadata["schema_drift"] == dg.MetadataValue.json(shown)


@pytest.mark.parametrize("of", TABLES.values(), ids=list(TABLES))
def test_no_metadata_is_markdown_or_a_link(tmp_path: Path, of: Table) -> None:
    measures = {"rejected": 1, "rejected_blank": 1}
    facts = {"schema_drift": {"![x](http://evil.example/x)": ["venue"]}}
    known = manifest(measures=measures, inputs={"raw/nyse": "v0"}, facts=facts)

    shown = materialization_metadata(of, known, [["a"] * len(of.columns)], 0.0, Lake(str(tmp_path)))

    assert not [value for value in shown.values() if isinstance(value, dg.MarkdownMetadataValue | dg.UrlMetadataValue)]
