"""A lake without Spark, and the runs that filled it."""

from pathlib import Path

import pytest

from capstone_dagster_tests.builders.hand_made_days import HandMadeDays
from capstone_dagster_tests.builders.run_histories import Histories
from capstone_dagster_tests.servers.s3_server import s3_endpoint, s3_uri  # noqa: F401 -- pytest finds fixtures by their import


@pytest.fixture
def days(tmp_path: Path, histories: Histories) -> HandMadeDays:
    """No day yet."""
    return HandMadeDays(tmp_path, histories.instance)
