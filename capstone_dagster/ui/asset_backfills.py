"""What a backfill from the asset graph does: the chosen days of the chosen assets, and no others.

Dagster adds what depends on the chosen days: the report of a day reads the closes of the day before, so the day after
would be run as well, even if it has no files yet. And it makes the assets of a job piece by piece, in several
runs, none of which counts as an attempt at the job. Here a backfill of all assets of a job is one of the job, as from
the page of the job. The server of the UI calls this once.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph
from dagster._core.execution.asset_backfill import AssetBackfillData
from dagster_graphql.schema.roots import mutation

from capstone_dagster.assets.job_of_run import job_with

_launch = mutation.create_and_launch_partition_backfill  # type: ignore[attr-defined]
_with_dependents = AssetBackfillData.from_asset_partitions


def keep_to_what_is_chosen() -> None:
    """Change what this process launches, and what it says beforehand that it would launch."""
    mutation.create_and_launch_partition_backfill = _launch_chosen  # type: ignore[attr-defined]
    AssetBackfillData.from_asset_partitions = staticmethod(_chosen)  # type: ignore[method-assign, assignment]


def _launch_chosen(graphene_info: Any, backfill_params: Mapping[str, Any]) -> Any:
    assets = [dg.AssetKey.from_graphql_input(key) for key in backfill_params.get("assetSelection") or ()]
    job = job_with(frozenset(assets))
    if job and not backfill_params.get("selector"):
        repository = graphene_info.context.asset_graph.get_repository_handle(assets[0])
        backfill_params = {
            **backfill_params,
            "selector": {
                "partitionSetName": f"{job}_partition_set",
                "repositorySelector": {
                    "repositoryLocationName": repository.location_name,
                    "repositoryName": repository.repository_name,
                },
            },
        }
    return _launch(graphene_info, backfill_params)


def _chosen(
    asset_graph: BaseAssetGraph[Any],
    partition_names: Sequence[str] | None,
    asset_selection: Sequence[dg.AssetKey],
    **others: Any,
) -> AssetBackfillData:
    data = _with_dependents(
        asset_graph=asset_graph, partition_names=partition_names, asset_selection=asset_selection, **others
    )
    if partition_names is None:
        return data
    days = {key: asset_graph.get(key).partitions_def for key in asset_selection}
    chosen = {key: of_days.subset_with_partition_keys(partition_names) for key, of_days in days.items() if of_days}
    return data._replace(target_subset=data.target_subset._replace(partitions_subsets_by_asset_key=chosen))
