"""What the fault tests have counted, as a table: ``--report=FILE`` writes it, with any number of workers.

A test belongs to the faults that its marker names: ``@pytest.mark.faults("F1")``. It counts tries, compares rows and
searches for secrets with the fixture ``tally``. One that counts nothing is one try, which it survives if it passes.
``docs/reliability.md`` says what the faults are, and shows the table.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest

_FAULTS, _TALLY = "faults", "tally"
_HEAD = """\
| fault | criterion | tries | survived | rows lost | rows doubled | secrets seen |
|---|---|---:|---:|---:|---:|---:|
"""


@dataclass
class Tally:
    """What one test has counted."""

    tries: int = 0
    survived: int = 0
    rows: int = 0
    """Rows that had to be there. Rows and texts are those that were compared and searched."""
    lost: int = 0
    doubled: int = 0
    texts: int = 0
    secrets: int = 0

    def survive(self, times: int = 1) -> None:
        """Count tries that went as they must; the try in which the test fails is counted by itself."""
        self.tries += times
        self.survived += times

    def compare(self, found: Sequence[object], *allowed: Sequence[object]) -> None:
        """Compare rows, in any order, with those that had to be there, or with each of the states they may be in."""
        states, there = [Counter(map(repr, state)) for state in allowed], Counter(map(repr, found))
        nearest = min(states, key=lambda state: ((state - there) + (there - state)).total())
        self.rows += nearest.total()
        self.lost += (nearest - there).total()
        self.doubled += (there - nearest).total()
        assert there == nearest, f"lost: {nearest - there}, doubled or foreign: {there - nearest}"

    def search(self, texts: Mapping[str, str], secret: str) -> None:
        """Look for a secret in texts by the names of their places."""
        seen = [place for place, text in texts.items() if secret in text]
        self.texts += len(texts)
        self.secrets += len(seen)
        assert seen == []


_COUNTED = pytest.StashKey[Tally]()


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Tally:
    """What the test counts for the report."""
    item: pytest.Item = request.node
    return item.stash.setdefault(_COUNTED, Tally())


@dataclass
class _Line:
    tests: int = 0
    skipped: int = 0
    tally: Tally = field(default_factory=Tally)

    def add(self, counted: Tally) -> None:
        for name, value in asdict(counted).items():
            setattr(self.tally, name, getattr(self.tally, name) + value)

    def cells(self) -> list[str]:
        it = self.tally
        rows = [f"{it.lost:,} of {it.rows:,}", f"{it.doubled:,}"] if it.rows else ["", ""]
        return [f"{it.tries:,}", f"{it.survived:,}", *rows, f"{it.secrets} in {it.texts:,} texts" if it.texts else ""]


class FaultReport:
    """Gathers the reports of all workers, and writes the table when they have ended."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: dict[tuple[str, str], _Line] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        told: dict[str, Any] = dict(report.user_properties)
        for fault in told[_FAULTS]:
            line = self._lines.setdefault((fault, _criterion(report.nodeid)), _Line())
            if report.skipped:
                line.skipped += 1
            elif report.when == "call" or (report.when == "setup" and report.failed):
                line.tests += 1
                line.add(_ended(Tally(**told.get(_TALLY, {})), report.passed))

    def pytest_sessionfinish(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.write_text(self._text())

    def _text(self) -> str:
        ran = {key: line for key, line in self._lines.items() if line.tests}
        rows = (
            f"| {' | '.join([fault, criterion, *ran[fault, criterion].cells()])} |\n"
            for fault, criterion in sorted(ran, key=lambda key: (int(key[0].removeprefix("F")), key[1]))
        )
        skipped = sum(line.skipped for line in self._lines.values())
        left_out = f"\nSkipped: {skipped} test{'s' * (skipped > 1)}.\n" if skipped else ""
        return f"{_HEAD}{''.join(rows)}{left_out}"


def _criterion(nodeid: str) -> str:
    name = nodeid.partition("[")[0].rpartition("::")[2]
    return re.sub("^test_", "", name).replace("_", " ")


def _ended(counted: Tally, passed: bool) -> Tally:
    if not passed:
        counted.tries += 1
    elif not counted.tries:
        counted.survive()
    return counted


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--report", type=Path, help="write what the fault tests have counted to this file, as Markdown")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "faults(*names, sample): proves that a fault is survived; the names are those of docs/reliability.md. "
        "`make test` runs those with sample=True, `make test-faults` all of them",
    )
    path: Path | None = config.getoption("--report")
    if path and not hasattr(config, "workerinput"):
        config.pluginmanager.register(FaultReport(path))


def pytest_itemcollected(item: pytest.Item) -> None:
    names = {name for marker in item.iter_markers(_FAULTS) for name in marker.args}
    item.user_properties.append((_FAULTS, sorted(names)))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """The report of a test carries what it has counted."""
    if call.when == "call" and (counted := item.stash.get(_COUNTED, None)):
        item.user_properties.append((_TALLY, asdict(counted)))
