"""Within which limits a day's measures are expected, and what a measure beyond them means.

Limits are text, such as ``crossed_ratio=0.02 rejected_ratio=0.1:error volume=0.5..2 zero_ratio=off``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_HALF_UP, Context, Decimal, InvalidOperation
from enum import StrEnum
from statistics import median
from typing import Self

from spark_code.errors import ExpectedError
from spark_code.quality_measures import MEASURES, Measure, Sums, percent

# The days before that a median is of, and how many of them there must be.
PAST_DAYS, FEWEST_PAST_DAYS = 20, 5
# Sums of absurd sizes, too, must not stop a day.
_SIX_DECIMALS, _EXACT = Decimal("0.000001"), Context(prec=38)
_HIGHEST_LIMIT = 10**12
_NAMES = [measure.name for measure in MEASURES]


class Verdict(StrEnum):
    """What a measure says of its day."""

    OK = "ok"
    WARN = "warn"
    ERROR = "error"
    UNKNOWN = "unknown"


# What deserves a look.
BEYOND_LIMITS = (Verdict.WARN, Verdict.ERROR)


class LimitsError(ExpectedError):
    """A text of limits that cannot be used."""


class BadDayError(ExpectedError):
    """A measure is beyond a limit that stops its day."""


@dataclass(frozen=True)
class Limit:
    """The lowest and the highest value that is expected; None: any."""

    low: Decimal | None = None
    high: Decimal | None = None
    of_median: bool = False
    """Whether both are multiples of the median of the days before."""
    stops: bool = False
    """Whether a value beyond them stops the day."""


# Why these: see docs/data_flow.md.
DEFAULT_LIMITS: Mapping[str, Limit] = {
    **{name: Limit(Decimal("0.3"), Decimal(3), of_median=True) for name in ("lines", "trades", "quotes", "volume")},
    "rejected_ratio": Limit(high=Decimal("0.05")),
    "unknown_fields": Limit(high=Decimal(0)),
    "sequence_repeated": Limit(high=Decimal(0)),
    "trades_outside_hours_ratio": Limit(high=Decimal("0.1")),
    "quotes_outside_hours_ratio": Limit(high=Decimal("0.1")),
    "crossed_ratio": Limit(high=Decimal("0.01")),
    "locked_ratio": Limit(high=Decimal("0.05")),
    "zero_ratio": Limit(high=Decimal("0.01")),
    "one_sided_ratio": Limit(high=Decimal("0.05")),
    "quotes_without_close_ratio": Limit(high=Decimal("0.05")),
    "vanished_symbols": Limit(high=Decimal(0)),
    "jump_at_open": Limit(high=Decimal("0.5")),
    "jump_in_day": Limit(high=Decimal("0.5")),
}


@dataclass(frozen=True)
class Limits:
    """The limit of each measure; a measure without one is only told."""

    of: Mapping[str, Limit] = field(default_factory=lambda: DEFAULT_LIMITS)

    @classmethod
    def parse(cls, text: str, max_reject_ratio: float | None = None) -> Self:
        """Read ``MEASURE=HIGH``, ``MEASURE=LOW..HIGH``, either with ``:error`` at its end, or ``MEASURE=off``."""
        limits = dict(DEFAULT_LIMITS)
        if max_reject_ratio is not None:
            limits["rejected_ratio"] = Limit(high=Decimal(f"{max_reject_ratio}"))
        for part in text.split():
            name, _, given = part.partition("=")
            if name not in _NAMES:
                raise LimitsError(f"{name!r} is no measure of a day's quality; they are {', '.join(_NAMES)}")
            limits.pop(name, None)
            if given != "off":
                of_median = name in DEFAULT_LIMITS and DEFAULT_LIMITS[name].of_median
                limits[name] = replace(_limit(part, given), of_median=of_median)
        return cls(limits)


def _limit(part: str, text: str) -> Limit:
    span, _, severity = text.partition(":")
    low, dots, high = span.rpartition("..")
    try:
        limit = Limit(Decimal(low) if dots else None, Decimal(high), stops=severity == "error")
    except InvalidOperation:
        limit = Limit()
    bounds = [bound for bound in (limit.low, limit.high) if bound is not None]
    is_right = (
        limit.high is not None
        and all(bound.is_finite() and abs(bound) <= _HIGHEST_LIMIT for bound in bounds)
        and bounds == sorted(bounds)
    )
    if not is_right or severity not in ("", "warn", "error"):
        raise LimitsError(f"{part!r} is no limit; write NAME=0.05, NAME=0.5..2, NAME=0.05:error or NAME=off")
    return limit


@dataclass(frozen=True)
class Judged:
    """What a measure has come to."""

    value: Decimal | None
    low: Decimal | None
    high: Decimal | None
    stops: bool
    verdict: Verdict
    sentence: str


def judge(measure: Measure, sums: Sums, limit: Limit | None, past: Sequence[int]) -> Judged:
    """Compare a measure with its limit, and with what it was on the days before."""
    value = measure.value(sums)
    exact = None if value is None else _rounded(Decimal(value))
    says, limit = measure.says(sums), limit or Limit()
    low, high = (None if bound is None else _rounded(bound) for bound in (limit.low, limit.high))
    verdict = Verdict.OK
    if exact is None:
        verdict = Verdict.UNKNOWN
    elif limit.of_median and len(past) < FEWEST_PAST_DAYS:
        low, high, verdict = None, None, Verdict.UNKNOWN
        says = f"{says}; what is usual is known from {FEWEST_PAST_DAYS} days before on, and there are {len(past)}"
    else:
        if limit.of_median:
            usual = Decimal(median(past))
            low, high = (None if bound is None else _rounded(_EXACT.multiply(bound, usual)) for bound in (low, high))
            says = f"{says} (the median of {len(past)} days before is {usual:,.0f})"
        if (low is not None and exact < low) or (high is not None and exact > high):
            verdict = Verdict.ERROR if limit.stops else Verdict.WARN
            says = f"{says}; expected {_expected(measure, low, high)}"
    return Judged(exact, low, high, limit.stops, verdict, says)


def _expected(measure: Measure, low: Decimal | None, high: Decimal | None) -> str:
    bounds = ["" if bound is None else _shown(measure, bound) for bound in (low, high)]
    return f"{bounds[0]} to {bounds[1]}" if bounds[0] else f"at most {bounds[1]}"


def _shown(measure: Measure, bound: Decimal) -> str:
    if measure.name.endswith("_ratio") or measure.name.startswith("jump_"):
        return percent(bound)
    return f"{bound.normalize():,f}"


def _rounded(exact: Decimal) -> Decimal:
    return exact.quantize(_SIX_DECIMALS, ROUND_HALF_UP, _EXACT)


# Whose values of the days before are needed.
OF_MEDIAN: Sequence[str] = [name for name, limit in DEFAULT_LIMITS.items() if limit.of_median]
