"""Checks people see beside an asset. They judge manifests only, so they cost no Spark.

What must hold before a day may be published is audited in ``spark_code.lake``; these checks are
about data that is published and still deserves a look, so they warn and stop nothing.
"""

from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg

from capstone_dagster.assets.metadata import as_text, rejects_by_reason
from capstone_dagster.assets.table_assets import NOTHING, RETRIES, asset_key
from capstone_dagster.run_tags import PARTITION_TAG
from capstone_dagster.settings import Settings
from capstone_dagster.trading_days import parse_day, trading_days
from spark_code.flow import Step
from spark_code.lake import Lake
from spark_code.manifest import Manifest
from spark_code.schemas import EVENTS, QUOTE_ANALYTICS, Table

_Judge = Callable[[Manifest, Settings], dg.AssetCheckResult]


def reject_ratio(manifest: Manifest, settings: Settings) -> dg.AssetCheckResult:
    """Few enough of the day's lines were rejected (CAPSTONE_MAX_REJECT_RATIO)."""
    ratio = manifest.measures["rejected"] / manifest.rows if manifest.rows else 0.0
    return _warn_unless(
        ratio <= settings.max_reject_ratio,
        reject_ratio=ratio,
        allowed=settings.max_reject_ratio,
        rejects=rejects_by_reason(manifest),
    )


def schema_drift(manifest: Manifest, _: Settings) -> dg.AssetCheckResult:
    """No file brought fields that the contract does not know."""
    drift = manifest.facts["schema_drift"]
    return _warn_unless(not drift, unknown_fields=as_text(drift))


def previous_close_known(manifest: Manifest, settings: Settings) -> dg.AssetCheckResult:
    """Every quote could be compared with a close of the previous trading day, if there is one."""
    is_first = manifest.trade_dt == trading_days(settings.first_trading_day).first.isoformat()
    without = manifest.rows - manifest.measures["with_close"]
    return _warn_unless(is_first or without == 0, quotes=manifest.rows, without_close=without)


# Their names and texts are those in the UI.
CHECKS: tuple[tuple[Table, _Judge], ...] = (
    (EVENTS, reject_ratio),
    (EVENTS, schema_drift),
    (QUOTE_ANALYTICS, previous_close_known),
)


def check_steps(step: Step) -> list[str]:
    """As Dagster's plan names the checks of what a step makes."""
    return [f"{table.layer}__{table.name}_{judge.__name__}" for table, judge in CHECKS if table in step.makes]


def all_checks(settings: Settings) -> list[dg.AssetChecksDefinition]:
    """The checks of what a run has published, for runs of Dagster."""
    return [_check(settings, table, judge) for table, judge in CHECKS]


def evaluations(settings: Settings, table: Table, manifest: Manifest) -> Iterator[dg.AssetCheckEvaluation]:
    """The same checks of a table that was published outside Dagster."""
    for judged, judge in CHECKS:
        if judged == table:
            result = judge(manifest, settings)
            yield dg.AssetCheckEvaluation(
                asset_key=asset_key(table),
                check_name=judge.__name__,
                passed=result.passed,
                metadata=result.metadata,
                severity=result.severity,
            )


def _check(settings: Settings, table: Table, judge: _Judge) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=asset_key(table),
        name=judge.__name__,
        description=judge.__doc__,
        required_resource_keys={RETRIES},
        config_schema=NOTHING,
    )
    def check(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
        day = context.run.tags.get(PARTITION_TAG)
        if day is None:
            raise dg.Failure("this check looks at one trading day: run it with a job of that day", allow_retries=False)
        with context.resources.retries.judging_failures(context.op_execution_context.retry_number):
            wanted = trading_days(settings.first_trading_day).require(parse_day(day))
            return judge(Lake(settings.lake_uri).require(table, wanted), settings)

    return check


def _warn_unless(holds: bool, **metadata: Any) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=holds, severity=dg.AssetCheckSeverity.WARN, metadata=metadata)
