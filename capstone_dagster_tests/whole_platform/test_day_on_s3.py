"""A whole day with raw files and lake on an S3 server, by processes of their own: real JVMs with the real S3 client."""

import json
from collections.abc import Iterator
from datetime import date

import pytest
from pyspark.sql import SparkSession

from capstone_dagster.settings import CHECKOUT
from capstone_dagster_tests.servers.on_s3 import raw_and_lake_below, real_jars  # noqa: F401 -- pytest finds fixtures by their import
from capstone_dagster_tests.servers.platform import Platform
from capstone_dagster_tests.servers.s3_server import ODD_NAME, fresh_bucket, s3_client, s3_endpoint  # noqa: F401 -- the same
from spark_code.raw_to_ingested import SMALL_FILES
from spark_code.schemas import EVENTS, TABLES
from spark_code.storage import Storage

DAY = date(2020, 8, 5)
REPORT = [table for table in TABLES.values() if table.layer == "report"]


def _deliver(platform: Platform) -> None:
    """A day that is too large for the driver: tasks read its files."""
    platform.sample(DAY)
    raw = Storage(platform.settings.raw_uri)
    for number in range(SMALL_FILES):
        raw.write(f"csv/{DAY}/NYSE/blank line {number}.csv", b"\n")


@pytest.fixture(scope="module")
def in_folders(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """The day as it is without S3."""
    del spark
    platform = Platform(tmp_path_factory.mktemp("in folders"), DAY)
    _deliver(platform)
    assert platform.run("daily_pipeline", DAY).success
    return platform


@pytest.fixture(scope="module")
def on_s3(real_jars: None, s3_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:  # noqa: F811
    """The same files on S3, below an odd name, and the day run there."""
    del real_jars
    with pytest.MonkeyPatch.context() as patch:
        uri = f"{fresh_bucket(s3_endpoint, patch)}/{ODD_NAME}"
        platform = Platform(tmp_path_factory.mktemp("my home"), DAY, more=raw_and_lake_below(uri))
        _deliver(platform)
        with platform.instance():
            ran = platform.capstone("run", str(DAY))
            assert ran.returncode == 0, ran.stdout + ran.stderr
            yield platform


def test_a_day_on_s3_has_the_rows_of_the_same_day_in_folders(on_s3: Platform, in_folders: Platform) -> None:
    for table in TABLES.values():
        expected = in_folders.rows(table, DAY)
        assert expected
        assert on_s3.rows(table, DAY) == expected, table.path
    events = on_s3.lake.require(EVENTS, DAY)
    assert (events.rows, events.measures["rejected_blank"] >= SMALL_FILES) == (120 + SMALL_FILES, True)


def test_files_are_written_where_they_belong_and_nothing_is_left_of_the_writing(on_s3: Platform) -> None:
    bucket, _, prefix = on_s3.settings.lake_uri.removeprefix("s3://").partition("/")
    pages = s3_client().get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    keys = [found["Key"] for page in pages for found in page["Contents"]]
    reports = [key for key in keys if key.endswith("/_SUCCESS")]

    assert len(reports) == len(TABLES)
    for key in reports:
        report = json.loads(s3_client().get_object(Bucket=bucket, Key=key)["Body"].read())
        assert report["committer"] == "magic"
    assert "Uploads" not in s3_client().list_multipart_uploads(Bucket=bucket)
    assert not [key for key in keys if "__magic" in key]


def test_what_is_published_is_proven(on_s3: Platform) -> None:
    proven = on_s3.capstone("verify", str(DAY))

    assert (proven.returncode, proven.stdout.splitlines()[-1]) == (0, f"{len(TABLES)} of {len(TABLES)} tables proven")


def test_a_second_time_by_spark_submit_publishes_a_new_version_with_the_same_rows(
    on_s3: Platform, in_folders: Platform
) -> None:
    before = {table: on_s3.lake.require(table, DAY).version for table in REPORT}
    analytical = str(CHECKOUT / "deploy/submit/analytical.sh")

    ran = on_s3.capstone(f"{DAY}", "--conf", "spark.sql.shuffle.partitions=2", program=(analytical,))

    assert ran.returncode == 0, ran.stdout + ran.stderr
    for table in REPORT:
        assert on_s3.lake.require(table, DAY).previous_version == before[table]
        assert on_s3.rows(table, DAY) == in_folders.rows(table, DAY), table.path
