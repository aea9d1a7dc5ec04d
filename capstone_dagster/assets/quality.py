"""Stage quality: whether the day can be trusted."""

from collections.abc import Iterator

import dagster as dg

from capstone_dagster.assets.checks import evaluations
from capstone_dagster.assets.table_assets import (
    CORPORATE_ACTIONS,
    PREVIOUS_TRADING_DAY,
    QUALITY_JUDGEMENT,
    RETRIES,
    STEP_LAUNCHER,
    TRADING_DAY,
    table_out,
)
from spark_code import quality
from spark_code.drafts import Draft, Published
from spark_code.lake import Lake
from spark_code.schemas import QUALITY


def stage(partitions: dg.PartitionsDefinition, policy: dg.BackfillPolicy) -> list[dg.AssetsDefinition]:
    """The asset ``quality/measures``, which also records the checks of the tables that it judges."""

    @dg.multi_asset(
        name="quality",
        ins={
            "events": dg.AssetIn(["ingested", "events"]),
            "trades": dg.AssetIn(["eod", "trades"]),
            "quotes": dg.AssetIn(["eod", "quotes"]),
            "previous_closes": dg.AssetIn(["eod", "closes"], partition_mapping=PREVIOUS_TRADING_DAY),
        },
        outs={
            "measures": table_out(
                QUALITY,
                "One row per measure of the day's quality, table and exchange: its value, what is expected, and the "
                "verdict. Source: `ingested/events`, `eod/trades`, `eod/quotes`, and the closes of the previous "
                "trading day. The checks of these tables are made from it.",
                quality.CODE_VERSION,
            )
        },
        partitions_def=partitions,
        backfill_policy=policy,
        required_resource_keys={
            *("lake", CORPORATE_ACTIONS, QUALITY_JUDGEMENT, RETRIES, STEP_LAUNCHER, TRADING_DAY),
        },
    )
    def measures(
        context: dg.AssetExecutionContext,
        events: Published,
        trades: Published,
        quotes: Published,
        previous_closes: Published,
    ) -> Iterator[dg.Output[Draft]]:
        resources = context.resources
        with resources.retries.judging_failures(context.retry_number):
            judged_by = getattr(resources, QUALITY_JUDGEMENT)(resources.trading_day)
            actions = getattr(resources, CORPORATE_ACTIONS)(resources.trading_day)
            (draft,) = quality.build(events, trades, quotes, previous_closes, judged_by, actions)
        yield dg.Output(draft, output_name="measures")
        with resources.retries.judging_failures(context.retry_number):
            lake = Lake(resources.lake.uri)
            for evaluation in evaluations(lake, lake.require(QUALITY, resources.trading_day)):
                context.log_event(evaluation)

    return [measures]
