"""One trading day as one HTML file that needs nothing else: no network, no script, no other file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from capstone_dagster.pages import charts, number_texts
from capstone_dagster.pages.entries import Entry
from capstone_dagster.pages.numbers import LISTED, MINUTES, Numbers, SymbolRow, Totals
from capstone_dagster.pages.picture import picture
from capstone_dagster.pages.quality import Measure, Quality, Word
from capstone_dagster.wording import printable
from spark_code.manifest import Manifest
from spark_code.schemas import Table
from spark_code.wording import counted, shortened

_LONGEST_NAME, _LONGEST_LINE = 40, 160
# How many of a table's files have links; the manifest names all of them.
_FILES_LINKED = 8
# From below report/page to the lake.
_TO_LAKE = "../../"


@dataclass(frozen=True)
class Contents:
    """What a page shows."""

    day: date
    previous: date | None
    """The trading day before, if there is one."""
    close: int
    """When the exchange closes on this day, in minutes."""
    word: Word
    numbers: Numbers
    quality: Quality
    measures: Sequence[Measure]
    manifests: Mapping[Table, Manifest]
    lake: str
    run_url: str | None
    made_at: datetime
    has_previous_page: bool = False


@dataclass(frozen=True)
class Tile:
    """A headline number beside that of the day before."""

    name: str
    value: str
    unit: str
    exact: str
    before: str
    change: str


def render(contents: Contents) -> tuple[str, Entry]:
    """The page, and what the index says of the day."""
    numbers = contents.numbers
    hours = charts.Hours.of(numbers.by_time, contents.close)
    entry = Entry(
        day=contents.day,
        word=contents.word.state,
        reason=contents.word.reason,
        sentence=sentence(contents),
        picture=picture(numbers.by_time, hours) if numbers.totals.shares else "",
    )
    html = (
        environment()
        .get_template("day.html")
        .render(
            contents=contents,
            numbers=numbers,
            totals=numbers.totals,
            quality=contents.quality,
            entry=entry,
            meta=entry.to_json(),
            tiles=tiles(numbers.totals, numbers.before),
            market=_market_charts(numbers, hours),
            charted=[
                (each, _drawn(charts.of_symbol(each.bars, each.row.prev_close_pr, hours))) for each in numbers.charted
            ],
            files=_files(contents.manifests),
            minutes=MINUTES,
            listed=LISTED,
            is_half_day=contents.close < charts.CLOSE,
        )
    )
    return html, entry


def sentence(contents: Contents) -> str:
    """The day in one sentence."""
    totals, lines, numbers = contents.numbers.totals, contents.quality, contents.numbers
    if not lines.lines_in:
        return "The exchanges delivered no lines."
    if not lines.accepted:
        return f"Nothing was accepted: {counted(lines.lines_in, 'line')} came, and all were rejected."
    if not totals.trades:
        quoted = f"{counted(totals.quoted, 'symbol')} had {counted(totals.quotes, 'quote')}"
        return f"Nothing was traded; {quoted}." if totals.quotes else "Nothing was traded or quoted."
    traded = f"{counted(totals.symbols, 'symbol')} traded {number_texts.compact(totals.shares)} shares"
    said = f"{traded} for ${number_texts.compact(totals.turnover)}"
    if numbers.changes:
        said += f"; {_or_none(totals.advancers)} rose, {_or_none(totals.decliners)} fell"
    if mover := _greatest(numbers):
        said += f", and {name(mover.symbol)} moved most: {number_texts.signed(mover.change_pct)} %"
    return f"{said}."


def tiles(now: Totals, before: Totals | None) -> list[Tile]:
    """The headline numbers."""

    def tile(label: str, field: str, unit: str = "", compact: bool = False) -> Tile:
        value, old = getattr(now, field), getattr(before, field) if before else None
        as_text = (
            number_texts.compact if compact else (number_texts.bps if field == "spread_bps" else number_texts.whole)
        )
        exact = number_texts.whole(value) if compact else ""
        return Tile(label, as_text(value), unit, exact, as_text(old), number_texts.against(value, old))

    return [
        tile("Turnover", "turnover", "$", compact=True),
        tile("Shares traded", "shares", compact=True),
        tile("Trades", "trades"),
        tile("Quotes", "quotes"),
        tile("Symbols traded", "symbols"),
        tile("Median spread", "spread_bps", "bp"),
    ]


def name(symbol: str) -> str:
    """A symbol as people may see it: it may hold anything."""
    return shortened(printable(symbol).replace("\n", "\\n").replace("\t", "\\t"), _LONGEST_NAME) or "(empty)"


@cache
def environment() -> jinja2.Environment:
    """The templates; whatever they are given is escaped."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        **{
            each: getattr(number_texts, each)
            for each in ("whole", "price", "compact", "signed", "percent", "bps", "clock", "link", "week_day")
        },
        "name": name,
        "line": _line,
        "drawn": _drawn,
    }
    made.globals["lake"] = _TO_LAKE
    return made


def _drawn(svg: str) -> Markup:
    """A chart, in which there is no text of others."""
    return Markup(svg)  # noqa: S704 - and so it is safe


def _line(text: str | None) -> str:
    """A rejected line, or the file that it comes from."""
    flat = printable(shortened(text or "", _LONGEST_LINE)).replace("\n", " ").replace("\t", " ")
    return flat or number_texts.NOTHING


def _market_charts(numbers: Numbers, hours: charts.Hours) -> list[tuple[str, str, Markup]]:
    found: list[tuple[str, str, str]] = []
    if numbers.totals.shares:
        drawn = charts.volume_by_time(numbers.by_time, hours)
        found.append(("Volume", f"shares of all symbols, every {MINUTES} minutes", drawn))
    if any(moment.spread_bps is not None for moment in numbers.by_time):
        drawn = charts.spread_by_time(numbers.by_time, hours)
        found.append(("Spread", "median of all symbols, basis points of the mid price", drawn))
    if numbers.changes:
        found.append(("Changes", "symbols by change against the previous close, %", charts.changes(numbers.changes)))
    return [(title, unit, _drawn(svg)) for title, unit, svg in found]


def _or_none(number: int) -> str:
    return number_texts.whole(number) if number else "none"


def _greatest(numbers: Numbers) -> SymbolRow | None:
    movers = [*numbers.risers[:1], *numbers.fallers[:1]]
    return max(movers, key=lambda row: abs(row.change_pct or Decimal(0)), default=None)


def _files(manifests: Mapping[Table, Manifest]) -> list[dict[str, Any]]:
    return [
        {
            "path": table.path,
            "manifest": manifest,
            "pointer": f"{table.path}/_published/{manifest.trade_dt}.json",
            "linked": manifest.paths[:_FILES_LINKED],
            "more": max(0, len(manifest.paths) - _FILES_LINKED),
        }
        for table, manifest in manifests.items()
    ]
