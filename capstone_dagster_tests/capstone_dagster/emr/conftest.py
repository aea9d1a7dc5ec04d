"""A fake EMR for every test, and a platform on it with the raw files of one day."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from capstone_dagster_tests.servers.emr_platform import DAY, EmrPlatform
from capstone_dagster_tests.servers.on_s3 import real_jars  # noqa: F401 -- the same
from capstone_dagster_tests.servers.s3_server import s3_endpoint, s3_uri  # noqa: F401 -- pytest finds fixtures by their import
from fake_aws.emr import FakeEmr


@pytest.fixture
def emr(s3_endpoint: str) -> Iterator[FakeEmr]:  # noqa: F811 -- the fixture
    with FakeEmr(s3_endpoint=s3_endpoint) as running:
        yield running


@pytest.fixture
def platform(tmp_path: Path, s3_uri: str, emr: FakeEmr) -> EmrPlatform:  # noqa: F811 -- the fixture
    made = EmrPlatform(tmp_path, DAY, bucket=s3_uri, emr=emr)
    made.sample(DAY)
    return made
