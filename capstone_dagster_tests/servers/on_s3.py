"""What Spark on this machine needs for a lake on S3."""

import pytest

from capstone_dagster.steps.s3_jars import S3JarsError, fetch


def raw_and_lake_below(uri: str) -> dict[str, str]:
    """Settings of a platform whose home is a folder of this machine."""
    return {"CAPSTONE_RAW_URI": f"{uri}/raw", "CAPSTONE_LAKE_URI": f"{uri}/lake"}


@pytest.fixture(scope="session")
def real_jars() -> None:
    """The real jars, in the checkout; fetched if need be, by one of several test processes."""
    try:
        fetch(lambda _: None)
    except S3JarsError as error:
        pytest.skip(str(error))
