"""Stage raw: the files the exchanges delivered. Dagster does not make them, it observes them."""

import dagster as dg

from spark_code.raw_files import SOURCES, Delivery, Source


def raw_key(source: Source) -> dg.AssetKey:
    """The asset of one exchange's deliveries."""
    return dg.AssetKey(source.raw_table.split("/"))


def raw_assets(partitions: dg.PartitionsDefinition) -> list[dg.AssetSpec]:
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
    """What was found of a delivery when it was read."""
    newest = max(stored.last_modified for stored in delivery.files)
    return dg.AssetObservation(
        raw_key(delivery.source),
        partition=delivery.day.isoformat(),
        metadata={
            "files": len(delivery.files),
            "bytes": delivery.bytes,
            "newest_file": dg.MetadataValue.timestamp(newest),
            "fingerprint": delivery.fingerprint,
            "folder": delivery.storage.uri(delivery.source.folder(delivery.day)),
        },
    )
