"""The AWS Glue catalog, where Athena finds the published version of every day.

There is one Glue table per table of the lake, with one partition per day (and record type, if the table is split by
it). Its location is the folder of the published version. Only ``lake`` decides which version that is: the catalog
follows its pointer. This module uses boto3, but no Spark.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date
from functools import cached_property
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from pyspark.sql.types import StructField

from spark_code.lake import Lake, LakeError
from spark_code.lake_places import day_folder
from spark_code.locations import StorageError
from spark_code.manifest import Manifest
from spark_code.schemas import Table

_Partitions = Mapping[tuple[str, ...], dict[str, Any]]

# boto3 repeats throttled, timed out and broken calls with growing pauses of at most 20 seconds, for about a minute.
_TRIES = {"mode": "standard", "total_max_attempts": 8}
# Two publishers of one day collide at most a few times; more means that something else keeps writing.
_MAX_ROUNDS = 20

_THERE, _MISSING, _MEANWHILE = "AlreadyExistsException", "EntityNotFoundException", "ConcurrentModificationException"
_FINAL = ("AccessDeniedException", "InvalidInputException")  # trying again cannot mend them

_PARQUET = {
    "InputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetInputFormat",
    "OutputFormat": "org.apache.hadoop.hive.ql.io.parquet.MapredParquetOutputFormat",
    "SerdeInfo": {"SerializationLibrary": "org.apache.hadoop.hive.ql.io.parquet.serde.ParquetHiveSerDe"},
}


class NotRegisteredError(StorageError):
    """A day is published, but could not be registered in Glue; trying again may help."""


class RegistrationRefusedError(LakeError):
    """A day is published, but cannot be registered in Glue until somebody has fixed something."""


class GlueCatalog:
    """One Glue database, which must exist; its tables are created, and get new columns of the schemas."""

    def __init__(self, database: str) -> None:
        self.database = database

    def register(self, lake: Lake, table: Table, day: date) -> None:
        """Make the partitions of the day name the version that the lake's pointer names.

        Glue has no conditional write, so a late publisher could overwrite a newer registration. Therefore a writer
        registers not what it has published but what the pointer names now, then looks at the pointer again, and
        repeats this until the pointer has not moved. Consider the last write: its writer found the pointer unmoved, and
        if the pointer had moved later, whoever moved it would have written later. So the last write is what the
        pointer names. The remaining gap is a process that is killed between its write and its second look.
        """
        for _ in range(_MAX_ROUNDS):
            manifest = lake.require(table, day)
            with self._explaining(table, manifest):
                is_written = self._try_to_register(lake, table, manifest)
                if is_written and lake.require(table, day).version == manifest.version:
                    return
        reason = f"other publishers came in between {_MAX_ROUNDS} times in a row"
        raise NotRegisteredError(self._explanation(table, manifest, reason))

    def table_name(self, table: Table) -> str:
        """The name of the Glue table for a table of the lake."""
        return f"{table.layer}_{table.name}"

    @cached_property
    def _client(self) -> Any:
        import boto3  # noqa: PLC0415 - takes 0.13 s, for those who have Glue
        from botocore.config import Config  # noqa: PLC0415 - the same

        return boto3.Session().client("glue", config=Config(retries=_TRIES, connect_timeout=10, read_timeout=30))

    def _try_to_register(self, lake: Lake, table: Table, manifest: Manifest) -> bool:
        """Write all partitions of the version; returns False if another writer came in between."""
        partitions = _partitions(lake, table, manifest)
        try:
            self._ensure_table(lake, table)
            there = self._create(table, partitions)
            if self._update(table, {values: partitions[values] for values in there}):
                return False  # another registration, of an older or newer version, has removed them meanwhile
            if table.split:
                self._remove_others(table, manifest, partitions)
        except ClientError as error:
            if _code(error) not in (_THERE, _MEANWHILE):
                raise
            return False
        return True

    def _create(self, table: Table, partitions: _Partitions) -> list[tuple[str, ...]]:
        """Create partitions; returns those that already existed."""
        return self._batch("create", table, "PartitionInputList", list(partitions.values()), _THERE)

    def _update(self, table: Table, partitions: _Partitions) -> list[tuple[str, ...]]:
        """Update partitions; returns those that did not exist."""
        entries = [{"PartitionValueList": values, "PartitionInput": put} for values, put in partitions.items()]
        return self._batch("update", table, "Entries", entries, _MISSING)

    def _remove_others(self, table: Table, manifest: Manifest, partitions: _Partitions) -> None:
        """Remove the day's partitions that the version does not have: they name rows of an older version."""
        pages = self._client.get_paginator("get_partitions").paginate(
            DatabaseName=self.database,
            TableName=self.table_name(table),
            Expression=f"trade_dt = '{manifest.trade_dt}'",
            ExcludeColumnSchema=True,
        )
        found = [tuple(partition["Values"]) for page in pages for partition in page["Partitions"]]
        others = [{"Values": values} for values in found if values not in partitions]
        self._batch("delete", table, "PartitionsToDelete", others, _MISSING)

    def _batch(
        self, verb: str, table: Table, name: str, entries: list[dict[str, Any]], expected: str
    ) -> list[tuple[str, ...]]:
        """Change partitions of a day; returns those that Glue did not change for the expected reason.

        Glue answers with success and a list of failures; any other reason is raised. All partitions of a day fit into
        one call, which takes 25.
        """
        if not entries:
            return []
        batch = getattr(self._client, f"batch_{verb}_partition")
        answer = batch(DatabaseName=self.database, TableName=self.table_name(table), **{name: entries})
        failed = []
        for error in answer.get("Errors", []):
            detail = error.get("ErrorDetail", {})
            if detail.get("ErrorCode") != expected:
                described = {"Code": detail.get("ErrorCode", ""), "Message": detail.get("ErrorMessage", "")}
                raise ClientError({"Error": described}, f"Batch{verb.capitalize()}Partition")
            failed.append(tuple(error.get("PartitionValues") or error.get("PartitionValueList")))
        return failed

    def _ensure_table(self, lake: Lake, table: Table) -> None:
        """Create the table, or add the columns it lacks."""
        try:
            found = self._client.get_table(DatabaseName=self.database, Name=self.table_name(table))["Table"]
        except ClientError as error:
            if _code(error) != _MISSING:
                raise
            self._create_table(lake, table)
        else:
            self._grow(lake, table, found)

    def _create_table(self, lake: Lake, table: Table) -> None:
        try:
            self._client.create_table(DatabaseName=self.database, TableInput=self._table_input(lake, table))
        except ClientError as error:
            if _code(error) != _MISSING:
                raise
            raise RegistrationRefusedError(
                f"there is no Glue database {self.database}; create it, or correct CAPSTONE_GLUE_DATABASE"
            ) from error

    def _table_input(self, lake: Lake, table: Table) -> dict[str, Any]:
        return {
            "Name": self.table_name(table),
            "TableType": "EXTERNAL_TABLE",
            "Parameters": {"EXTERNAL": "TRUE", "classification": "parquet"},
            "PartitionKeys": _columns(table, of_partitions=True),
            "StorageDescriptor": _storage(lake, f"{table.path}/data", _columns(table)),
        }

    def _grow(self, lake: Lake, table: Table, found: dict[str, Any]) -> None:
        """Add the schema's columns that the table lacks. Other columns stay, for example those of a newer release."""
        wanted = self._table_input(lake, table)
        storage = found.get("StorageDescriptor", {})
        here, there = wanted["StorageDescriptor"]["Location"], storage.get("Location", "")
        keys = [[(key["Name"], key["Type"]) for key in it.get("PartitionKeys", [])] for it in (wanted, found)]
        if here.rstrip("/") != there.rstrip("/") or keys[0] != keys[1]:
            raise RegistrationRefusedError(
                f"Glue table {self.database}.{self.table_name(table)} is another one: it lies in {there or 'no place'} "
                f"with partition keys {dict(keys[1])}, this one in {here} with {dict(keys[0])}; drop it there, "
                "or name another database in CAPSTONE_GLUE_DATABASE"
            )
        ours = {column["Name"]: column for column in wanted["StorageDescriptor"]["Columns"]}
        columns = [ours.pop(column["Name"], column) for column in storage.get("Columns", [])] + list(ours.values())
        if columns != storage.get("Columns"):
            takes = self._client.meta.service_model.shape_for("TableInput").members
            kept = {name: value for name, value in found.items() if name in takes}
            grown = kept | {"StorageDescriptor": storage | {"Columns": columns}}
            self._client.update_table(DatabaseName=self.database, TableInput=grown)

    @contextmanager
    def _explaining(self, table: Table, manifest: Manifest) -> Iterator[None]:
        """Add to every error that the day is published, and how to register it."""
        try:
            yield
        except RegistrationRefusedError as error:
            raise RegistrationRefusedError(self._explanation(table, manifest, str(error))) from error
        except (ClientError, BotoCoreError, StorageError) as error:
            final = isinstance(error, ClientError) and _code(error) in _FINAL
            kind = RegistrationRefusedError if final else NotRegisteredError
            raise kind(self._explanation(table, manifest, str(error))) from error

    def _explanation(self, table: Table, manifest: Manifest, reason: str) -> str:
        name, day = f"{self.database}.{self.table_name(table)}", manifest.trade_dt
        return (
            f"{table.path} of {day} is published ({manifest.version}), but is not registered in Glue as {name}, where "
            f"Athena may still find what was published before: {reason}; once that is mended: capstone glue-sync {day}"
        )


