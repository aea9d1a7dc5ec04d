"""A fake EMR beside an S3 server, and a client of it."""

from collections.abc import Iterator
from typing import Any

import pytest

from capstone_dagster_tests.fake_aws.emr_calls import client_of
from capstone_dagster_tests.servers.s3_server import s3_endpoint, s3_uri  # noqa: F401 -- pytest finds fixtures by their import
from fake_aws.emr import FakeEmr


@pytest.fixture
def emr(s3_endpoint: str) -> Iterator[FakeEmr]:  # noqa: F811 -- the fixture
    with FakeEmr(s3_endpoint=s3_endpoint) as emr:
        yield emr


@pytest.fixture
def client(emr: FakeEmr) -> Any:
    return client_of(emr.endpoint)
