"""Checks people see beside an asset. They read manifests only, so they cost no Spark.

What must hold before a day may be published is audited in ``spark_code.lake``; these checks are
about data that is published and still deserves a look, so they warn and stop nothing.
"""

from datetime import date
from typing import Any

import dagster as dg

from capstone_dagster.metadata import rejects_by_reason
from capstone_dagster.settings import Settings
from capstone_dagster.trading_days import trading_days
from spark_code.lake import Lake, Manifest
from spark_code.schemas import EVENTS, QUOTE_ANALYTICS, Table


def all_checks(settings: Settings) -> list[dg.AssetChecksDefinition]:
    """The checks of one lake."""

    def published(context: dg.AssetCheckExecutionContext, table: Table) -> Manifest:
        partition = context.run.tags.get("dagster/partition")
        if partition is None:
            raise dg.Failure("this check looks at one trading day: run it with a job of that day", allow_retries=False)
        day = date.fromisoformat(partition)
        return Lake(settings.lake_uri).require(table, day)

    @dg.asset_check(asset=dg.AssetKey(["ingested", "events"]))
    def reject_ratio(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        """Few enough of the day's lines were rejected (CAPSTONE_MAX_REJECT_RATIO)."""
        manifest = published(context, EVENTS)
        ratio = manifest.measures["rejected"] / manifest.rows if manifest.rows else 0.0
        return _warn_unless(
            ratio <= settings.max_reject_ratio,
            reject_ratio=ratio,
            allowed=settings.max_reject_ratio,
            rejects=rejects_by_reason(manifest),
        )

    @dg.asset_check(asset=dg.AssetKey(["ingested", "events"]))
    def schema_drift(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        """No file brought fields that the contract does not know."""
        drift = published(context, EVENTS).facts["schema_drift"]
        return _warn_unless(not drift, unknown_fields=drift)

    @dg.asset_check(asset=dg.AssetKey(["report", "quote_analytics"]))
    def previous_close_known(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        """Every quote could be compared with a close of the previous trading day, if there is one."""
        manifest = published(context, QUOTE_ANALYTICS)
        is_first = manifest.trade_dt == trading_days(settings.first_trading_day).first.isoformat()
        without = manifest.rows - manifest.measures["with_close"]
        return _warn_unless(is_first or without == 0, quotes=manifest.rows, without_close=without)

    return [reject_ratio, schema_drift, previous_close_known]


def _warn_unless(holds: bool, **metadata: Any) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=holds, severity=dg.AssetCheckSeverity.WARN, metadata=metadata)
