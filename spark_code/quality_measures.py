"""What is measured of a day's quality, and the sentence that says it.

Plain Python over the sums of one exchange: ``quality`` computes them, and ``quality_limits`` judges the measures.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from spark_code.schemas import CLOSES, EVENTS, QUOTES, TRADES, Reject, Table

_NAMES_SHOWN = 5
# A feed may write anything as a name.
_LONGEST_NAME = 40
_NO_CLOSES = "there are no closes of the day before to compare with"


@dataclass(frozen=True)
class Sums:
    """What one exchange's day adds up to: the columns of ``quality``, and what only manifests know."""

    of: Mapping[str, Any]
    field_names: Sequence[str] | None
    """Those that the contract does not know; None where an older release has ingested the day."""
    has_closes: bool
    """Whether there are closes of the day before."""

    def __getitem__(self, name: str) -> Any:
        return self.of[name]

    @property
    def rejected_by_reason(self) -> dict[str, int]:
        """The reasons that occurred, the most frequent first."""
        counts = {reason.value: self[f"rejected_{reason}"] for reason in Reject}
        return dict(sorted(((name, n) for name, n in counts.items() if n), key=lambda item: (-item[1], item[0])))


@dataclass(frozen=True)
class Measure:
    """One number about one exchange's day, and what people read about it."""

    subject: Table
    name: str
    value: Callable[[Sums], int | Decimal | None]
    """None where it cannot be known."""
    says: Callable[[Sums], str]


def percent(ratio: Decimal) -> str:
    """A share as people read it: 10.1 %."""
    percents = float(ratio * 100)
    return f"{percents:,.0f} %" if percents >= 100 else f"{percents:.3g} %"


def _named(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}..."


def _ratio(part: int, whole: int) -> Decimal:
    return Decimal(part) / whole if whole else Decimal(0)


def _shares(  # noqa: PLR0913 - what most of them do not need comes last
    subject: Table,
    name: str,
    whole: str,
    what: str,
    more: Callable[[Sums], str] = lambda _: "",
    *,
    needs_closes: bool = False,
) -> list[Measure]:
    """How many of the whole are such, and the ratio."""

    def is_known(sums: Sums) -> bool:
        return sums.has_closes or not needs_closes

    def says(sums: Sums) -> str:
        if not is_known(sums):
            return _NO_CLOSES
        of_all = f"{sums[name]:,} of {sums[whole]:,} {whole}"
        return f"{of_all} {what} ({percent(_ratio(sums[name], sums[whole]))}){more(sums)}"

    return [
        Measure(subject, name, lambda sums: sums[name] if is_known(sums) else None, says),
        Measure(
            subject, f"{name}_ratio", lambda sums: _ratio(sums[name], sums[whole]) if is_known(sums) else None, says
        ),
    ]


def _count(subject: Table, name: str, what: str) -> Measure:
    return Measure(subject, name, lambda sums: sums[name], lambda sums: f"{sums[name]:,} {what}")


def _mostly(sums: Sums) -> str:
    return "".join(f", mostly {reason}" for reason in list(sums.rejected_by_reason)[:1])


def _of_closes(name: str, what: str) -> Measure:
    """How many symbols, of which the first is named."""

    def says(sums: Sums) -> str:
        if not sums.has_closes:
            return _NO_CLOSES
        named = f", the first of them {_named(sums[f'first_{name}'])}" if sums[name] else ""
        return f"{sums[name]:,} symbols {what}{named}"

    return Measure(CLOSES, name, lambda sums: sums[name] if sums.has_closes else None, says)


def _jump(name: str, what: str, *, of_closes: bool) -> Measure:
    """The greatest change of a price, and whose it was."""

    def change(sums: Sums) -> Decimal | None:
        if (of_closes and not sums.has_closes) or sums[name] is None:
            return None
        _, before, after, *_ = sums[name]
        return Decimal(abs(after - before) / before)

    def says(sums: Sums) -> str:
        if of_closes and not sums.has_closes:
            return _NO_CLOSES
        if sums[name] is None:
            return "there is no price to compare"
        symbol, before, after, *unadjusted = sums[name]
        adjusted = "n adjusted" if unadjusted and unadjusted[0] != before else ""
        moved = what.format(before=f"{before.normalize():f}", after=f"{after.normalize():f}", adjusted=adjusted)
        return f"{_named(symbol)} {moved} ({percent(change(sums) or Decimal(0))})"

    return Measure(CLOSES, name, change, says)


def _how_many_fields(sums: Sums) -> int | None:
    return None if sums.field_names is None else len(sums.field_names)


def _which_fields(sums: Sums) -> str:
    if sums.field_names is None:
        return "an older release has ingested the day: it did not look for unknown fields"
    names = ", ".join(map(_named, sums.field_names[:_NAMES_SHOWN]))
    return f"{len(sums.field_names)} fields that the contract does not know" + (f": {names}" if names else "")


# In the order in which people look at a day.
MEASURES: Sequence[Measure] = (
    _count(EVENTS, "lines", "lines"),
    *_shares(EVENTS, "rejected", "lines", "rejected", _mostly),
    *(
        measure
        for reason in Reject
        for measure in _shares(EVENTS, f"rejected_{reason}", "lines", f"rejected as {reason}")
    ),
    Measure(EVENTS, "unknown_fields", _how_many_fields, _which_fields),
    _count(EVENTS, "superseded", "events replaced by a later arrival"),
    _count(EVENTS, "late", "events arrived after their trading day"),
    _count(EVENTS, "sequence_missing", "sequence numbers missing between the first and the last of their symbol"),
    _count(EVENTS, "sequence_repeated", "events with a sequence number that another event of their symbol has"),
    _count(TRADES, "trades", "trades"),
    _count(TRADES, "volume", "shares traded"),
    *_shares(TRADES, "trades_outside_hours", "trades", "outside trading hours"),
    _count(QUOTES, "quotes", "quotes"),
    *_shares(QUOTES, "quotes_outside_hours", "quotes", "outside trading hours"),
    *_shares(QUOTES, "crossed", "quotes", "crossed (bid above ask)"),
    *_shares(QUOTES, "locked", "quotes", "locked (bid equal to ask)"),
    *_shares(QUOTES, "zero", "quotes", "without a price on either side"),
    *_shares(QUOTES, "one_sided", "quotes", "with a price on one side only"),
    _count(CLOSES, "symbols", "symbols seen"),
    _of_closes("vanished_symbols", "traded the day before and are not seen"),
    _of_closes("new_symbols", "trade that did not the day before"),
    *_shares(
        CLOSES, "quotes_without_close", "quotes", "of symbols without a close of the day before", needs_closes=True
    ),
    _jump("jump_at_open", "opens at {after} after a{adjusted} close of {before}", of_closes=True),
    _jump("jump_in_day", "trades between {before} and {after}", of_closes=False),
)
