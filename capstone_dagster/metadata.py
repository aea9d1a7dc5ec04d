"""What people see in the UI about every materialization, taken from the published manifest."""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from spark_code.lake import Lake
from spark_code.manifest import Manifest
from spark_code.schemas import Table

_REJECTED = "rejected_"


def rejects_by_reason(manifest: Manifest) -> dict[str, int]:
    """Reason -> number of lines, the reasons that occurred, most frequent first."""
    counts = {
        name.removeprefix(_REJECTED): count
        for name, count in manifest.measures.items()
        if name.startswith(_REJECTED) and count
    }
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


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
        counts["rejects_by_reason"] = _table(("reason", "lines"), rejects_by_reason(manifest))
    return {
        "dagster/partition_row_count": manifest.rows,
        **counts,
        **{name: dg.MetadataValue.json(fact) for name, fact in manifest.facts.items()},
        "bytes": manifest.bytes,
        "files": len(manifest.paths),
        "version": manifest.version,
        "inputs": _table(("input", "version"), manifest.inputs),
        "dagster/uri": lake.storage.uri(f"{table.path}/data/{manifest.version}"),
        "dagster/column_schema": column_schema(table),
        "preview": dg.MetadataValue.md(_preview(table, preview)),
        **({} if seconds is None else {"seconds": round(seconds, 2)}),
    }


def column_schema(table: Table) -> dg.TableSchema:
    """Names, types and meaning of the columns, as the schema states them."""
    return dg.TableSchema(
        [
            dg.TableColumn(column.name, column.dataType.simpleString(), column.metadata["comment"])
            for column in table.schema
        ]
    )


def _table(header: tuple[str, str], rows: Mapping[str, Any]) -> dg.MetadataValue:
    lines = [f"| {left} | {right} |" for left, right in rows.items()]
    return dg.MetadataValue.md("\n".join((f"| {header[0]} | {header[1]} |", "|---|---|", *lines)) if rows else "none")


def _preview(table: Table, rows: Sequence[Sequence[Any]]) -> str:
    head = [f"| {' | '.join(table.columns)} |", "|---" * len(table.columns) + "|"]
    return "\n".join([*head, *(f"| {' | '.join(_cell(value) for value in row)} |" for row in rows)])


def _cell(value: object) -> str:
    # A rejected line may hold anything, also what Markdown would take for a new cell or row.
    text = "" if value is None else str(value)[:80]
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("\r", " ").replace("\x00", "\\0")
