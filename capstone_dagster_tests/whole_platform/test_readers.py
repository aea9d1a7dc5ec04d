"""Whole days into everything that people read; and one whose warehouse is down."""

import json
import random
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from pyspark.sql import SparkSession

from capstone_dagster.deliveries.sample import Sample
from capstone_dagster.pages.addresses import page_key
from capstone_dagster.pages.number_texts import price
from capstone_dagster_tests.builders.html_pages import HtmlPage
from capstone_dagster_tests.servers.platform import Platform
from spark_code.flow import tables_of
from spark_code.schemas import BARS, DAILY_SUMMARY, QUOTE_ANALYTICS, QUOTES, TRADES, Table

DAY, NEXT_DAY = date(2020, 8, 5), date(2020, 8, 6)


def test_a_database_that_is_down_fails_its_step_alone_and_the_report_is_published(
    spark: SparkSession, tmp_path: Path
) -> None:
    del spark
    platform = Platform(tmp_path, DAY, warehouse=True, postgres_url="postgresql://owner:canary@127.0.0.1:1/market")
    platform.sample(DAY)

    ran = platform.run("daily_pipeline", DAY, retries={"max_retries": 0})

    failed = {event.step_key: event.step_failure_data.error for event in ran.all_events if event.is_step_failure}
    assert list(failed) == ["warehouse"]
    assert all(platform.manifest(table, DAY) for table in tables_of("daily_pipeline"))
    reason = failed["warehouse"].to_string() if failed["warehouse"] else ""
    assert "the database of the warehouse does not answer" in reason
    assert f"type capstone warehouse-sync {DAY}" in reason
    assert "canary" not in reason
    assert {"quality", "report", "page"} <= {event.step_key for event in ran.all_events if event.is_step_success}


def test_random_days_have_the_same_numbers_in_parquet_bars_page_ui_and_warehouse(tmp_path: Path) -> None:
    platform = Platform(tmp_path, DAY, warehouse=True)
    seed = random.randrange(10**6)  # noqa: S311 - not secret
    list(Sample(symbols=4, events=600, seed=seed).write(platform.settings.raw_uri, DAY, 2))

    with platform.instance() as instance:  # the server stays up from command to command
        ran = platform.capstone("run", f"{DAY}..{NEXT_DAY}")
        assert ran.returncode == 0, ran.stdout + ran.stderr
        job_status = json.loads(platform.capstone("status", f"analytical_{NEXT_DAY}", "--json").stdout)
        by_psql = _by_psql(platform)
        in_ui = {day: _numbers_in_ui(instance, day) for day in (DAY, NEXT_DAY)}

    assert job_status["status"] == "SUCCESS"
    for day in (DAY, NEXT_DAY):
        found = f"sample of seed {seed}, {day}"
        summary = _dicts(platform, DAILY_SUMMARY, day)
        assert summary, found
        assert by_psql[f"{day}"] == sorted(_as_text(row, COMPARED) for row in summary), found
        assert _numbers_of_bars(platform, day) == {minutes: _totals(summary) for minutes in (1, 5, 30)}, found
        assert _numbers_of_events(platform, day) == _totals(summary), found
        assert {name: in_ui[day][name] for name in COUNTED} == _market(summary), found
        assert in_ui[day]["turnover"] == pytest.approx(_turnover(summary), abs=0.01), found
        page = HtmlPage(Path(platform.folder, "lake", page_key(day)).read_text())
        assert _symbols_in_page(page) == _symbols(summary), found
        assert _tiles(page) == _expected_tiles(in_ui[day]), found


COMPARED = (
    *("symbol", "exchange", "open_pr", "high_pr", "low_pr", "close_pr", "volume", "trade_count", "vwap_pr"),
    *("quote_count", "avg_spread", "prev_close_pr", "change_pr", "change_pct", "adjusted_prev_close_pr"),
)
COUNTED = ("shares", "trades", "quotes", "symbols", "advancers", "decliners", "unchanged")
Row = dict[str, Any]


def _dicts(platform: Platform, table: Table, day: date) -> list[Row]:
    return [dict(zip(table.columns, row, strict=True)) for row in platform.rows(table, day)]


def _as_text(row: Row, columns: Sequence[str]) -> str:
    """As psql writes it without alignment."""
    return "|".join("" if row[column] is None else f"{row[column]}" for column in columns)


def _by_psql(platform: Platform) -> dict[str, list[str]]:
    query = f"SELECT trade_dt, {', '.join(COMPARED)} FROM daily_summary"  # noqa: S608 - ours
    lines = platform.capstone("warehouse", "psql", "-AtXc", query).stdout.splitlines()
    days = {line.partition("|")[0] for line in lines}
    return {day: sorted(line.partition("|")[2] for line in lines if line.startswith(day)) for day in days}


