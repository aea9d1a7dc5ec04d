"""Stage raw: the files the exchanges delivered. Dagster does not make them; it records what has come and was read."""

from collections.abc import Iterable
from typing import Any

import dagster as dg

from spark_code.raw_files import SOURCES, Delivery, Source

# Tells Dagster, and so the UI, whether a delivery is another than the one a table was made from.
DATA_VERSION_TAG = "dagster/data_version"


def raw_key(source: Source) -> dg.AssetKey:
    """The asset of one exchange's deliveries."""
    return dg.AssetKey(source.raw_table.split("/"))


def stage(partitions: dg.PartitionsDefinition, _: dg.BackfillPolicy) -> list[dg.AssetSpec]:
    """One external asset per exchange."""
    return [
        dg.AssetSpec(
            raw_key(source),
            partitions_def=partitions,
            group_name="raw",
            kinds={source.format},
            description=(
                f"Files {source.exchange} delivered for one trading day. One line is one trade or quote. "
                f"Source: `{source.format}/<day>/{source.exchange}/` below the raw folder."
            ),
        )
        for source in SOURCES
    ]


def observation(delivery: Delivery) -> dg.AssetObservation:
    """What a step has read of a delivery."""
    return dg.AssetObservation(**_event(delivery))


def arrival(delivery: Delivery) -> dg.AssetMaterialization:
    """That a delivery has come: what makes its day show among the partitions of the asset."""
    return dg.AssetMaterialization(**_event(delivery))


def record_arrivals(instance: dg.DagsterInstance, deliveries: Iterable[Delivery]) -> None:
    """Record the deliveries of which the run storage knows no event, or none with these files."""
    for delivery in (found for found in deliveries if found.files):
        day = dg.AssetRecordsFilter(raw_key(delivery.source), asset_partitions=[delivery.day.isoformat()])
        latest = instance.fetch_materializations(day, limit=1).records
        known = latest[0].asset_materialization if latest else None
        if known is None or known.tags != _data_version(delivery):
            instance.report_runless_asset_event(arrival(delivery))


def _event(delivery: Delivery) -> dict[str, Any]:
    return {
        "asset_key": raw_key(delivery.source),
        "partition": delivery.day.isoformat(),
        "metadata": _facts(delivery),
        "tags": _data_version(delivery),
    }


def _data_version(delivery: Delivery) -> dict[str, str]:
    return {DATA_VERSION_TAG: delivery.fingerprint}


def _facts(delivery: Delivery) -> dict[str, Any]:
    newest = max(stored.last_modified for stored in delivery.files)
    return {
        "files": len(delivery.files),
        "bytes": delivery.bytes,
        "newest_file": dg.MetadataValue.timestamp(newest),
        "fingerprint": delivery.fingerprint,
        "folder": delivery.storage.uri(delivery.source.folder(delivery.day)),
    }
