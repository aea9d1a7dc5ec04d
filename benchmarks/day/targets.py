"""What a trading day may cost, beside the others."""

from collections.abc import Iterator, Mapping

from benchmarks.day.contestants import Way
from benchmarks.day.results import Series, beside
from benchmarks.timing import Measurement, Target

OURS, EDGES, BEFORE = "capstone", "edges alone", "before"
PLAIN, CONTRACT, PYSPARK = "DuckDB plain", "DuckDB contract", "PySpark plain"

AllSeries = Mapping[tuple[str, Way], Series]

# Smaller days are mostly start and compilation: their targets are multiples of the start of a plain PySpark session.
BIG = 1_000_000
_START_SECONDS = 4.5
_FRESH, _FURTHER = 12 / _START_SECONDS, 3 / _START_SECONDS
_DRIVER_GB = 3.0

# Whose days ours are compared with, in which way, and how many times as long they may take.
_OF_BIG_DAYS: tuple[tuple[str, Way, float], ...] = (
    (PLAIN, "warm", 3.0),
    (CONTRACT, "warm", 1.0),
    (PLAIN, "cold", 5.0),
    (PYSPARK, "cold", 1.0),
    (PYSPARK, "warm", 1.0),
)


def groups(series: AllSeries, events: int) -> list[list[Measurement]]:
    """Every group that the series allow, the baseline first."""
    return [*(_of_big_days(series) if events >= BIG else _of_small_days(series)), *_of_all_days(series)]


def _of_big_days(series: AllSeries) -> Iterator[list[Measurement]]:
    for other, way, most in _OF_BIG_DAYS:
        if {(OURS, way), (other, way)} <= series.keys():
            yield beside(series[other, way], series[OURS, way], Target(most, "ratio"))


def _of_small_days(series: AllSeries) -> Iterator[list[Measurement]]:
    if {(OURS, "cold"), (OURS, "warm"), (PYSPARK, "cold")} <= series.keys():
        starts = series[PYSPARK, "cold"].seconds("start")
        yield [
            Measurement("start of a plain PySpark session", starts, starts, is_baseline_part=False),
            *(
                Measurement(
                    f"{OURS}, {what}", one.seconds(), starts, is_baseline_part=False, target=Target(most, "ratio")
                )
                for what, one, most in (
                    ("fresh process", series[OURS, "cold"], _FRESH),
                    ("each further day", series[OURS, "warm"], _FURTHER),
                )
            ),
        ]


def _of_all_days(series: AllSeries) -> Iterator[list[Measurement]]:
    if {(OURS, "warm"), (BEFORE, "warm")} <= series.keys():
        before, now = series[BEFORE, "warm"], series[OURS, "warm"]
        yield beside(before, now, None)
        yield beside(before, now, Target(1 / 3, "ratio"), "ingested__events")
        yield beside(before, now, Target(1 / 2, "ratio"), "eod", "report")
    if {(OURS, "cold"), (BEFORE, "cold")} <= series.keys():
        yield beside(series[BEFORE, "cold"], series[OURS, "cold"], None)
    if {(OURS, "cold"), (EDGES, "cold")} <= series.keys():
        yield beside(series[EDGES, "cold"], series[OURS, "cold"], Target(2.0, "own"), is_baseline_part=True)
    if {(f"{OURS} skewed", "warm"), (OURS, "warm")} <= series.keys():
        yield beside(series[OURS, "warm"], series[f"{OURS} skewed", "warm"], Target(1.3, "ratio"))


def memory(series: AllSeries, events: int) -> list[str]:
    """What the driver of a fresh process needs."""
    if (OURS, "cold") not in series:
        return []
    peak = series[OURS, "cold"].peak_java_gib * 1024**3 / 1000**3
    target = (
        f", target at most {_DRIVER_GB:g} GB: {'met' if peak <= _DRIVER_GB else 'NOT met'}" if events >= BIG else ""
    )
    return [f"peak memory of the driver of {OURS}, cold: {peak:.2f} GB{target}"]


def curve(series: AllSeries) -> list[str]:
    """What an event costs in the largest day, beside one of a tenth of its size."""
    if (OURS, "warm") not in series:
        return []
    costs = {took.events: took.seconds / took.events for took in series[OURS, "warm"].taken}
    largest = max(costs)
    if largest // 10 not in costs:
        return []
    ratio = costs[largest] / costs[largest // 10]
    return [f"{OURS}: an event of a day of {largest:,} costs {ratio:.2f} times one of {largest // 10:,}; target 1.0"]
