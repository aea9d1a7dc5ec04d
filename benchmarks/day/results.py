"""What the contestants took, as tables."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.day.contestants import Took, Way
from benchmarks.timing import Findings, Measurement, Target
from capstone_dagster.cli.text_table import as_text
from spark_code.flow import STEPS


@dataclass
class Series:
    """What one contestant took in each round, in one way."""

    contestant: str
    way: Way
    taken: list[Took] = field(default_factory=list)

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.contestant}, {self.way}"

    def seconds(self, *steps: str) -> list[float]:
        """Of whole days, or of these steps together."""
        return [sum(took.steps.get(step, 0.0) for step in steps) if steps else took.seconds for took in self.taken]

    def ratio(self, other: "Series") -> float:
        """How many times as long as the other, in the same rounds."""
        return median(one / two for one, two in zip(self.seconds(), other.seconds(), strict=True))

    @property
    def peak_java_gib(self) -> float:
        """The most that the driver has needed."""
        return max(took.usage.peak_java_gib for took in self.taken)

    def as_row(self) -> list[str]:
        """As the table shows it."""
        steps = [_spread(self.seconds(step.name)) if self.taken[0].steps else "-" for step in STEPS]
        return [
            self.name,
            *steps,
            _spread(self.seconds()),
            f"{median(took.usage.cpu_seconds / took.events for took in self.taken) * 1_000_000:.1f}",
            f"{max(took.usage.peak_gib for took in self.taken):.2f}",
            f"{median(took.bytes for took in self.taken) / 1_000_000:.1f}",
        ]

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {
            "contestant": self.contestant,
            "way": self.way,
            "events": [took.events for took in self.taken],
            "seconds": self.seconds(),
            "steps": [dict(took.steps) for took in self.taken],
            "cpu_seconds": [took.usage.cpu_seconds for took in self.taken],
            "peak_gib": [took.usage.peak_gib for took in self.taken],
            "peak_java_gib": [took.usage.peak_java_gib for took in self.taken],
            "bytes_written": [took.bytes for took in self.taken],
        }


@dataclass(frozen=True)
class DayFindings(Findings):
    """What every contestant took, what was found of their rows, and the targets."""

    series: Sequence[Series]
    rows: Sequence[str]
    is_curve: bool

    def as_text(self) -> str:
        """Tables."""
        parts = [self._curve()] if self.is_curve else [self._table(), self._ratios("warm"), self._ratios("cold")]
        return "\n\n".join(part for part in (*parts, "\n".join(self.rows), self.groups and super().as_text()) if part)

    def _table(self) -> str:
        steps = [f"{step.name.partition('__')[0]} s" for step in STEPS]
        header = ["contestant", *steps, "day s", "CPU s/M events", "peak GiB", "MB written"]
        return as_text(header, [one.as_row() for one in self.series])

    def _ratios(self, way: Way) -> str:
        series = [one for one in self.series if one.way == way]
        rows = [[one.contestant, *(f"{one.ratio(other):.2f}" for other in series)] for one in series]
        header = [f"{way}: times as long as", *(other.contestant for other in series)]
        return as_text(header, rows) if rows else ""

    def _curve(self) -> str:
        sizes = [took.events for took in self.series[0].taken]
        rows = [
            [one.name, *(f"{took.seconds / took.events * 1_000_000:.2f}" for took in one.taken)] for one in self.series
        ]
        return as_text(["seconds per million events", *(f"{size / 1_000_000:g} M" for size in sizes)], rows)

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return super().as_json() | {"series": [one.as_json() for one in self.series], "rows": list(self.rows)}


def beside(
    baseline: Series, other: Series, target: Target | None, *steps: str, is_baseline_part: bool = False
) -> list[Measurement]:
    """A group: some steps of a contestant, or whole days, beside those of another."""
    base, what = baseline.seconds(*steps), f": {' and '.join(steps)}" if steps else ""
    return [
        Measurement(f"{baseline.name}{what}", base, base, is_baseline_part=is_baseline_part),
        Measurement(f"{other.name}{what}", other.seconds(*steps), base, is_baseline_part, target),
    ]


def _spread(seconds: Sequence[float]) -> str:
    return f"{median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"
