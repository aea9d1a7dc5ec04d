"""A correction of yesterday's last trade, through the real assets and the real sensor, to the report of today."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import dagster as dg
import pytest

from capstone_dagster_tests.servers.platform import Platform
from spark_code.schemas import QUOTE_ANALYTICS

FIRST, SECOND = date(2020, 8, 5), date(2020, 8, 6)

pytestmark = pytest.mark.usefixtures("spark")


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    platform = Platform(tmp_path, FIRST)
    deliver(platform, FIRST, "trade", "T,IBM,{day} 15:00:00,1,NYSE,100.25,300")
    deliver(platform, SECOND, "quote", "Q,IBM,{day} 10:00:00,1,NYSE,101.00,100,101.50,200")
    return platform


def deliver(platform: Platform, day: date, name: str, line: str) -> None:
    """A file of the NYSE; NASDAQ has nothing to tell."""
    for exchange, layout in (("NYSE", "csv"), ("NASDAQ", "json")):
        folder = platform.raw / layout / f"{day}" / exchange
        folder.mkdir(parents=True, exist_ok=True)
        content = f"{day},{day} 16:15:00,{line.format(day=day)}\n" if exchange == "NYSE" else ""
        (folder / f"{name}.{layout}").write_text(content)


def run(platform: Platform, instance: dg.DagsterInstance, job: str, day: date) -> None:
    definition = platform.defs.resolve_job_def(job)
    assert definition.execute_in_process(partition_key=day.isoformat(), instance=instance).success


def moves(platform: Platform) -> list[tuple[Decimal | None, Decimal | None]]:
    """The close that the quotes of the second day are compared with, and the move of the bid."""
    close, bid = (QUOTE_ANALYTICS.columns.index(name) for name in ("close_pr", "bid_pr_mv"))
    return [(row[close], row[bid]) for row in platform.rows(QUOTE_ANALYTICS, SECOND)]


def test_a_corrected_close_makes_the_next_report_again_and_a_corrected_quote_does_not(platform: Platform) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        cursor = None

        def tick() -> list[tuple[str | None, str | None]]:
            nonlocal cursor
            sensor = platform.defs.resolve_sensor_def("changed_closes")
            with dg.build_sensor_context(instance=instance, cursor=cursor, definitions=platform.defs) as context:
                ticked = sensor.evaluate_tick(context)
            cursor = ticked.cursor
            return [(asked.job_name, asked.tags["dagster/partition"]) for asked in ticked.run_requests or []]

        run(platform, instance, "preprocessing", FIRST)
        run(platform, instance, "daily_pipeline", SECOND)
        assert moves(platform) == [(Decimal("100.250000"), Decimal("0.750000"))]
        assert tick() == []

        deliver(platform, FIRST, "quote", "Q,IBM,{day} 15:30:00,2,NYSE,99.00,100,99.50,200")
        run(platform, instance, "preprocessing", FIRST)
        assert tick() == []

        deliver(platform, FIRST, "later", "T,IBM,{day} 15:59:59,3,NYSE,102.50,100")
        run(platform, instance, "preprocessing", FIRST)
        assert tick() == [("analytical", "2020-08-06")]

        run(platform, instance, "analytical", SECOND)
        assert moves(platform) == [(Decimal("102.500000"), Decimal("-1.500000"))]
        assert tick() == []
