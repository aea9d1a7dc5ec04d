"""Draws Vega-Lite specifications as inline SVG by vl-convert, without network or browser: style, size, hover text.

Colours are the page's CSS variables, so charts follow light, dark and print. Nothing here knows what is drawn.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import vl_convert

Spec = dict[str, Any]

_FONT = "system-ui, sans-serif"
_CONFIG: Spec = {
    "aria": False,
    "background": None,
    "font": _FONT,
    "view": {"stroke": None},
    "axis": {
        "aria": False,
        "domain": False,
        "ticks": False,
        "title": None,
        "gridColor": "var(--grid)",
        "labelColor": "var(--muted)",
        "labelFont": _FONT,
        "labelFontSize": 11,
        "labelPadding": 6,
    },
    "line": {"strokeWidth": 1.5, "strokeJoin": "round"},
}
# The width of a plot, and the room around it for letters: together as wide as a card on a phone, so that letters keep
# their size.
_WIDTH, _LEFT, _TOP, _RIGHT, _BOTTOM = 300, 54, 8, 6, 24
# Between two plots above each other, with the title of the lower one.
_GAP, _TITLE = 30, 12

_TAG = re.compile(r"<[^>]*>")
_HOVERED = re.compile(r'<path aria-label="([^"]*)"[^>]*?( d="[^"]*")[^>]*?/>')
_ROOT = re.compile(r'<svg [^>]*><g [^>]*transform="translate\([^)]*\)"[^>]*>')
_NEEDLESS = re.compile(r' (?:aria-[a-z]+|role|pointer-events|class)="[^"]*"')
_EMPTY = re.compile(r'<path(?: d="M0,0h[\d.]*v[\d.]*h-?[\d.]*Z"| d=""| display="none")+\s*/>|<g></g>')
_DECIMALS = re.compile(r"(\d\.\d)\d+")


def hover(x: Spec, x2: str = "to", says: str = "says") -> Spec:
    """A layer that is not seen, as high as the plot: wherever the pointer is, it says the text of that place."""
    return {
        "mark": {"type": "rect", "opacity": 0, "aria": True},
        "encoding": {"x": x, "x2": {"field": x2}, "description": {"field": says}},
    }


def panel(height: int, *layers: Spec, title: str | None = None, width: int = _WIDTH) -> Spec:
    """One plot; its title is at the same place, whatever the letters of its axes take."""
    layers = (*layers, _title(title)) if title else layers
    return {"width": width, "height": height, "layer": list(layers), **({"description": title} if title else {})}


def _title(text: str) -> Spec:
    place = {"x": {"value": 0}, "y": {"value": -7}}
    mark = {
        "type": "text",
        "text": text,
        "align": "left",
        "baseline": "bottom",
        "fontSize": 11,
        "color": "var(--muted)",
    }
    return {"data": {"values": [{}]}, "mark": mark, "encoding": place}


def draw(rows: Sequence[Mapping[str, Any]], *panels: Spec) -> str:
    """Plots above each other of the same rows.

    All drawings of the same plots are equally large, whatever room their letters have taken.
    """
    layout = {"vconcat": list(panels), "spacing": _GAP, "bounds": "flush"}
    drawn = vl_convert.vegalite_to_svg({"data": {"values": list(rows)}, **layout, "config": _CONFIG}, vl_version="5.20")
    width, height = panels[0]["width"], sum(each["height"] for each in panels) + _GAP * (len(panels) - 1)
    top = _TOP + (_TITLE if "description" in panels[0] else 0)
    view = f"{-_LEFT} {-top} {_LEFT + width + _RIGHT} {top + height + _BOTTOM}"
    root = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{view}" aria-hidden="true"><g fill="none">'
    return _ROOT.sub(root, _lean(drawn), count=1)


def _lean(svg: str) -> str:
    """Hover texts as titles, no text for screen readers, few digits, nothing empty."""
    says: list[str] = []

    def hovered(found: re.Match[str]) -> str:
        says.append(found[1])
        return f'<path{found[2]} fill-opacity="0" data-says="{len(says) - 1}"/>'

    lean = _HOVERED.sub(hovered, svg)
    lean = _TAG.sub(lambda tag: _DECIMALS.sub(r"\1", _NEEDLESS.sub("", tag[0])), lean)
    while (fewer := _EMPTY.sub("", lean)) != lean:
        lean = fewer
    return re.sub(r' data-says="(\d+)"/>', lambda found: f"><title>{says[int(found[1])]}</title></path>", lean)
