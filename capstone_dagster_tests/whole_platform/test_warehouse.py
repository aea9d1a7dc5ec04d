"""A whole day into the warehouse, from raw files; and one whose database is down."""

import json
from datetime import date
from pathlib import Path

from pyspark.sql import SparkSession

from capstone_dagster_tests.servers.platform import Platform
from spark_code.flow import tables_of
from spark_code.schemas import DAILY_SUMMARY

DAY = date(2020, 8, 5)


def test_a_database_that_is_down_fails_its_step_alone_and_the_report_is_published(
    spark: SparkSession, tmp_path: Path
) -> None:
    del spark
    platform = Platform(tmp_path, DAY, warehouse=True, postgres_url="postgresql://owner:canary@127.0.0.1:1/market")
    platform.sample(DAY)

    ran = platform.run("daily_pipeline", DAY, retries={"max_retries": 0})

    failed = {event.step_key: event.step_failure_data.error for event in ran.all_events if event.is_step_failure}
    assert list(failed) == ["warehouse"]
    assert all(platform.manifest(table, DAY) for table in tables_of("daily_pipeline"))
    reason = failed["warehouse"].to_string() if failed["warehouse"] else ""
    assert "the database of the warehouse does not answer" in reason
    assert f"type capstone warehouse-sync {DAY}" in reason
    assert "canary" not in reason
    assert {"quality", "report", "page"} <= {event.step_key for event in ran.all_events if event.is_step_success}


def test_a_day_that_is_run_by_the_command_can_be_read_by_psql(tmp_path: Path) -> None:
    platform = Platform(tmp_path, DAY, warehouse=True)
    platform.sample(DAY)
    with platform.instance():  # the server stays up from command to command
        ran = platform.capstone("run", f"{DAY}")
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert "  published warehouse/daily_summary: " in ran.stdout
        by_psql = platform.capstone(
            "warehouse",
            "psql",
            "-AtXc",
            "SELECT symbol, exchange, close_pr, volume FROM daily_summary ORDER BY 1, 2",
        )
        status = json.loads(platform.capstone("status", f"analytical_{DAY}", "--json").stdout)

    assert status["status"] == "SUCCESS"
    columns = [DAILY_SUMMARY.columns.index(name) for name in ("symbol", "exchange", "close_pr", "volume")]
    of_lake = sorted("|".join(f"{row[column]}" for column in columns) for row in platform.rows(DAILY_SUMMARY, DAY))
    assert by_psql.stdout.splitlines() == of_lake
    assert of_lake
