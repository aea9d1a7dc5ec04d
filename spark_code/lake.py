"""The published tables: read one day, publish one day.

    <lake>/<layer>/<table>/data/<version>/trade_dt=<D>/...parquet   immutable
    <lake>/<layer>/<table>/_published/<D>.json                      names the version that counts

A version is written, audited, and then published by replacing that one small object: readers see the old day or the
new one, never a mix. What a table holds is in ``schemas``, how objects are replaced in ``storage``, what a pointer says
in ``manifest``, what is counted in ``audit``, which versions are removed in ``retention``, how a catalog learns of
them in ``glue``.
"""

import json
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, date, datetime
from typing import Protocol

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_code.audit import Audit, write
from spark_code.drafts import Draft, Published
from spark_code.errors import ExpectedError
from spark_code.few_rows import few_rows
from spark_code.footers import FooterError, count_rows
from spark_code.lake_places import day_folder, kept_manifest, pointer, version_folder
from spark_code.locations import StorageError
from spark_code.manifest import KEPT, Attempt, Manifest, given_up_in, giving_up
from spark_code.retention import remove_old_versions
from spark_code.schemas import TABLES, Table, conform
from spark_code.storage import Storage, StoredObject, at_once

_log = logging.getLogger(__name__)


class LakeError(ExpectedError):
    """A day that cannot be read or published, with the reason and what to do."""


class NotPublishedError(LakeError):
    """The day of a table that was asked for has no published version."""

    def __init__(self, table: Table, day: date, lake: str) -> None:
        super().__init__(f"{table.path} of {day} is not published in {lake}")
        self.table, self.day = table, day


class MissingFilesError(LakeError):
    """Files of a published day are gone."""

    def __init__(self, table: Table, day: date, gone: list[str]) -> None:
        job = _job_of(table)
        more = f", and so are {len(gone) - 1} more" if gone[1:] else ""
        super().__init__(
            f"{gone[0]} is gone{more}; publish {table.path} of {day} again: capstone run {day} --job {job}"
        )


class AuditError(LakeError):
    """A written version does not hold what it must; it was not published."""


class StaleAttemptError(LakeError):
    """A newer attempt has published the day already, or this one was given up; it must not publish."""


def require_common_inputs(*tables: Published) -> None:
    """Refuse tables of one day that were computed from different versions of their input."""
    origins = {published.table.path: published.manifest and published.manifest.inputs for published in tables}
    if len({json.dumps(inputs, sort_keys=True) for inputs in origins.values()}) > 1:
        raise LakeError(
            f"{' and '.join(origins)} of {tables[0].day} come from different ingests {origins}: "
            f"preprocessing was caught between publishing them; run preprocessing_{tables[0].day} to its end"
        )


def require_made_from(made: Published, source: Published) -> None:
    """Refuse a table that was computed from other rows of its input than these."""
    path = source.table.path
    if made.manifest and source.manifest and not made.manifest.was_made_from(path, source.manifest):
        raise LakeError(
            f"{made.table.path} of {made.day} was made from other rows of {path} than are published now; "
            f"run {_job_of(made.table)}_{made.day} to its end"
        )


def _job_of(table: Table) -> str:
    return "preprocessing" if table.layer in ("ingested", "eod") else "analytical"


class Catalog(Protocol):
    """Where others look up which folder holds a published day."""

    def register(self, lake: "Lake", table: Table, day: date) -> None:
        """Name the version of the day that is published now; whoever asks last leaves it right."""


