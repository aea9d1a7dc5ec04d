"""Records what a table was made from if no step of Dagster made it, in the tags that Dagster sets for its own steps.

The UI compares these tags to find out what is out of date: a table whose inputs or code have new versions.
"""

import hashlib
from collections.abc import Iterable
from datetime import date

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from dagster._core.definitions.data_version import DEFAULT_DATA_VERSION
from dagster._core.execution.plan.execute_step import _build_data_version_tags, _InputProvenanceData

from capstone_dagster.assets.raw import DATA_VERSION_TAG
from capstone_dagster.assets.table_assets import asset_key, data_version
from spark_code.manifest import Manifest
from spark_code.schemas import Table


class Provenance:
    """Notes the inputs of a day's tables as they are when it is made, before the work begins."""

    def __init__(self, instance: dg.DagsterInstance, graph: AssetGraph, tables: Iterable[Table], day: date) -> None:
        self._instance, self._graph, self._day = instance, graph, day
        keys = [asset_key(table) for table in tables]
        self._noted = {(key, of): self._current(key, of) for key in keys for of in graph.get(key).parent_keys}

    def tags(self, table: Table, manifest: Manifest) -> dict[str, str]:
        """Of the version that was made of a table."""
        key = asset_key(table)
        inputs = {of: known for (made, of), known in self._noted.items() if made == key}
        code_version = self._graph.get(key).code_version or ""
        return _build_data_version_tags(data_version(manifest), code_version, inputs, True)

    def was_reported(self, table: Table) -> None:
        """What is made from the table is made from what was just reported."""
        for made, of in self._noted:
            if of == asset_key(table):
                self._noted[made, of] = self._current(made, of)

    def _current(self, made: dg.AssetKey, of: dg.AssetKey) -> _InputProvenanceData:
        """The latest event of any of the input's days, and the versions of those days that are read, in one."""
        records = self._instance.get_asset_records([of])
        latest = records[0].asset_entry.last_materialization_record if records else None
        if not latest:
            return {"data_version": DEFAULT_DATA_VERSION, "storage_id": None}
        days = self._graph.get_parent_partition_keys_for_child(self._day.isoformat(), of, made).partitions_subset
        known = self._instance.event_log_storage.get_latest_tags_by_partition(
            of,
            dg.DagsterEventType.ASSET_MATERIALIZATION,
            [DATA_VERSION_TAG],
            asset_partitions=list(days.get_partition_keys()),
        )
        versions = "".join(tags[DATA_VERSION_TAG] for _, tags in sorted(known.items()))
        return {
            "data_version": dg.DataVersion(hashlib.sha256(versions.encode()).hexdigest()),
            "storage_id": latest.storage_id,
        }
