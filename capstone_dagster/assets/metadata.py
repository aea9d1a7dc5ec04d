"""What people see in the UI about every materialization, taken from the published manifest."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from capstone_dagster.wording import printable
from spark_code.lake import Lake
from spark_code.manifest import Manifest
from spark_code.schemas import EVENTS, QUOTE_ANALYTICS, QUOTES, TRADES, Table
from spark_code.wording import shortened

_REJECTED = "rejected_"
_WIDEST_CELL = 80
_LONGEST_FACT = 1_000
# Whole numbers from here on lose digits in a browser.
_FIRST_INEXACT = 2**53
# One row per event, so that days of different size can be compared by what an event takes.
_OF_EVENTS = (EVENTS, TRADES, QUOTES, QUOTE_ANALYTICS)


def rejects_by_reason(manifest: Manifest) -> dict[str, int]:
    """Reason -> number of lines, the reasons that occurred, most frequent first."""
    counts = {
        name.removeprefix(_REJECTED): count
        for name, count in manifest.measures.items()
        if name.startswith(_REJECTED) and count
    }
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def rejected_percent(manifest: Manifest) -> float:
    """The share of a day's lines that was rejected."""
    return 100 * manifest.measures["rejected"] / manifest.rows if manifest.rows else 0.0


def materialization_metadata(
    table: Table, manifest: Manifest, preview: Sequence[Sequence[Any]], seconds: float | None, lake: Lake
) -> Mapping[str, Any]:
    """Counts, places, origin and a look at the rows of one published version; the seconds where they are known."""
    counts: dict[str, Any] = {
        name: count for name, count in manifest.measures.items() if not name.startswith(_REJECTED)
    }
    if "rejected" in counts:
        counts["lines_in"] = manifest.rows
        counts["accepted"] = manifest.rows - counts["rejected"]
        counts["rejected_percent"] = round(rejected_percent(manifest), 4)
        counts["rejects_by_reason"] = table_or_none(("reason", "lines"), list(rejects_by_reason(manifest).items()))
    return {
        "dagster/partition_row_count": manifest.rows,
        **counts,
        **{name: dg.MetadataValue.json(as_text(fact)) for name, fact in manifest.facts.items()},
        **({"rolled_back": dg.MetadataValue.json(as_text(manifest.rolled_back))} if manifest.rolled_back else {}),
        "bytes": manifest.bytes,
        "files": len(manifest.paths),
        "version": manifest.version,
        "inputs": table_or_none(("input", "version"), list(manifest.inputs.items())),
        "dagster/uri": lake.storage.uri(f"{table.path}/data/{manifest.version}"),
        "dagster/column_schema": column_schema(table),
        "preview": _records(table.columns, preview),
        **({} if seconds is None else _times(table, manifest.rows, seconds)),
    }


def _times(table: Table, rows: int, seconds: float) -> Mapping[str, float]:
    per_million = {"seconds_per_million_events": round(1e6 * seconds / rows, 2)} if table in _OF_EVENTS and rows else {}
    return {"seconds": round(seconds, 2), **per_million}


def column_schema(table: Table) -> dg.TableSchema:
    """Names, types and meaning of the columns, as the schema states them."""
    return dg.TableSchema(
        [
            dg.TableColumn(column.name, column.dataType.simpleString(), column.metadata["comment"])
            for column in table.schema
        ]
    )


def table_or_none(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> dg.MetadataValue[Any]:
    """A table of these rows; the word none if there are none."""
    return _records(columns, rows) if rows else dg.MetadataValue.text("none")


def _records(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> dg.MetadataValue[Any]:
    """A table, and no Markdown: what a delivered line holds is shown, and nothing of it is obeyed or fetched."""
    schema = dg.TableSchema([dg.TableColumn(name) for name in columns])
    cells = [{name: _shown(value, _WIDEST_CELL) for name, value in zip(columns, row, strict=True)} for row in rows]
    return dg.MetadataValue.table([dg.TableRecord(record) for record in cells], schema)


def as_text(fact: Any) -> Any:
    """A fact of a manifest with the names in it, which come from lines and files, as people may see them."""
    if isinstance(fact, dict):
        return {printable(str(name)): as_text(value) for name, value in fact.items()}
    return [as_text(value) for value in fact] if isinstance(fact, list) else _shown(fact, _LONGEST_FACT)


def _shown(value: object, longest: int) -> str | int:
    if isinstance(value, int) and abs(value) < _FIRST_INEXACT:
        return value
    text = "" if value is None else shortened(str(value), longest)
    # A rejected line may hold anything, also what a browser shows from right to left.
    return printable(text).replace("\n", " ").replace("\t", " ")
