"""A day as undisturbed runs make it of two deliveries, and one that waits for the second."""

import shutil
from datetime import date
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from capstone_dagster_tests.servers.platform import Platform, Rows

DAY = date(2020, 8, 5)


@pytest.fixture(scope="package")
def published(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Platform]:
    """The day as undisturbed runs make it of the first and of the second delivery."""
    del spark
    made = {}
    for seed in (1, 2):
        made[seed] = Platform(tmp_path_factory.mktemp("clean"), DAY)
        made[seed].sample(DAY, seed=seed)
        assert made[seed].run("daily_pipeline", DAY).success
    return made


@pytest.fixture(scope="package")
def clean(published: dict[int, Platform]) -> dict[int, dict[str, Rows]]:
    """Their rows."""
    made = {seed: platform.rows_of_all_tables(DAY) for seed, platform in published.items()}
    assert all(made[1][path] != made[2][path] for path in made[1])
    return made


@pytest.fixture
def delivered_again(published: dict[int, Platform], tmp_path: Path) -> Platform:
    """The day of the first delivery, and the second in the raw folder."""
    platform = Platform(tmp_path / "killed", DAY)
    shutil.copytree(published[1].folder, platform.folder)
    platform.sample(DAY, seed=2)
    return platform