def _numbers_in_ui(instance: dg.DagsterInstance, day: date) -> Row:
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(dg.AssetKey(["report", "daily_summary"]), asset_partitions=[f"{day}"]), limit=1
    ).records
    assert records[0].asset_materialization
    return {name: value.value for name, value in records[0].asset_materialization.metadata.items()}


Totals = dict[tuple[str, str], tuple[Any, ...]]


def _totals(summary: list[Row]) -> Totals:
    """What bars and events of a listing add up to."""
    names = ("volume", "trade_count", "quote_count", "open_pr", "high_pr", "low_pr", "close_pr")
    return {(row["symbol"], row["exchange"]): tuple(row[name] for name in names) for row in summary}


def _numbers_of_bars(platform: Platform, day: date) -> dict[int, Totals]:
    bars = sorted(_dicts(platform, BARS, day), key=lambda bar: bar["bar_tm"])
    found: dict[int, Totals] = {}
    for minutes, symbol, exchange in {(bar["minutes"], bar["symbol"], bar["exchange"]) for bar in bars}:
        mine = [bar for bar in bars if (bar["minutes"], bar["symbol"], bar["exchange"]) == (minutes, symbol, exchange)]
        counts = [sum(bar[name] for bar in mine) for name in ("volume", "trade_count", "quote_count")]
        traded = [bar for bar in mine if bar["trade_count"]]
        prices: tuple[Any, ...] = (None,) * 4
        if traded:
            highest, lowest = max(bar["high_pr"] for bar in traded), min(bar["low_pr"] for bar in traded)
            prices = (traded[0]["open_pr"], highest, lowest, traded[-1]["close_pr"])
        found.setdefault(minutes, {})[symbol, exchange] = (*counts, *prices)
    return found


def _numbers_of_events(platform: Platform, day: date) -> Totals:
    trades, quotes = _dicts(platform, TRADES, day), _dicts(platform, QUOTES, day)
    assert len(_dicts(platform, QUOTE_ANALYTICS, day)) == len(quotes)
    found: Totals = {}
    for symbol, exchange in {(row["symbol"], row["exchange"]) for row in (*trades, *quotes)}:
        mine = [row for row in trades if (row["symbol"], row["exchange"]) == (symbol, exchange)]
        mine.sort(key=lambda row: (row["event_tm"], row["event_seq_nb"]))
        quoted = sum((row["symbol"], row["exchange"]) == (symbol, exchange) for row in quotes)
        paid = [row["trade_pr"] for row in mine]
        prices = (paid[0], max(paid), min(paid), paid[-1]) if paid else (None,) * 4
        found[symbol, exchange] = (sum(row["trade_size"] for row in mine), len(mine), quoted, *prices)
    return found


def _turnover(summary: list[Row]) -> float:
    return sum((float(row["vwap_pr"]) * row["volume"] for row in summary if row["volume"]), 0.0)


def _market(summary: list[Row]) -> Row:
    changes = [row["change_pr"] for row in _primary(summary) if row["change_pr"] is not None]
    return {
        "shares": sum(row["volume"] for row in summary),
        "trades": sum(row["trade_count"] for row in summary),
        "quotes": sum(row["quote_count"] for row in summary),
        "symbols": sum(row["trade_count"] > 0 for row in _primary(summary)),
        "advancers": sum(change > 0 for change in changes),
        "decliners": sum(change < 0 for change in changes),
        "unchanged": sum(change == 0 for change in changes),
    }


def _primary(summary: list[Row]) -> list[Row]:
    """Of each symbol the listing with the most turnover."""
    found: dict[str, Row] = {}
    for row in sorted(summary, key=lambda row: float(row["vwap_pr"] or 0) * row["volume"]):
        found[row["symbol"]] = row
    return [*found.values()]


def _symbols(summary: list[Row]) -> list[list[str]]:
    prices = ("open_pr", "high_pr", "low_pr", "close_pr", "vwap_pr")
    counts = ("volume", "trade_count", "quote_count")
    return sorted(
        [row["symbol"], row["exchange"], *(price(row[each]) for each in prices), *(f"{row[each]:,}" for each in counts)]
        for row in _primary(summary)
    )


def _symbols_in_page(page: HtmlPage) -> list[list[str]]:
    rows = page.table("Symbol", "Spread, bp")
    # Symbol, exchange, open, high, low, close, VWAP, shares, trades, quotes.
    return sorted([row[column] for column in (0, 1, 2, 3, 4, 5, 7, 8, 10, 11)] for row in rows)


def _tiles(page: HtmlPage) -> list[str]:
    """The headline numbers: the exact one where a page writes a short one."""
    return [given["title"] or "" for tag, given in page.elements if tag == "dd" and given.get("title")]


def _expected_tiles(numbers: Row) -> list[str]:
    return [f"{numbers['turnover']:,.0f}", f"{numbers['shares']:,}"]
