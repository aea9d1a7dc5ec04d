"""A platform with raw files or the lake on S3, and Spark on this machine with the S3 client that it needs for them."""

from dataclasses import dataclass

import pytest

from capstone_dagster.steps.s3_jars import S3JarsError, fetch
from capstone_dagster_tests.servers.platform import Platform


@dataclass(frozen=True)
class OnS3(Platform):
    """Its home is a folder; what has no URI lies below it."""

    raw_uri: str = ""
    lake_uri: str = ""

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "CAPSTONE_RAW_URI": self.raw_uri, "CAPSTONE_LAKE_URI": self.lake_uri}


@pytest.fixture(scope="session")
def real_jars() -> None:
    """The real jars, in the checkout; fetched if need be, by one of several test processes."""
    try:
        fetch(lambda _: None)
    except S3JarsError as error:
        pytest.skip(str(error))
