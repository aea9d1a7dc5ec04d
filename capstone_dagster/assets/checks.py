"""Checks people see beside an asset, one for each table whose quality is measured.

They are made from ``quality/measures``: its step records them, for its day, and so people find a bad day when others
have been run since. They stop nothing: a limit that stops a day fails the report.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from warnings import catch_warnings, simplefilter

import dagster as dg

from capstone_dagster.assets.metadata import table_or_none
from capstone_dagster.assets.table_assets import NOTHING, RETRIES, asset_key
from capstone_dagster.readers.rows import batches
from capstone_dagster.run_tags import PARTITION_TAG
from capstone_dagster.settings import Settings
from capstone_dagster.trading_days import parse_day, trading_days
from capstone_dagster.wording import literal, printable
from spark_code.lake import Lake
from spark_code.manifest import Manifest
from spark_code.quality_limits import BEYOND_LIMITS, Verdict
from spark_code.schemas import CLOSES, EVENTS, QUALITY, QUOTES, TRADES, Table
from spark_code.wording import counted

# Their names are those in the UI.
CHECKS: Mapping[Table, str] = {EVENTS: "lines", TRADES: "trades", QUOTES: "quotes", CLOSES: "prices"}
CHECK_KEYS: Mapping[Table, dg.AssetCheckKey] = {
    table: dg.AssetCheckKey(asset_key(table), name) for table, name in CHECKS.items()
}
_TEXTS: Mapping[Table, str] = {
    EVENTS: "Few lines are rejected, their number is usual, and there are no unknown fields or repeated numbers.",
    TRADES: "Their number and volume are usual, and few are outside trading hours.",
    QUOTES: "Their number is usual, and few are crossed, locked, without a price, or outside trading hours.",
    CLOSES: "The symbols of the day before are here, and no price has jumped.",
}
_SHOWN = ("exchange", "measure", "value", "expected_low", "expected_high", "sentence")
_MOST_SHOWN = 25


def evaluations(lake: Lake, manifest: Manifest) -> Iterator[dg.AssetCheckEvaluation]:
    """What the published measures of a day say about each table."""
    rows = _measured(lake, manifest)
    for table, name in CHECKS.items():
        of_table = [row for row in rows if row["subject"] == table.path]
        beyond = [row for row in of_table if row["verdict"] in BEYOND_LIMITS]
        unknown = sum(row["verdict"] == Verdict.UNKNOWN for row in of_table)
        is_error = any(row["verdict"] == Verdict.ERROR for row in beyond)
        yield dg.AssetCheckEvaluation(
            asset_key=asset_key(table),
            check_name=name,
            passed=not beyond,
            severity=dg.AssetCheckSeverity.ERROR if is_error else dg.AssetCheckSeverity.WARN,
            description=_sentence(manifest.trade_dt, len(of_table), unknown, beyond),
            metadata={"day": manifest.trade_dt, **({"beyond_limits": _table(beyond)} if beyond else {})},
            partition=manifest.trade_dt,
        )


def quality_tables(lake: Lake, manifest: Manifest) -> dict[str, dg.MetadataValue[Any]]:
    """The published measures of a day for people: how many have which verdict, and those beyond their limits."""
    rows = _measured(lake, manifest)
    counts = Counter((row["subject"], row["verdict"]) for row in rows)
    verdicts = [(table.path, *(counts[table.path, verdict.value] for verdict in Verdict)) for table in CHECKS]
    beyond = [row for row in rows if row["verdict"] in BEYOND_LIMITS]
    shown = [(row["subject"], *(_cell(row[name]) for name in _SHOWN)) for row in beyond[:_MOST_SHOWN]]
    return {
        "verdicts": table_or_none(("table", *(verdict.value for verdict in Verdict)), verdicts),
        "not_as_expected": table_or_none(("table", *_SHOWN), shown),
    }


def all_checks(settings: Settings, partitions: dg.PartitionsDefinition) -> dg.AssetChecksDefinition:
    """The checks as the UI shows and executes them: again from what is published."""
    with catch_warnings():
        simplefilter("ignore", dg.PreviewWarning)  # partitions of checks: without them, a day hides all others
        specs = [
            dg.AssetCheckSpec(
                name,
                asset=asset_key(table),
                description=_TEXTS[table],
                additional_deps=[asset_key(QUALITY)],
                partitions_def=partitions,
            )
            for table, name in CHECKS.items()
        ]

    @dg.multi_asset_check(
        name="quality_checks",
        specs=specs,
        can_subset=True,
        required_resource_keys={RETRIES},
        config_schema=NOTHING,
    )
    def quality_checks(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        day = context.run.tags.get(PARTITION_TAG)
        if day is None:
            raise dg.Failure("these checks look at one trading day: choose its partition", allow_retries=False)
        with context.resources.retries.judging_failures(context.op_execution_context.retry_number):
            wanted = trading_days(settings.first_trading_day).require(parse_day(day))
            lake = Lake(settings.lake_uri)
            manifest = lake.manifest(QUALITY, wanted)
            found = list(evaluations(lake, manifest)) if manifest else []
        known = {evaluation.asset_check_key: evaluation for evaluation in found}
        for key in context.op_execution_context.selected_asset_check_keys:
            yield _result(key, known.get(key), day)

    return quality_checks


def _measured(lake: Lake, manifest: Manifest) -> list[Mapping[str, Any]]:
    return [row for batch in batches(lake, QUALITY, [manifest]) for row in batch.to_pylist()]


def _result(key: dg.AssetCheckKey, known: dg.AssetCheckEvaluation | None, day: str) -> dg.AssetCheckResult:
    """A day that is not measured yet is no fault: the preprocessing has no measures."""
    return dg.AssetCheckResult(
        asset_key=key.asset_key,
        check_name=key.name,
        passed=known is None or known.passed,
        severity=known.severity if known else dg.AssetCheckSeverity.WARN,
        description=known.description if known else f"{day}: not measured yet; run the job analytical",
        metadata=known.metadata if known else {"day": day},
    )


def _sentence(day: str, measures: int, unknown: int, beyond: Sequence[Mapping[str, Any]]) -> str:
    if beyond:
        return literal(f"{day}: " + "; ".join(f"{row['exchange']}: {row['sentence']}" for row in beyond))
    return f"{day}: {counted(measures, 'measure')}, all as expected" + (f", {unknown} unknown" if unknown else "")


def _table(rows: Sequence[Mapping[str, Any]]) -> dg.TableMetadataValue:
    texts = ({name: _cell(row[name]) for name in _SHOWN} for row in rows)
    columns = [dg.TableColumn(name) for name in _SHOWN]
    return dg.MetadataValue.table([dg.TableRecord(text) for text in texts], dg.TableSchema(columns))


def _cell(value: Any) -> str:
    return "" if value is None else printable(value if isinstance(value, str) else f"{value.normalize():f}")
