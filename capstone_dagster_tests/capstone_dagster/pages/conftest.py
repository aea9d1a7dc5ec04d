"""A lake of its own, and the pages of it."""

from datetime import date
from pathlib import Path

import pytest

from capstone_dagster.pages.publishing import Pages
from capstone_dagster.settings import Settings
from capstone_dagster_tests.servers.s3_server import s3_endpoint, s3_uri  # noqa: F401 -- pytest finds fixtures so
from spark_code.lake import Lake


def pages_below(folder: Path, first_day: date = date(2020, 8, 4), lake_uri: str = "") -> Pages:
    """The pages of a lake in this folder, or of the one that is named."""
    given = {"CAPSTONE_HOME": f"{folder}", "CAPSTONE_FIRST_TRADING_DAY": f"{first_day}", "CAPSTONE_LAKE_URI": lake_uri}
    return Pages(Settings.from_mapping(given))


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(f"{tmp_path / 'lake'}")


@pytest.fixture
def pages(tmp_path: Path) -> Pages:
    return pages_below(tmp_path)
