"""Stage report: what traders read."""

from collections.abc import Iterator

import dagster as dg

from capstone_dagster.assets.table_assets import (
    CORPORATE_ACTIONS,
    PREVIOUS_TRADING_DAY,
    RETRIES,
    STEP_LAUNCHER,
    TRADING_DAY,
    table_out,
)
from spark_code import eod_to_report
from spark_code.corporate_actions import REFUSED
from spark_code.drafts import Draft, Published
from spark_code.schemas import BARS, DAILY_SUMMARY, QUOTE_ANALYTICS


def stage(partitions: dg.PartitionsDefinition, policy: dg.BackfillPolicy) -> list[dg.AssetsDefinition]:
    """The assets ``report/quote_analytics``, ``report/daily_summary`` and ``report/bars``, one step."""

    @dg.multi_asset(
        name="report",
        ins={
            "measures": dg.AssetIn(["quality", "measures"]),
            "trades": dg.AssetIn(["eod", "trades"]),
            "quotes": dg.AssetIn(["eod", "quotes"]),
            "previous_closes": dg.AssetIn(["eod", "closes"], partition_mapping=PREVIOUS_TRADING_DAY),
        },
        outs={
            "quote_analytics": table_out(
                QUOTE_ANALYTICS,
                "One row per quote: the last trade price and its 30-minute moving average, and the move of bid and "
                "ask against the previous trading day's adjusted close. Source: `eod/trades`, `eod/quotes`, "
                "`eod/closes`, and `reference/corporate_actions.csv` in the raw folder.",
                eod_to_report.CODE_VERSION,
            ),
            "daily_summary": table_out(
                DAILY_SUMMARY,
                "One row per symbol and exchange: open, high, low, close, volume, average prices and the change "
                "against the previous trading day's adjusted close. Source: `eod/trades`, `eod/quotes`, `eod/closes`, "
                "and `reference/corporate_actions.csv` in the raw folder.",
                eod_to_report.CODE_VERSION,
            ),
            "bars": table_out(
                BARS,
                "One row per symbol, exchange and 1, 5 or 30 minutes with trades or quotes: open, high, low, close, "
                "volume, average prices and the last quote. Source: `eod/trades`, `eod/quotes`.",
                eod_to_report.CODE_VERSION,
            ),
        },
        partitions_def=partitions,
        backfill_policy=policy,
        required_resource_keys={CORPORATE_ACTIONS, RETRIES, STEP_LAUNCHER, TRADING_DAY},
    )
    def report(
        context: dg.AssetExecutionContext,
        measures: Published,
        trades: Published,
        quotes: Published,
        previous_closes: Published,
    ) -> Iterator[dg.Output[Draft]]:
        resources = context.resources
        with resources.retries.judging_failures(context.retry_number):
            actions = getattr(resources, CORPORATE_ACTIONS)(resources.trading_day)
            drafts = eod_to_report.build(measures, trades, quotes, previous_closes, actions)
        for sentence in drafts[0].facts().get(REFUSED, ()):
            context.log.warning("%s", sentence)
        for draft in drafts:
            yield dg.Output(draft, output_name=draft.table.name)

    return [report]
