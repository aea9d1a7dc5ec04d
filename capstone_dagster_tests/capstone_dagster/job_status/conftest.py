"""Statuses are read from Postgres."""

import dagster as dg
import pytest

from capstone_dagster_tests.servers.job_status_database import Database


@pytest.fixture
def instance(database: Database) -> dg.DagsterInstance:
    """In place of the one in memory."""
    return database.instance
