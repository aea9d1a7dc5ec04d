"""Files as vendors write them: under a name that is not data, and renamed when they are whole."""

import gzip
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from random import Random

from capstone_dagster.deliveries.sample import Sample
from capstone_dagster_tests.soak.plan import Delivery, Step
from spark_code.raw_files import SOURCES, SUCCESS, Source


class Vendor:
    """Delivers small invented days into a raw folder."""

    def __init__(self, seed: int, raw: Path, drafts: Path) -> None:
        self._random = Random(seed)  # noqa: S311 - nothing secret is drawn
        self._sample = Sample(symbols=2, events=120, seed=seed)
        self._raw = raw
        self._drafts = drafts
        self._corrections = 0

    def act(self, step: Step) -> None:
        """Deliver or correct what the step says."""
        assert step.day
        source = next(source for source in SOURCES if source.exchange == step.exchange)
        folder = self._raw / source.folder(step.day)
        folder.mkdir(parents=True, exist_ok=True)
        match step.what:
            case Delivery.COMPLETE | Delivery.UNMARKED:
                for name, content in self._files(source, step.day).items():
                    _put(folder / name, content)
                if step.what == Delivery.COMPLETE:
                    (folder / SUCCESS).touch()
            case Delivery.CORRECTION:
                self._corrections += 1
                later = f"{step.day} 21:{self._corrections % 60:02}:00.000"
                lines = [self._corrected(source, line, later) for line in self._lines(source, step.day, 5)]
                name = f"correction-{self._corrections}.gz"
                with _marked_anew(folder):
                    _put(folder / name, gzip.compress(_joined(lines)))
            case Delivery.REPLACEMENT:
                lines = self._lines(source, step.day, 40)
                with _marked_anew(folder):
                    _put(folder / self._part(source, step.day), _joined([*lines, b"a line of no meaning"]))

    def _files(self, source: Source, day: date) -> dict[str, bytes]:
        folder = self._drafts / source.folder(day)
        if not folder.exists():
            list(self._sample.write(str(self._drafts), day, 1))
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if not path.name.startswith("_")}

    def _lines(self, source: Source, day: date, number: int) -> list[bytes]:
        """Some lines of what was delivered on time."""
        lines = self._files(source, day)[self._part(source, day)].splitlines()
        return self._random.sample(lines, min(number, len(lines)))

    def _part(self, source: Source, day: date) -> str:
        """The name of the file that was delivered on time."""
        return next(name for name in self._files(source, day) if name.startswith("part-"))

    def _corrected(self, source: Source, line: bytes, arrival: str) -> bytes:
        """The same event with another price and a later arrival; a line that is no event stays as it is."""
        price = f"{self._random.uniform(90, 110):.2f}"
        try:
            if source.format == "json":
                record = json.loads(line)
                name = "price" if record["event_type"] == "T" else "bid_pr"
                return json.dumps(record | {"file_tm": arrival, name: float(price)}).encode()
            trade_dt, _, kind, symbol, event_tm, number, exchange, _, *rest = line.decode().split(",")
            return ",".join([trade_dt, arrival, kind, symbol, event_tm, number, exchange, price, *rest]).encode()
        except (ValueError, KeyError):
            return line


def _put(path: Path, content: bytes) -> None:
    draft = path.with_name(f"_{path.name}")
    draft.write_bytes(content)
    draft.rename(path)


@contextmanager
def _marked_anew(folder: Path) -> Iterator[None]:
    """The marker, if there is one, goes before a correction, and comes back after it."""
    marker = folder / SUCCESS
    had_marker = marker.exists()
    marker.unlink(missing_ok=True)
    yield
    if had_marker:
        marker.touch()


def _joined(lines: list[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)