class Lake:
    """The published tables below one URI. Only who publishes needs the catalog, if there is one.

    ``require_right`` is asked in the moment in which a version is made to count, and raises to refuse it.
    ``keep_versions`` of a day stay, the published one among them.
    """

    def __init__(
        self,
        uri: str,
        catalog: Catalog | None = None,
        require_right: Callable[[], None] = lambda: None,
        keep_versions: int = KEPT,
    ) -> None:
        self.storage = Storage(uri)
        self.catalog = catalog
        self.keep_versions = keep_versions
        self._require_right = require_right

    def days(self, table: Table) -> list[date]:
        """The days that are published."""
        return [date.fromisoformat(manifest.trade_dt) for manifest in self.published(table)]

    def published(self, table: Table, first: date | None = None, last: date | None = None) -> list[Manifest]:
        """The published versions, in the order of their days, of the days from a first to a last one, or of all."""
        wanted = [day for day in self.pointed(table) if (first or day) <= day <= (last or day)]
        return [found for found in at_once(lambda day: self.manifest(table, day), wanted) if found]

    def pointed(self, table: Table) -> list[date]:
        """The days that have a pointer, in order, whether or not it names a version."""
        pointers = self.storage.objects(f"{table.path}/_published")
        names = (re.search(r"/(\d{4}-\d{2}-\d{2})\.json$", stored.key) for stored in pointers)
        return [day for name in names if name and (day := _day_of(name[1]))]

    def manifest(self, table: Table, day: date) -> Manifest | None:
        """The manifest of the published version, or None."""
        content = self.storage.read(pointer(table, day))
        with self._naming_pointer(table, day):
            return Manifest.of_pointer(content)

    def require(self, table: Table, day: date) -> Manifest:
        """The manifest of the published version, or an error."""
        manifest = self.manifest(table, day)
        if manifest is None:
            raise NotPublishedError(table, day, self.storage.root)
        return manifest

    def read(self, spark: SparkSession, table: Table, day: date) -> Published:
        """The published rows of a day; later publishes do not change what these rows are."""
        return self.open_version(spark, table, self.require(table, day))

    def open_version(self, spark: SparkSession, table: Table, manifest: Manifest) -> Published:
        """The rows of the version that a manifest names."""
        day = date.fromisoformat(manifest.trade_dt)
        self.require_files(table, manifest)
        return Published(table, day, self._rows(spark, table, day, manifest.version), manifest, self.storage)

    def require_files(self, table: Table, manifest: Manifest) -> None:
        """Refuse a version of which somebody has deleted files: the rows of the others would pass for all."""
        there = {stored.key for stored in self.storage.objects(version_folder(table, manifest.version))}
        if gone := [self.storage.uri(path) for path in manifest.paths if path not in there]:
            raise MissingFilesError(table, date.fromisoformat(manifest.trade_dt), gone)

    def nothing(self, spark: SparkSession, table: Table, day: date) -> Published:
        """A day without rows, for the day before the first."""
        return Published(table, day, few_rows(spark, [], table.schema), None, self.storage)

    def begin(self, day: date, run_id: str, number: int = 1) -> Attempt:
        """Take a token for a day, greater than all that are published of it. Must come before the first input is read.

        An unreadable pointer is reported by whoever reads or replaces it.
        """
        tokens = [0]
        for table in TABLES.values():
            with suppress(LakeError):
                tokens.append(self.require(table, day).token)
        return Attempt.begin(run_id, number, after=max(tokens))

    def publish(self, draft: Draft, day: date, attempt: Attempt) -> Manifest:
        """Write the draft as a new version, audit it, make it the one that counts, tell the catalog."""
        table, version = draft.table, attempt.version(day)
        if draft.day not in (None, day):
            raise AuditError(f"{table.path}: computed for {draft.day}, to be published as {day}; not published")
        folder = day_folder(table, version, day)
        found = write(draft.rows, table, self.storage.uri(folder))
        files = [stored for stored in self.storage.objects(folder) if stored.key.endswith(".parquet")]
        self._audit(draft, day, version, found, files)
        manifest = Manifest(
            trade_dt=day.isoformat(),
            version=version,
            paths=[stored.key for stored in files],
            rows=found.rows,
            bytes=sum(stored.size for stored in files),
            run_id=attempt.run_id,
            attempt=attempt.number,
            token=attempt.token,
            published_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            inputs=dict(draft.inputs),
            measures=found.measures,
            facts=draft.facts(),
            digest=found.digest,
            input_digests=dict(draft.input_digests),
            columns=table.columns,
        )
        self.storage.write(kept_manifest(table, version), manifest.to_json())  # for when it may count again
        published = self._point_to(table, day, manifest)
        if self.catalog:
            # Before anything is removed: if this fails, the catalog still names the older version.
            self.catalog.register(self, table, day)
        self._retire(table, day)
        return published

    def republish(self, table: Table, day: date, manifest: Manifest, instead_of: str) -> Manifest:
        """Make a version count again, if the one that counts is the given one; tell the catalog."""
        published = self._point_to(table, day, manifest, instead_of)
        if self.catalog:
            self.catalog.register(self, table, day)
        return published

    def give_up(self, table: Table, day: date, attempt: str) -> None:
        """From now on the attempt of this name cannot publish the day; what is published stays.

        Written into the pointer itself: an attempt that has looked at it already fails to replace it.
        """

        def revise(current: bytes | None) -> bytes:
            with self._naming_pointer(table, day):
                return giving_up(attempt, current, day)

        self.storage.replace(pointer(table, day), revise)

    def _rows(self, spark: SparkSession, table: Table, day: date, version: str) -> DataFrame:
        path = self.storage.spark_path(day_folder(table, version, day))
        base = self.storage.uri(version_folder(table, version))
        reader = spark.read.schema(table.schema).option("basePath", base)
        return conform(reader.parquet(path), table)

    def _audit(self, draft: Draft, day: date, version: str, found: Audit, files: Sequence[StoredObject]) -> None:
        """Refuse rows that do not add up, and files that do not hold the rows that were written."""
        table = draft.table
        if found.days - {day}:
            raise AuditError(f"{table.path} of {day}: there are rows of another day; not published")
        if draft.expected_rows is not None and found.rows != draft.expected_rows:
            raise AuditError(
                f"{table.path} of {day}: {found.rows} rows were written where {draft.expected_rows} were due; "
                f"version {version} is not published"
            )
        if found.repeats:
            rows = self._rows(draft.rows.sparkSession, table, day, version)
            doubled = rows.groupBy(*table.key).count().where(F.col("count") > 1).take(1)
            example = f", e.g. {doubled[0].asDict()}" if doubled else ""
            raise AuditError(f"{table.path} of {day}: key not unique{example}; not published")
        try:
            stored = count_rows(self.storage, files, table)
        except FooterError as error:
            raise AuditError(f"{table.path} of {day}: {error}; not published") from error
        if stored != found.rows:
            raise AuditError(
                f"{table.path} of {day}: the files hold {stored} rows, and {found.rows} were written; "
                f"version {version} is not published"
            )

    @contextmanager
    def _naming_pointer(self, table: Table, day: date) -> Iterator[None]:
        """Name the pointer in the error if what it holds is no manifest."""
        try:
            yield
        except (ValueError, TypeError) as error:
            raise LakeError(f"{self.storage.uri(pointer(table, day))} is no manifest: {error}") from error

    def _point_to(self, table: Table, day: date, manifest: Manifest, instead_of: str | None = None) -> Manifest:
        published = manifest

        def revise(current: bytes | None) -> bytes:
            nonlocal published
            self._require_right()
            with self._naming_pointer(table, day):
                before, given_up = Manifest.of_pointer(current), given_up_in(current)
            if Attempt(manifest.run_id, manifest.attempt, manifest.token).name in given_up:
                raise StaleAttemptError(f"{table.path} of {day}: this attempt was given up, its rows are not published")
            if before and before.token > manifest.token:
                raise StaleAttemptError(
                    f"{table.path} of {day}: run {before.run_id}, which began later, has published this day; its rows "
                    f"count and these are not published (token {before.token} > {manifest.token})"
                )
            # A put whose answer was lost is tried again: then it is this one that counts already.
            if instead_of and (before is None or (before.version != instead_of and before.token != manifest.token)):
                raise StaleAttemptError(
                    f"{table.path} of {day}: another version than {instead_of} was published meanwhile; look again"
                )
            published = manifest.in_place_of(before, given_up)
            return published.to_json()

        self.storage.replace(pointer(table, day), revise)
        return published

    def _retire(self, table: Table, day: date) -> None:
        """Remove versions of the day that are older than those to keep, and what killed attempts left behind.

        The day is published by now: a store that refuses a deletion must not fail it.
        """
        try:
            current = self.require(table, day)  # read anew: a newer attempt may have published since
            remove_old_versions(self.storage, table, day, current, self.keep_versions)
        except (LakeError, StorageError) as error:
            _log.warning("old versions of %s of %s were not all removed: %s", table.path, day, error)


def _day_of(name: str) -> date | None:
    try:
        return date.fromisoformat(name)
    except ValueError:
        return None
