"""Stage page: the published day as a page for people, beside the index of all days.

No table: it is made in the process of the run, also where Spark runs on a cluster, from what the lake has published.
"""

from collections.abc import Iterator

import dagster as dg

from capstone_dagster.assets.table_assets import RETRIES, TRADING_DAY, asset_key
from spark_code.schemas import BARS, DAILY_SUMMARY, EVENTS, QUALITY, QUOTE_ANALYTICS

PAGE, INDEX = dg.AssetKey(["report", "page"]), dg.AssetKey(["report", "index"])
# The step, and the resource that makes pages.
STEP, PAGES = "page", "pages"
# Raise it when the same tables give another page.
_CODE_VERSION = "1"


def stage(partitions: dg.PartitionsDefinition, policy: dg.BackfillPolicy) -> list[dg.AssetsDefinition]:
    """The assets ``report/page`` and ``report/index``, one step."""

    @dg.multi_asset(
        name=STEP,
        specs=[
            dg.AssetSpec(
                PAGE,
                deps=[asset_key(table) for table in (EVENTS, QUALITY, QUOTE_ANALYTICS, DAILY_SUMMARY, BARS)],
                kinds={"duckdb", "html"},
                description="One page per trading day, for a browser: the day in numbers and charts, and how good its "
                "data is. Source: `report/daily_summary`, `report/bars`, `report/quote_analytics`, `ingested/events`, "
                "`quality/measures`.",
                code_version=_CODE_VERSION,
            ),
            dg.AssetSpec(
                INDEX,
                deps=[PAGE],
                kinds={"html"},
                description="One line per trading day that has a page, the newest first. Source: `report/page`.",
                code_version=_CODE_VERSION,
            ),
        ],
        partitions_def=partitions,
        backfill_policy=policy,
        required_resource_keys={RETRIES, TRADING_DAY, PAGES},
    )
    def page(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
        resources, run = context.resources, context.run
        with resources.retries.judging_failures(context.retry_number):
            made = resources.pages.publish_in_run(resources.trading_day, run.run_id, context.instance)
        for key, metadata in made.metadata().items():
            yield dg.MaterializeResult(asset_key=key, metadata=metadata)

    return [page]
