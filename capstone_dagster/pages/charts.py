"""The charts of a page, as Vega-Lite specifications. ``svg`` draws them.

No text from deliveries enters a chart: names of symbols stay in the HTML.
"""

from collections.abc import Sequence
from decimal import Decimal
from math import floor
from typing import Any, NamedTuple

from capstone_dagster.pages.number_texts import bps, clock, price, signed, whole
from capstone_dagster.pages.numbers import MINUTES, Bar, Moment
from capstone_dagster.pages.svg import Spec, draw, hover, panel
from spark_code.wording import counted

# When the NYSE opens, and when it closes on most days, in minutes.
OPEN, CLOSE = 9 * 60 + 30, 16 * 60
_TALL, _LOW = 150, 44
_TIME_LABEL = "floor(datum.value / 60) + ':' + (datum.value % 60 < 10 ? '0' : '') + datum.value % 60"
# 1.5k, 300, 0.5 and not 500m.
_SHORT: Spec = {
    "labelExpr": "abs(datum.value) < 1 ? format(datum.value, '~r') : format(datum.value, '~s')",
}


class Hours(NamedTuple):
    """From when to when charts go, in minutes."""

    first: int
    last: int

    @classmethod
    def of(cls, moments: Sequence[Moment], close: int) -> "Hours":
        """The hours of the exchange, and whatever lies outside them."""
        return cls(
            min([OPEN, *(moment.minute for moment in moments)]),
            max([close, *(moment.minute + MINUTES for moment in moments)]),
        )

    def x(self, field: str = "from", *, labels: bool = True) -> Spec:
        """The axis of time."""
        step = 60 if self.last - self.first <= 240 else 120
        values = list(range(-(-self.first // step) * step, self.last + 1, step))
        axis = {"values": values, "labels": labels, "labelExpr": _TIME_LABEL, "labelFlush": True, "labelOverlap": True}
        return _quantity(field, axis, {"domain": list(self), "nice": False})


def of_symbol(bars: Sequence[Bar], prev_close: Decimal | None, hours: Hours) -> str:
    """Quotes, trades, average and previous close of a symbol, its spread and its volume, on one axis of time."""
    rows = [
        {
            **_place(bar.minute),
            "middle": bar.minute + MINUTES / 2,
            "says": _says(bar),
            "bid": _number(bar.bid_pr),
            "ask": _number(bar.ask_pr),
            "average": _number(bar.average_pr),
            "low": _number(bar.low_pr),
            "high": _number(bar.high_pr),
            "spread": bar.spread_bps,
            "volume": bar.volume,
        }
        for bar in bars
    ]
    seen = [
        float(each) for bar in bars for each in (bar.bid_pr, bar.ask_pr, bar.low_pr, bar.high_pr) if each is not None
    ]
    x = hours.x(labels=False)

    def y(field: str) -> Spec:
        return _quantity(field, {"tickCount": 5, "format": _price_format(seen)}, {"zero": False, "nice": True})

    def line(field: str, **mark: Any) -> Spec:
        return {"mark": {"type": "line", **mark}, "encoding": {"x": x, "y": y(field)}}

    trades = {
        "mark": {"type": "rule", "color": "var(--trades)", "strokeWidth": 2.6},
        "transform": [_present("low")],
        "encoding": {"x": hours.x("middle", labels=False), "y": y("low"), "y2": {"field": "high"}},
    }
    previous = {
        "data": {"values": [{"prev": _number(prev_close)}]},
        "mark": {"type": "rule", "color": "var(--muted)", "strokeDash": [4, 3], "strokeWidth": 1.2},
        "encoding": {"y": y("prev")},
    }
    quoted = [line(name, color=f"var(--{name})", interpolate="step-after") for name in ("bid", "ask")]
    average = line("average", color="var(--average)", strokeWidth=2)
    near = [previous] if prev_close is not None and _is_near(float(prev_close), seen) else []
    return draw(
        rows,
        panel(_TALL, trades, *quoted, average, *near, hover(x), title="Price, $"),
        panel(_LOW, _bars("spread", "var(--spread)", x, tickCount=2), hover(x), title="Spread, basis points"),
        panel(
            _LOW,
            _bars("volume", "var(--volume)", hours.x(), tickCount=2, tickMinStep=1),
            hover(hours.x()),
            title="Volume, shares",
        ),
    )


def volume_by_time(moments: Sequence[Moment], hours: Hours) -> str:
    """Shares of all symbols."""
    rows = [_row(each, volume=each.shares, says=f"{whole(each.shares)} shares") for each in moments]
    return draw(rows, panel(_TALL, _volume(hours), hover(hours.x())))


def spread_by_time(moments: Sequence[Moment], hours: Hours) -> str:
    """The median of all symbols."""
    rows = [
        _row(each, spread=each.spread_bps, says=f"median spread {bps(each.spread_bps)} basis points")
        for each in moments
    ]
    y = _quantity("spread", {"tickCount": 4}, {"zero": True})
    line = {
        "mark": {"type": "line", "color": "var(--spread)", "strokeWidth": 2},
        "encoding": {"x": hours.x(), "y": y},
    }
    return draw(rows, panel(_TALL, line, hover(hours.x())))


def changes(percents: Sequence[float]) -> str:
    """How many symbols have changed by how much: a bar per class, rising and falling ones in their colours."""
    step, counts = classes(percents)
    gap = 0.06 * step
    rows: list[Spec] = []
    for number, symbols in counts.items():
        low, high = number * step, (number + 1) * step
        limits = f"{signed(low, 1)} % to {signed(high, 1)} %"
        if number in (min(counts), max(counts)):
            limits = f"below {signed(high, 1)} %" if number < 0 else f"above {signed(low, 1)} %"
        bar = {"start": low + gap, "end": high - gap, "colour": "var(--down)" if number < 0 else "var(--up)"}
        rows.append(
            {"from": low, "to": high, **bar, "symbols": symbols, "says": f"{limits}: {counted(symbols, 'symbol')}"}
        )
    axis = {
        "values": [number * step for number in (-4, -2, 0, 2, 4)],
        "labelExpr": "datum.value ? format(datum.value, '+~f') : '0'",
    }
    scale = {"domain": [rows[0]["from"], rows[-1]["to"]], "nice": False}
    drawn = _bars("symbols", "", _quantity("start", axis, scale), tickMinStep=1)
    drawn["encoding"]["color"] = {"field": "colour", "type": "nominal", "scale": None}
    return draw(rows, panel(_TALL, drawn, hover(_quantity("from", axis, scale))))


def classes(percents: Sequence[float]) -> tuple[float, dict[int, int]]:
    """Ten classes of changes around zero, the outer ones open: their width, and how many symbols are in each.

    The width suits how far nine of ten symbols have moved. A symbol that has not changed is in none.
    """
    moves = sorted(abs(percent) for percent in percents)
    usual = moves[int(0.9 * (len(moves) - 1))] if moves else 0.0
    step = next((step for step in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0) if usual <= 4 * step), 10.0)
    counts = dict.fromkeys(range(-5, 5), 0)
    for percent in percents:
        if percent:
            counts[max(-5, min(4, floor(percent / step)))] += 1
    return step, counts


def _quantity(field: str, axis: Spec, scale: Spec) -> Spec:
    return {"field": field, "type": "quantitative", "axis": axis, "scale": scale}


def _bars(field: str, colour: str, x: Spec, **axis: Any) -> Spec:
    y = _quantity(field, {"tickCount": 3, **_SHORT, **axis}, {"zero": True})
    return {
        "mark": {"type": "rect", **({"color": colour} if colour else {})},
        "transform": [_present(field)],
        "encoding": {"x": x, "x2": {"field": "end"}, "y": y, "y2": {"datum": 0}},
    }


def _volume(hours: Hours) -> Spec:
    return _bars("volume", "var(--volume)", hours.x(), tickCount=2, tickMinStep=1)


def _present(field: str) -> Spec:
    return {"filter": f"isValid(datum.{field})"}


def _row(moment: Moment, says: str = "", **values: float | None) -> Spec:
    return {**_place(moment.minute), **values, "says": f"{_span(moment.minute)}  {says}"}


def _place(minute: int) -> Spec:
    return {"from": minute, "end": minute + 0.84 * MINUTES, "to": minute + MINUTES}


def _span(minute: int) -> str:
    return f"{clock(minute)} to {clock(minute + MINUTES)}"


def _says(bar: Bar) -> str:
    parts = [_span(bar.minute)]
    if bar.bid_pr is not None or bar.ask_pr is not None:
        parts.append(f"bid {price(bar.bid_pr)}, ask {price(bar.ask_pr)}")
    if bar.low_pr is not None:
        parts.append(f"trades {price(bar.low_pr)} to {price(bar.high_pr)}")
    if bar.average_pr is not None:
        parts.append(f"30-minute average {price(bar.average_pr)}")
    if bar.spread_bps is not None:
        parts.append(f"spread {bps(bar.spread_bps)} basis points")
    return "\n".join([*parts, f"{whole(bar.volume)} shares"])


def _number(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


def _is_near(value: float, prices: Sequence[float]) -> bool:
    """Whether it may be drawn: a close far from the day's prices would press them into a line."""
    if not prices:
        return False
    low, high = min(prices), max(prices)
    room = 2 * max(high - low, 0.005 * high)
    return low - room <= value <= high + room


def _price_format(prices: Sequence[float]) -> str:
    """As many decimals as tell the labels apart."""
    extent = max(prices) - min(prices) if prices else 1.0
    return f",.{0 if extent >= 20 else 2 if extent >= 0.05 else 4}f"
