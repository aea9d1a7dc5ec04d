"""The stacks in moto's server on loopback, once for all tests of this folder."""

import pytest

from capstone_dagster_tests.deploy.stacks import Stacks, deploy
from capstone_dagster_tests.servers.s3_server import s3_endpoint  # noqa: F401 -- pytest finds fixtures by their import


@pytest.fixture(scope="session")
def stacks(s3_endpoint: str) -> Stacks:  # noqa: F811 -- the fixture
    return deploy(s3_endpoint)
