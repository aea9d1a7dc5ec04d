"""What the contestants took, as tables, and beside the targets."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Literal

from benchmarks.day.contestants import Took
from benchmarks.timing import Findings, Measurement, Target
from capstone_dagster.cli.text_table import as_text
from spark_code.flow import STEPS

Way = Literal["warm", "cold"]


@dataclass
class Series:
    """What one contestant took in each round, in one way."""

    contestant: str
    way: Way
    events: int
    taken: list[Took] = field(default_factory=list)
    bytes: list[int] = field(default_factory=list)

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.contestant}, {self.way}"

    @property
    def seconds(self) -> list[float]:
        """Of whole days."""
        return [took.seconds for took in self.taken]

    def of(self, *steps: str) -> list[float]:
        """The seconds of these steps together."""
        return [sum(took.steps[step] for step in steps) for took in self.taken]

    def ratio(self, other: "Series") -> float:
        """How many times as long as the other, in the same rounds."""
        return median(one / two for one, two in zip(self.seconds, other.seconds, strict=True))

    def each(self, value: Callable[[Took], float]) -> float:
        """The median over the rounds."""
        return median(map(value, self.taken))

    def as_row(self) -> list[str]:
        """As the table shows it."""
        steps = [_spread(self.of(step.name)) if step.name in self.taken[0].steps else "-" for step in STEPS]
        cpu = self.each(lambda took: took.usage.cpu_seconds) / self.events * 1_000_000
        memory = max(took.usage.peak_gib for took in self.taken)
        return [
            self.name,
            *steps,
            _spread(self.seconds),
            f"{cpu:.2f}",
            f"{memory:.2f}",
            f"{median(self.bytes) / 1_000_000:.1f}" if self.bytes else "-",
        ]

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return {
            "contestant": self.contestant,
            "way": self.way,
            "seconds": self.seconds,
            "steps": [dict(took.steps) for took in self.taken],
            "cpu_seconds": [took.usage.cpu_seconds for took in self.taken],
            "peak_gib": [took.usage.peak_gib for took in self.taken],
            "peak_java_gib": [took.usage.peak_java_gib for took in self.taken],
            "bytes_written": self.bytes,
        }


@dataclass(frozen=True)
class DayFindings(Findings):
    """The targets, what every contestant took, and what was found of their rows."""

    series: Sequence[Series]
    rows: Sequence[str]

    def as_text(self) -> str:
        """Tables."""
        header = ["contestant", "ingest s", "eod s", "report s", "day s", "CPU s/M events", "peak GiB", "MB written"]
        parts = [as_text(header, [one.as_row() for one in self.series]), self._ratios(), "\n".join(self.rows)]
        return "\n\n".join([*parts, super().as_text()])

    def _ratios(self) -> str:
        tables = []
        for way in ("warm", "cold"):
            series = [one for one in self.series if one.way == way]
            rows = [[one.name, *(f"{one.ratio(other):.2f}" for other in series)] for one in series]
            tables.append(as_text(["times as long as", *(other.contestant for other in series)], rows))
        return "\n\n".join(tables)

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return super().as_json() | {"series": [one.as_json() for one in self.series], "rows": list(self.rows)}


def beside(baseline: Series, others: Mapping[str, tuple[Series, Target | None]], *steps: str) -> list[Measurement]:
    """A group: some steps of a contestant, or whole days, beside those of another."""

    def seconds(series: Series) -> list[float]:
        return series.of(*steps) if steps else series.seconds

    base, what = seconds(baseline), f": {' and '.join(steps)}" if steps else ""
    return [
        Measurement(f"{baseline.name}{what}", base, base, is_baseline_part=False),
        *(
            Measurement(f"{name}{what}", seconds(series), base, is_baseline_part=False, target=target)
            for name, (series, target) in others.items()
        ),
    ]


def _spread(seconds: Sequence[float]) -> str:
    return f"{median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"