def _partitions(lake: Lake, table: Table, manifest: Manifest) -> _Partitions:
    """The partitions of a version, by their values: a split table has one per folder with files."""
    folder = day_folder(table, manifest.version, date.fromisoformat(manifest.trade_dt))
    folders = {path.rpartition("/")[0] for path in manifest.paths} if table.split else {folder}
    partitions = {}
    for found in sorted(folders):
        split = [name.partition("=")[2] for name in found.removeprefix(folder).split("/")[1:]]
        values = (manifest.trade_dt, *split)
        partitions[values] = {"Values": values, "StorageDescriptor": _storage(lake, found, _columns(table))}
    return partitions


def _storage(lake: Lake, folder: str, columns: list[dict[str, str]]) -> dict[str, Any]:
    return {"Location": f"{lake.storage.uri(folder)}/", "Columns": columns, **_PARQUET}


def _columns(table: Table, *, of_partitions: bool = False) -> list[dict[str, str]]:
    folders = ("trade_dt", *table.split)
    columns = [column for column in table.schema if (column.name in folders) == of_partitions]
    return [
        {"Name": column.name, "Type": _hive_type(column), "Comment": column.metadata["comment"]} for column in columns
    ]


def _hive_type(column: StructField) -> str:
    """Spark's name of a type is Hive's except for this one: Hive's timestamp has no zone either."""
    return column.dataType.simpleString().replace("timestamp_ntz", "timestamp")


def _code(error: ClientError) -> str:
    code: str = error.response.get("Error", {}).get("Code", "")
    return code
