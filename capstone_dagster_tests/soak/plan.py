"""What happens when in a soak: the same seed draws the same plan."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from random import Random

from capstone_dagster.trading_days import trading_days
from spark_code.raw_files import SOURCES

FIRST_DAY = date(2020, 8, 3)


class Delivery(StrEnum):
    """What a vendor does."""

    COMPLETE = "deliver, with _SUCCESS"
    UNMARKED = "deliver, without _SUCCESS"
    CORRECTION = "correct by a further file"
    REPLACEMENT = "replace a file"


class Fault(StrEnum):
    """What goes wrong."""

    KILL_RUN = "kill the process of a run"
    KILL_JVM = "kill the JVM of a run"
    KILL_DAEMON = "kill the daemon"
    KILL_WEBSERVER = "kill the webserver"
    KILL_DATABASE = "kill the database"
    KILL_ALL = "kill capstone dev and all that it has started"
    INTERRUPT = "Ctrl-C"
    FULL_DISK = "fill the disk of the lake"
    S3_BUSY = "S3 is busy"
    S3_BREAKS = "S3 breaks connections"


ON_DISK = tuple(fault for fault in Fault if fault not in (Fault.S3_BUSY, Fault.S3_BREAKS))
ON_S3 = tuple(fault for fault in Fault if fault != Fault.FULL_DISK)
# They need a run, and hit it at a moment of its own.
OF_A_RUN = (Fault.KILL_RUN, Fault.KILL_JVM, Fault.FULL_DISK, Fault.S3_BUSY, Fault.S3_BREAKS)


@dataclass(frozen=True, order=True)
class Step:
    """One thing that happens."""

    at: float
    """Seconds after the start."""
    what: Delivery | Fault
    day: date | None = None
    exchange: str = ""
    wait: float = 0.0
    """How many seconds of a run a fault waits for, before it hits it."""

    def __str__(self) -> str:
        of = f" {self.day} {self.exchange}" if self.day else ""
        wait = f", {self.wait:.0f} s after a run was seen" if self.wait else ""
        return f"{self.at:6.0f} s  {self.what}{of}{wait}"


def days_of(number: int) -> list[date]:
    """The trading days of a soak."""
    last = FIRST_DAY
    for _ in range(number - 1):
        last = trading_days(FIRST_DAY).next(last) or last
    return trading_days(FIRST_DAY).parse(f"{FIRST_DAY}..{last}")


def draw(seed: int, days: int, seconds: float, faults: Sequence[Fault]) -> list[Step]:
    """Everything that happens, in its order."""
    random = Random(seed)  # noqa: S311 - nothing secret is drawn
    return sorted([*_deliveries(random, days_of(days), seconds), *_faults(random, seconds, faults)])


def _deliveries(random: Random, days: Sequence[date], seconds: float) -> Iterator[Step]:
    """The days arrive one after another in the first two thirds; some exchanges are late, and some days corrected."""
    for number, day in enumerate(days):
        arrives = seconds * 0.65 * number / len(days)
        for source in SOURCES:
            late = random.uniform(0.05, 0.2) * seconds if random.random() < 0.15 else 0
            how = random.choice([Delivery.COMPLETE, Delivery.COMPLETE, Delivery.UNMARKED])
            yield Step(arrives + late, how, day, source.exchange)
            if random.random() < 0.2:
                how = random.choice([Delivery.CORRECTION, Delivery.REPLACEMENT])
                yield Step(arrives + late + random.uniform(0.02, 0.2) * seconds, how, day, source.exchange)


def _faults(random: Random, seconds: float, faults: Sequence[Fault]) -> Iterator[Step]:
    """Each fault at least once, and one about every half minute; the end is quiet, so that growth can be seen."""
    drawn = [*faults, *random.choices(faults, k=max(0, int(seconds / 30) - len(faults)))]
    for fault in drawn:
        wait = random.uniform(0, 15) if fault in OF_A_RUN else 0
        yield Step(random.uniform(0.05, 0.75) * seconds, fault, wait=wait)
