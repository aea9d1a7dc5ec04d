"""Files of an exchange that has changed their fields: new ones and another order are read, other types stop the day."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from capstone_dagster_tests.fault_report import Tally
from capstone_dagster_tests.servers.platform import Platform, Rows
from capstone_dagster_tests.whole_platform.faults.conftest import DAY
from spark_code.schemas import EVENTS, QUOTE_ANALYTICS

Event = dict[str, Any]


def change(platform: Platform, revise: Callable[[Event], Event]) -> None:
    """Change every event of NASDAQ but its corrections; what is none stays."""
    for path in (platform.raw / f"json/{DAY}/NASDAQ").glob("*.json"):
        lines = path.read_text().splitlines()
        path.write_text("".join(f"{revised(line, revise)}\n" for line in lines))


def revised(line: str, revise: Callable[[Event], Event]) -> str:
    try:
        event = json.loads(line)
    except ValueError:
        return line
    return json.dumps(revise(event)) if isinstance(event, dict) else line


@pytest.mark.faults("F17")
def test_new_and_reordered_fields_give_the_same_rows_and_are_recorded(
    clean: dict[int, dict[str, Rows]], delivered_again: Platform, tally: Tally
) -> None:
    change(delivered_again, lambda event: {"venue": "XNAS", **dict(sorted(event.items(), reverse=True))})

    assert delivered_again.run("daily_pipeline", DAY).success

    for path, rows in delivered_again.rows_of_all_tables(DAY).items():
        if path not in (EVENTS.path, "quality/measures"):  # the lines of rejects are others, and drift is measured
            tally.compare(rows, clean[2][path])
    drift = delivered_again.lake.require(EVENTS, DAY).facts["schema_drift"]
    assert "venue" in drift[f"json/{DAY}/NASDAQ/part-00000.json"]


@pytest.mark.faults("F17")
def test_a_type_that_has_changed_stops_the_report_with_the_measure_and_the_old_one_stays(
    clean: dict[int, dict[str, Rows]], delivered_again: Platform, tally: Tally
) -> None:
    change(delivered_again, lambda event: {**event, **({"price": "USD 1"} if "price" in event else {})})
    strict = replace(delivered_again, more={"CAPSTONE_QUALITY_LIMITS": "rejected_ratio=0.05:error"})

    ran = strict.run("daily_pipeline", DAY)

    assert not ran.success
    assert "lines" in [check.check_name for check in ran.get_asset_check_evaluations() if not check.passed]
    tally.compare(strict.rows(QUOTE_ANALYTICS, DAY), clean[1][QUOTE_ANALYTICS.path])
