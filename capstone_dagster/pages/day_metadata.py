"""What the UI shows of a published day, beside what the manifest of a table says.

Of the summary: the headline numbers, by trading day for the UI's plots, the movers, and a picture of the day. Of the
measures: their verdicts. The numbers are those of the day's page. Text of deliveries goes into tables and never into
Markdown.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

import dagster as dg

from capstone_dagster.assets.checks import quality_tables
from capstone_dagster.assets.metadata import rejected_percent, table_or_none
from capstone_dagster.pages.charts import Hours
from capstone_dagster.pages.number_texts import price, signed
from capstone_dagster.pages.numbers import Glance, SymbolRow, glance
from capstone_dagster.pages.picture import picture_in_markdown
from capstone_dagster.pages.quality import late_events
from capstone_dagster.pages.sources import Sources
from capstone_dagster.trading_days import TradingDays
from spark_code.lake import Lake
from spark_code.manifest import Manifest
from spark_code.schemas import BARS, DAILY_SUMMARY, EVENTS, QUALITY, QUOTES, TRADES, Table

# As many as fit beside the key on a laptop's screen.
_MOVER_COLUMNS = ("symbol", "exchange", "close", "change")


def day_metadata(
    calendar: TradingDays, lake: Lake, table: Table, manifest: Manifest, warn: Callable[[str], object]
) -> Mapping[str, Any]:
    """Of a version of a table that was just published; an error is logged, because the day is published."""
    try:
        if table == QUALITY:
            return quality_tables(lake, manifest)
        return _of_summary(calendar, lake, manifest) if table == DAILY_SUMMARY else {}
    except Exception as error:  # noqa: BLE001 - the table is published, whatever is wrong with a number
        warn(f"the numbers of {table.path} are not shown: {error!r}")
        return {}


def _of_summary(calendar: TradingDays, lake: Lake, manifest: Manifest) -> Mapping[str, Any]:
    day = date.fromisoformat(manifest.trade_dt)
    found = {table: lake.manifest(table, day) for table in (EVENTS, TRADES, QUOTES, QUALITY, BARS)}
    known = {table: each for table, each in found.items() if each}
    if BARS in known and known[BARS].inputs != manifest.inputs:
        del known[BARS]  # those of an earlier load
    sources = Sources(lake, day, known | {DAILY_SUMMARY: manifest}, None)
    seen = glance(sources)
    return {
        **_pictures(calendar, day, seen),
        "risers": _movers(seen.risers),
        "fallers": _movers(seen.fallers),
        **_headline(seen),
        **(_lines(sources) if sources.is_of_latest_ingest else {}),
    }


def _headline(seen: Glance) -> Mapping[str, float]:
    totals = seen.totals
    spread = {} if totals.spread_bps is None else {"median_spread_bps": round(totals.spread_bps, 3)}
    return {
        "turnover": round(totals.turnover, 2),
        "shares": totals.shares,
        "trades": totals.trades,
        "quotes": totals.quotes,
        "symbols": totals.symbols,
        "advancers": totals.advancers,
        "decliners": totals.decliners,
        "unchanged": totals.unchanged,
        **spread,
    }


def _lines(sources: Sources) -> Mapping[str, float]:
    """What became of the lines that the summary was made from."""
    return {
        "rejected_percent": round(rejected_percent(sources.manifests[EVENTS]), 4),
        "late_events": late_events(sources),
    }


def _pictures(calendar: TradingDays, day: date, seen: Glance) -> Mapping[str, dg.MetadataValue[Any]]:
    if not any(moment.shares for moment in seen.by_time):
        return {}
    _, close = calendar.hours(day)
    hours = Hours.of(seen.by_time, close.hour * 60 + close.minute)
    return {"volume_by_time": dg.MetadataValue.md(picture_in_markdown(seen.by_time, hours))}


def _movers(rows: Sequence[SymbolRow]) -> dg.MetadataValue[Any]:
    cells = [(row.symbol, row.exchange, price(row.close_pr), f"{signed(row.change_pct)} %") for row in rows]
    return table_or_none(_MOVER_COLUMNS, cells)
