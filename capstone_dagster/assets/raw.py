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


def arrival(delivery: Delivery) -> tuple[dg.AssetObservation, dg.AssetMaterialization]:
    """That a delivery has come, as the events that say so.

    The observation is what Dagster judges tables by that were made from other files; the materialization makes the
    day show among the partitions of the asset. Tables refer to the latter, so the former must be known by then.
    """
    return observation(delivery), dg.AssetMaterialization(**_event(delivery))


def record_arrivals(instance: dg.DagsterInstance, deliveries: Iterable[Delivery]) -> None:
    """Record the deliveries of which the run storage does not know that they came, or came with these files."""
    for delivery in (found for found in deliveries if found.files):
        if not _is_recorded(instance, delivery):
            for event in arrival(delivery):
                instance.report_runless_asset_event(event)


def _is_recorded(instance: dg.DagsterInstance, delivery: Delivery) -> bool:
    key, days = raw_key(delivery.source), [delivery.day.isoformat()]
    came = instance.fetch_materializations(dg.AssetRecordsFilter(key, asset_partitions=days), limit=1).records
    if not came:
        return False
    before = dg.AssetRecordsFilter(key, asset_partitions=days, before_storage_id=came[0].storage_id)
    seen = instance.fetch_observations(before, limit=1).records  # older releases recorded none before
    events = [came[0].asset_materialization, *(record.asset_observation for record in seen)]
    return len(events) > 1 and all(event and event.tags == _data_version(delivery) for event in events)


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
