"""Stage ingested: the delivered lines as typed parquet."""

from datetime import date

import dagster as dg

from capstone_dagster.assets.raw import observation, raw_key, record_arrivals
from capstone_dagster.assets.table_assets import RETRIES, STEP_LAUNCHER, TRADING_DAY, table_out
from spark_code import raw_to_ingested
from spark_code.drafts import Draft
from spark_code.raw_files import SOURCES
from spark_code.schemas import EVENTS


def stage(partitions: dg.PartitionsDefinition, policy: dg.BackfillPolicy) -> list[dg.AssetsDefinition]:
    """The asset ``ingested/events``."""

    @dg.multi_asset(
        name="ingested__events",
        deps=[raw_key(source) for source in SOURCES],
        outs={
            "events": table_out(
                EVENTS,
                "One row per delivered line: a trade (T), a quote (Q) or a rejected line with its reason (B). "
                "Source: `raw/nyse` (CSV) and `raw/nasdaq` (JSON lines). Nothing is dropped: lines in = T + Q + B.",
                raw_to_ingested.CODE_VERSION,
            )
        },
        partitions_def=partitions,
        backfill_policy=policy,
        required_resource_keys={"spark", "raw_folder", "lake", RETRIES, STEP_LAUNCHER, TRADING_DAY},
    )
    def ingested_events(context: dg.AssetExecutionContext) -> Draft:
        day: date = context.resources.trading_day
        step = context.op_execution_context.get_step_execution_context()
        with context.resources.retries.judging_failures(context.retry_number, step):
            context.resources.spark.require_client()
            context.resources.lake.begin(day)
            deliveries = context.resources.raw_folder.deliveries(day)
            record_arrivals(context.instance, deliveries)
            for delivery in deliveries:
                context.log_event(observation(delivery))
                step.wipe_input_asset_version_info(raw_key(delivery.source))  # that of before the step
            return raw_to_ingested.build(context.resources.spark.spark_session, deliveries, day)

    return [ingested_events]
