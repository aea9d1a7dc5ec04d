"""A warehouse that holds nothing yet, not even its schema."""

from pathlib import Path

import pytest

from capstone_dagster_tests.builders.warehouses import TestedWarehouse
from capstone_dagster_tests.servers.job_status_database import Database
from spark_code.lake import Lake


@pytest.fixture
def warehouse(server: Database, tmp_path: Path) -> TestedWarehouse:
    server.query("DROP SCHEMA IF EXISTS warehouse CASCADE")
    return TestedWarehouse(server, Lake(f"{tmp_path / 'lake'}"))
