"""Stage warehouse: tables of the report in Postgres, in one step after the report, on the host.

The step is part of the jobs but makes no table of the lake: what it fails at, stays published there.
"""

from collections.abc import Iterator, Mapping
from datetime import date
from typing import TYPE_CHECKING, Any

import dagster as dg

from capstone_dagster.assets.jobs import WAREHOUSE
from capstone_dagster.assets.metadata import column_schema
from capstone_dagster.assets.raw import DATA_VERSION_TAG
from capstone_dagster.assets.table_assets import RETRIES, TRADING_DAY, asset_key, data_version
from capstone_dagster.settings import Settings
from capstone_dagster.warehouse.tables import WarehouseTable, tables

if TYPE_CHECKING:
    from capstone_dagster.warehouse.loading import Loaded  # a cluster has no driver for Postgres


def warehouse_assets(
    settings: Settings, partitions: dg.PartitionsDefinition, policy: dg.BackfillPolicy
) -> list[dg.AssetsDefinition]:
    """The assets ``warehouse/*``, one step; none where the warehouse is switched off."""
    if not settings.warehouse:
        return []

    @dg.multi_asset(
        name=WAREHOUSE,
        specs=[_spec(table) for table in tables(quotes=settings.warehouse_quotes)],
        partitions_def=partitions,
        backfill_policy=policy,
        # No step launcher: a cluster has no database.
        required_resource_keys={RETRIES, TRADING_DAY, WAREHOUSE},
    )
    def warehouse(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[Any]]:
        with context.resources.retries.judging_failures(context.retry_number):
            loaded = context.resources.warehouse.load(context.resources.trading_day, context.run.run_id)
        for done in loaded:
            if done.left_out:
                context.log.warning("%s: Postgres cannot hold %d rows of the day", done.table.path, done.left_out)
            yield dg.MaterializeResult(
                asset_key=_key(done.table), data_version=data_version(done.manifest), metadata=_metadata(done)
            )

    return [warehouse]


def record(done: "Loaded", day: date) -> dg.AssetMaterialization:
    """That a table was loaded by no run."""
    version = {DATA_VERSION_TAG: data_version(done.manifest).value}
    return dg.AssetMaterialization(_key(done.table), partition=f"{day}", metadata=_metadata(done), tags=version)


def _metadata(done: "Loaded") -> Mapping[str, Any]:
    return {
        "dagster/partition_row_count": done.rows,
        "left_out": done.left_out,
        "state": done.state,
        "version": done.manifest.version,
        "dagster/column_schema": column_schema(done.table.source),
    }


def _key(table: WarehouseTable) -> dg.AssetKey:
    return dg.AssetKey([WAREHOUSE, table.name])


def _spec(table: WarehouseTable) -> dg.AssetSpec:
    return dg.AssetSpec(
        _key(table),
        deps=[asset_key(table.source)],
        description=f"{table.means}. Source: `{table.source.path}`.",
        kinds={"postgres"},
        code_version="1",
    )
