"""Stage eod: the end-of-day load, the latest version of every event."""

from collections.abc import Iterator

import dagster as dg

from spark_code import ingested_to_eod
from spark_code.lake import Draft, Published


def _out(description: str) -> dg.AssetOut:
    return dg.AssetOut(
        key_prefix="eod", io_manager_key="lake", group_name="eod", kinds={"pyspark", "parquet"}, description=description
    )


def eod_assets(partitions: dg.PartitionsDefinition) -> dg.AssetsDefinition:
    """The assets ``eod/trades``, ``eod/quotes`` and ``eod/closes``, one step."""

    @dg.multi_asset(
        name="eod",
        ins={"events": dg.AssetIn(["ingested", "events"])},
        outs={
            "trades": _out("One row per trade: of several deliveries the latest arrival. Source: `ingested/events`."),
            "quotes": _out("One row per quote: of several deliveries the latest arrival. Source: `ingested/events`."),
            "closes": _out("One row per symbol and exchange that traded: its last price. Source: `eod/trades`."),
        },
        partitions_def=partitions,
    )
    def eod(events: Published) -> Iterator[dg.Output[Draft]]:
        for draft in ingested_to_eod.build(events):
            yield dg.Output(draft, output_name=draft.table.name)

    return eod
