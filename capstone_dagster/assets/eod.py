"""Stage eod: the end-of-day load, the latest version of every event."""

from collections.abc import Iterator

import dagster as dg

from capstone_dagster.assets.table_assets import RETRIES, STEP_LAUNCHER, TRADING_DAY, table_out
from spark_code import ingested_to_eod
from spark_code.drafts import Draft, Published
from spark_code.schemas import CLOSES, QUOTES, TRADES


def stage(partitions: dg.PartitionsDefinition, policy: dg.BackfillPolicy) -> list[dg.AssetsDefinition]:
    """The assets ``eod/trades``, ``eod/quotes`` and ``eod/closes``, one step."""

    @dg.multi_asset(
        name="eod",
        ins={"events": dg.AssetIn(["ingested", "events"])},
        outs={
            "trades": table_out(
                TRADES,
                "One row per trade: of several deliveries the latest arrival. Source: `ingested/events`.",
                ingested_to_eod.CODE_VERSION,
            ),
            "quotes": table_out(
                QUOTES,
                "One row per quote: of several deliveries the latest arrival. Source: `ingested/events`.",
                ingested_to_eod.CODE_VERSION,
            ),
            "closes": table_out(
                CLOSES,
                "One row per symbol and exchange that traded: its last price. Source: `eod/trades`.",
                ingested_to_eod.CODE_VERSION,
            ),
        },
        partitions_def=partitions,
        backfill_policy=policy,
        required_resource_keys={RETRIES, STEP_LAUNCHER, TRADING_DAY},
    )
    def eod(context: dg.AssetExecutionContext, events: Published) -> Iterator[dg.Output[Draft]]:
        with context.resources.retries.judging_failures(context.retry_number):
            drafts = ingested_to_eod.build(events)
        for draft in drafts:
            yield dg.Output(draft, output_name=draft.table.name)

    return [eod]
