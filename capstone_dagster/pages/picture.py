"""The picture of a day: its volume by time, as one path of SVG, small enough for a list or a cell.

Only numbers enter it.
"""

from base64 import b64encode
from collections.abc import Sequence

from capstone_dagster.pages.charts import Hours
from capstone_dagster.pages.number_texts import clock
from capstone_dagster.pages.numbers import MINUTES, Moment

_WIDE, _HIGH, _LETTERS = 156, 28, 6
# More would be too long for a cell.
_MOST_BARS = 80
# Blue and grey that can be seen on a light and on a dark page.
_BARS, _TEXT = "#4a86c5", "#888"


def picture(moments: Sequence[Moment], hours: Hours) -> str:
    """For a page, in the colour of its text."""
    return _svg(f'0 0 {_WIDE} {_HIGH}" aria-hidden="true', _bars(moments, hours, "currentColor"))


def picture_in_markdown(moments: Sequence[Moment], hours: Hours) -> str:
    """For Dagster's UI, with its hours. The UI shows Markdown of less than 1,000 characters without a click."""
    low = f'y="{_HIGH + _LETTERS - 1}"'
    first, last = f"<text {low}>{clock(hours.first)}", f'<text {low} x="{_WIDE}" text-anchor="end">{clock(hours.last)}'
    texts = f'<g font-family="sans-serif" font-size="{_LETTERS}" fill="{_TEXT}">{first}</text>{last}</text></g>'
    view = f'0 0 {_WIDE} {_HIGH + _LETTERS}" width="{2 * _WIDE}'
    # In base64 no character can end the image or begin anything else.
    drawn = b64encode(_svg(view, _bars(moments, hours, _BARS) + texts).encode()).decode()
    return f"![volume through the day](data:image/svg+xml;base64,{drawn})"


def _svg(view: str, content: str) -> str:
    return f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{view}">{content}</svg>'


def _bars(moments: Sequence[Moment], hours: Hours, colour: str) -> str:
    minutes = MINUTES * -(-(hours.last - hours.first) // (_MOST_BARS * MINUTES))
    shares = [0] * -(-(hours.last - hours.first) // minutes)
    for moment in moments:
        shares[(moment.minute - hours.first) // minutes] += moment.shares
    most = max(shares) or 1
    steps = "".join(f"V{_HIGH - round(_HIGH * each / most)}h1" for each in shares)
    return f'<path fill="{colour}" transform="scale({_WIDE / len(shares):.4g} 1)" d="M0 {_HIGH}{steps}V{_HIGH}Z"/>'
