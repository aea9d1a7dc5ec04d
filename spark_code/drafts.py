"""One day of one table, on both sides of an edge: published rows are its inputs, drafts its results.

How drafts become published is in ``lake``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from pyspark.sql import DataFrame

from spark_code.manifest import Manifest
from spark_code.schemas import Table
from spark_code.storage import Storage


@dataclass(frozen=True)
class Published:
    """A day as it was published: its rows, pinned to one version for as long as they are used."""

    table: Table
    day: date
    rows: DataFrame
    manifest: Manifest | None
    """None where nothing is expected to exist: the day before the first."""
    storage: Storage
    """Where its files are."""

    @property
    def paths(self) -> Sequence[str]:
        """Its files."""
        return self.manifest.paths if self.manifest else []

    @property
    def row_count(self) -> int:
        """How many rows the version holds."""
        return self.manifest.rows if self.manifest else 0

    def as_input(self) -> dict[str, str]:
        """This version, as the manifest of what is computed from it names it."""
        return {self.table.path: self.manifest.version} if self.manifest else {}

    def digest_as_input(self) -> dict[str, str]:
        """The digest of its rows, in the same form; nothing if an older release has published them."""
        digest = self.manifest and self.manifest.digest
        return {self.table.path: digest} if digest else {}


@dataclass(frozen=True)
class Draft:
    """Computed rows of a day that are not published yet, with what their audit must hold."""

    table: Table
    rows: DataFrame
    inputs: Mapping[str, str]
    expected_rows: int | None = None
    facts: Callable[[], dict[str, Any]] = dict
    """Facts for the manifest that are known only once the rows have been computed."""
    day: date | None = None
    """The day that the rows were computed for, where the draft knows it: it can be published as no other."""
    input_digests: Mapping[str, str] = field(default_factory=dict)
    """The digests of those inputs that are tables, as far as they are known."""
