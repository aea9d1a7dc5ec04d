"""The report of the fault tests, written by a pytest of its own with two workers."""

import re
import subprocess
import sys
from pathlib import Path

from capstone_dagster.settings import CHECKOUT

TESTS = """
import pytest

@pytest.mark.faults("F2", "F15", sample=True)
@pytest.mark.parametrize("number", [1, 2])
def test_a_day_is_run_once(number):
    pass

@pytest.mark.faults("F1")
def test_no_row_is_lost(tally):
    tally.survive(3)
    tally.compare(["a", "b"], ["b", "a"])
    tally.compare(["a"], ["c", "d"], ["a"])
    tally.compare(["a", "a", "c"], ["a", "b", "d"])

@pytest.mark.faults("F14")
def test_no_secret_shows(tally):
    tally.search({"log": "nothing"}, "canary")
    tally.search({"log": "a canary", "page": "nothing"}, "canary")

@pytest.mark.faults("F16")
def test_left_out():
    pytest.skip("no disk")

def test_of_no_fault():
    pass
"""
WRITTEN = """\
| fault | criterion | tries | survived | rows lost | rows doubled | secrets seen |
|---|---|---:|---:|---:|---:|---:|
| F1 | no row is lost | 4 | 3 | 2 of 6 | 2 |  |
| F2 | a day is run once | 2 | 2 |  |  |  |
| F14 | no secret shows | 1 | 0 |  |  | 1 in 3 texts |
| F15 | a day is run once | 2 | 2 |  |  |  |

Skipped: 1 test.
"""


def test_tries_rows_and_secrets_are_those_of_all_workers_also_of_tests_that_fail(tmp_path: Path) -> None:
    (tmp_path / "test_some.py").write_text(TESTS)
    plugin = ["-p", "capstone_dagster_tests.fault_report", "-p", "no:cacheprovider"]

    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *plugin, "-n", "2", f"--rootdir={tmp_path}", "--report=made/report.md", "."],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )

    assert "2 failed, 3 passed, 1 skipped" in ran.stdout, ran.stdout + ran.stderr
    assert (tmp_path / "made" / "report.md").read_text() == WRITTEN


def test_every_fault_of_the_page_has_tests_and_no_test_or_result_has_another() -> None:
    page = (CHECKOUT / "docs" / "reliability.md").read_text()
    promises, _, results = page.partition("## The latest report")
    sources = "".join(path.read_text() for path in Path(__file__).parent.rglob("*.py") if path != Path(__file__))
    marked = set(re.findall(r'"(F\d+)"', " ".join(re.findall(r"mark\.faults\((.*?)\)", sources))))

    assert marked == set(re.findall(r"^\| (F\d+) ", promises, re.MULTILINE))
    assert marked >= set(re.findall(r"^\| (F\d+) ", results, re.MULTILINE))
