"""The published versions that a page is made from, and their rows as Arrow tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from capstone_dagster.readers.days import are_made_from
from capstone_dagster.readers.rows import Only, arrow_schema, batches, rows_of
from spark_code.lake import Lake, LakeError
from spark_code.manifest import Manifest
from spark_code.schemas import (
    BARS,
    DAILY_SUMMARY,
    EVENTS,
    QUALITY,
    QUOTE_ANALYTICS,
    QUOTES,
    TRADES,
    RecordType,
    Table,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

# What a page is made from. Others of the day are not read.
OF_DAY = (EVENTS, TRADES, QUOTES, QUALITY, QUOTE_ANALYTICS, DAILY_SUMMARY, BARS)
_REPORT = (QUOTE_ANALYTICS, DAILY_SUMMARY, BARS)
# Enough to meet every reason of a day that is read in a second; rejects are examples here, not a list.
_REJECTS_READ = 50_000


class MixedVersionsError(LakeError):
    """The tables of the report come from different end-of-day loads or closes: one is being made right now."""


@dataclass(frozen=True)
class Sources:
    """The versions of one trading day, and the summary of the day before if it is published."""

    lake: Lake
    day: date
    manifests: Mapping[Table, Manifest]
    before: Manifest | None

    @classmethod
    def published(cls, lake: Lake, day: date, previous: date | None) -> "Sources":
        """What is published now; an error if a table is missing, or if the report's tables do not belong together."""
        manifests = {table: lake.require(table, day) for table in OF_DAY}
        inputs = {tuple(sorted(manifests[table].inputs.items())) for table in _REPORT}
        if len(inputs) > 1:
            raise MixedVersionsError(
                f"the tables of the report of {day} come from different end-of-day loads or closes; "
                f"run it to its end: capstone run {day} --job analytical"
            )
        return cls(lake, day, manifests, lake.manifest(DAILY_SUMMARY, previous) if previous else None)

    @property
    def versions(self) -> dict[str, str]:
        """The version of each table, by the table's path."""
        return {table.path: manifest.version for table, manifest in self.manifests.items()}

    @property
    def is_of_latest_ingest(self) -> bool:
        """Whether report and measures were made from the lines that are published now, not from an earlier ingest."""
        return are_made_from(self.manifests, (TRADES, QUOTES), (EVENTS,)) and are_made_from(
            self.manifests, (DAILY_SUMMARY, QUALITY), (TRADES, QUOTES)
        )

    def are_published(self) -> bool:
        """Whether these are still the versions that count."""
        now = {table: self.lake.manifest(table, self.day) for table in OF_DAY}
        return all(found is not None and found.version == self.manifests[table].version for table, found in now.items())

    @cached_property
    def measures(self) -> Sequence[Mapping[str, Any]]:
        """What was measured of the day's quality."""
        rows: list[Mapping[str, Any]] = self.rows(QUALITY).to_pylist()
        return rows

    def rows(self, table: Table, only: Only | None = None) -> pa.Table:
        """The rows of a table of the day."""
        found = batches(self.lake, table, [self.manifests[table]], only)
        return pa.Table.from_batches(found, arrow_schema(table, only))

    def rows_before(self, only: Only) -> pa.Table:
        """The summary of the day before; empty if there is none."""
        found = batches(self.lake, DAILY_SUMMARY, [self.before] if self.before else [], only)
        return pa.Table.from_batches(found, arrow_schema(DAILY_SUMMARY, only))

    def rejects(self) -> Sequence[Mapping[str, Any]]:
        """The first rejected lines: reason, file and line."""
        manifest = self.manifests[EVENTS]
        folder = f"/rec_type={RecordType.BAD}/"
        bad = replace(manifest, paths=[path for path in manifest.paths if folder in f"/{path}"])
        names = ["reject_reason", "source_file", "line"]
        found: Iterator[list[Any]] = rows_of(batches(self.lake, EVENTS, [bad], Only(columns=names)))
        return [dict(zip(names, row, strict=True)) for row in islice(found, _REJECTS_READ)]
