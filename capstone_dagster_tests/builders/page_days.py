"""Published days with all that a page is made from, written by hand: no Spark has computed them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from capstone_dagster.readers.rows import arrow_schema
from capstone_dagster_tests.builders.published_files import Files, publish
from spark_code.lake import Lake
from spark_code.manifest import Manifest
from spark_code.schemas import BARS, DAILY_SUMMARY, EVENTS, QUALITY, QUOTE_ANALYTICS, QUOTES, TRADES, Reject, Table

DAY, NEXT_DAY = date(2020, 8, 5), date(2020, 8, 6)
_MINUTES, _OPEN = 5, time(9, 30)
_SIX_PLACES = Decimal("0.000001")


@dataclass(frozen=True)
class Stock:
    """A symbol on one exchange: the prices of its trades, one in each five minutes, and a quote around each."""

    symbol: str
    prices: Sequence[str] = ("10.00", "10.10", "10.05")
    prev_close: str | None = "10.00"
    exchange: str = "NYSE"
    size: int = 100
    half_spread: str = "0.01"
    is_traded: bool = True
    adjusted: str | None = None
    """The adjusted close, which days of older releases do not have."""

    def summary(self) -> dict[str, Any]:
        """Its row of ``report/daily_summary``."""
        prices = [Decimal(price) for price in self.prices]
        quoted = {"quote_count": len(prices), "avg_spread": 2 * Decimal(self.half_spread)}
        known = {"symbol": self.symbol, "exchange": self.exchange, **quoted, "prev_close_pr": _money(self.prev_close)}
        if self.adjusted:
            known["adjusted_prev_close_pr"] = Decimal(self.adjusted)
        if not self.is_traded:
            priced = ("open_pr", "high_pr", "low_pr", "close_pr", "vwap_pr", "change_pr", "change_pct")
            return {**known, **dict.fromkeys(priced), "volume": 0, "trade_count": 0}
        change = None if self.prev_close is None else prices[-1] - Decimal(self.prev_close)
        return {
            **known,
            "open_pr": prices[0],
            "high_pr": max(prices),
            "low_pr": min(prices),
            "close_pr": prices[-1],
            "volume": self.size * len(prices),
            "trade_count": len(prices),
            "vwap_pr": (sum(prices, Decimal(0)) / len(prices)).quantize(_SIX_PLACES),
            "change_pr": change,
            "change_pct": change and (100 * change / Decimal(self.prev_close or 1)).quantize(_SIX_PLACES),
        }

    def bars(self, day: date) -> list[dict[str, Any]]:
        """Its rows of ``report/bars``; those of 30 minutes are wrong, for whoever reads them as well."""
        rows = []
        for number, price in enumerate(map(Decimal, self.prices)):
            traded = price if self.is_traded else None
            rows += [
                {
                    "symbol": self.symbol,
                    "exchange": self.exchange,
                    "minutes": minutes,
                    "bar_tm": _moment(day, number),
                    **dict.fromkeys(("open_pr", "high_pr", "low_pr", "close_pr", "vwap_pr"), traded),
                    "volume": self.size if self.is_traded else 0,
                    "trade_count": int(self.is_traded),
                    "last_bid_pr": price - Decimal(self.half_spread),
                    "last_ask_pr": price + Decimal(self.half_spread),
                    "avg_spread": 2 * Decimal(self.half_spread),
                    "quote_count": 1 if minutes == _MINUTES else 1_000_000,
                }
                for minutes in (_MINUTES, 30)
            ]
        return rows

    def analytics(self, day: date) -> list[dict[str, Any]]:
        """Its rows of ``report/quote_analytics``, of which a page reads the average."""
        return [
            {
                "symbol": self.symbol,
                "exchange": self.exchange,
                "event_seq_nb": number,
                "event_tm": _moment(day, number) + timedelta(minutes=1),
                "last_mov_avg_pr": Decimal(price) if self.is_traded else None,
            }
            for number, price in enumerate(self.prices)
        ]


def publish_day(
    lake: Lake,
    day: date,
    stocks: Sequence[Stock] = (),
    rejects: Mapping[Reject, Sequence[str]] | None = None,
    version: str = "v1",
    corrections: int = 0,
    sentence: str = "",
) -> dict[Table, Manifest]:
    """Publish a day of these symbols and rejected lines."""
    bad = [
        {"reject_reason": reason.value, "source_file": "csv/a.csv", "line": line}
        for reason, lines in (rejects or {}).items()
        for line in lines
    ]
    analytics = [row for stock in stocks for row in stock.analytics(day)]
    trades = sum(len(stock.prices) for stock in stocks if stock.is_traded)
    counts = {f"rejected_{reason}": len(lines) for reason, lines in (rejects or {}).items()}
    events = publish(lake, EVENTS, {"rec_type=B/part-0.parquet": bad} if bad else {}, version, day)
    lines = {"trades": trades, "quotes": len(analytics) + corrections, "rejected": len(bad), **counts}
    made_from = {TRADES.path: version, QUOTES.path: version}
    loaded_from = {EVENTS.path: version}
    with_close = sum(len(stock.prices) for stock in stocks if stock.prev_close is not None)
    summary = [stock.summary() for stock in stocks]
    measures = [{"exchange": "NYSE", "measure": "late", "value": Decimal(3), "verdict": "ok"}]
    for is_beyond, said in (
        (bad, f"{len(bad)} of {len(bad)} lines rejected"),
        (sentence, sentence),
        (0 < with_close < len(analytics), "quotes without a close of the day before"),
    ):
        if is_beyond:
            measures.append({"exchange": "NYSE", "verdict": "warn", "sentence": said})
    bars = [row for stock in stocks for row in stock.bars(day)]
    manifests = {
        EVENTS: replace(events, rows=trades + len(analytics) + corrections + len(bad), measures=lines),
        TRADES: replace(publish(lake, TRADES, {}, version, day), rows=trades, inputs=loaded_from),
        QUOTES: replace(publish(lake, QUOTES, {}, version, day), rows=len(analytics), inputs=loaded_from),
        QUALITY: publish(
            lake, QUALITY, _file(measures), version, day, inputs=loaded_from | made_from, schema=arrow_schema(QUALITY)
        ),
        QUOTE_ANALYTICS: replace(
            publish(lake, QUOTE_ANALYTICS, _file(analytics), version, day),
            measures={"with_close": with_close},
            inputs=made_from,
        ),
        DAILY_SUMMARY: replace(publish(lake, DAILY_SUMMARY, _file(summary), version, day), inputs=made_from),
        BARS: replace(publish(lake, BARS, _file(bars), version, day), inputs=made_from),
    }
    for table, manifest in manifests.items():
        lake.storage.write(f"{table.path}/_published/{day}.json", manifest.to_json())
    return manifests


def _file(rows: list[dict[str, Any]]) -> Files:
    """One file, or none where there is nothing: a file without rows would not know its columns."""
    return {"part-0.parquet": rows} if rows else {}


def _moment(day: date, number: int) -> datetime:
    return datetime.combine(day, _OPEN) + timedelta(minutes=_MINUTES * number)


def _money(amount: str | None) -> Decimal | None:
    return None if amount is None else Decimal(amount)
