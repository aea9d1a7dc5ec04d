"""Empty storages and lakes on a local path and on S3."""

import os
from pathlib import Path

import pytest

from capstone_dagster_tests.servers.glue_server import (  # noqa: F401 -- pytest finds fixtures by their import
    GlueServer,
    client_of_catalogs,
    glue_front,
    glue_server,
)
from capstone_dagster_tests.servers.s3_server import (  # noqa: F401 -- pytest finds fixtures by their import
    LOCAL_PLACES,
    PLACES,
    s3_endpoint,
    s3_uri,
    uri_of,
)
from spark_code.glue import GlueCatalog
from spark_code.lake import Lake
from spark_code.storage import Storage


@pytest.fixture(params=PLACES)
def storage(request: pytest.FixtureRequest) -> Storage:
    return Storage(uri_of(request.param, request))


@pytest.fixture(params=LOCAL_PLACES)
def local_storage(request: pytest.FixtureRequest) -> Storage:
    return Storage(uri_of(request.param, request))


@pytest.fixture
def s3_storage(request: pytest.FixtureRequest) -> Storage:
    return Storage(uri_of("s3", request))


@pytest.fixture
def local_lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


@pytest.fixture(params=LOCAL_PLACES)
def any_local_lake(request: pytest.FixtureRequest) -> Lake:
    return Lake(uri_of(request.param, request))


@pytest.fixture(params=PLACES)
def any_lake(request: pytest.FixtureRequest) -> Lake:
    return Lake(uri_of(request.param, request))


@pytest.fixture
def lake(request: pytest.FixtureRequest) -> Lake:
    """On S3, for a catalog beside it."""
    return Lake(uri_of("s3", request))


@pytest.fixture
def catalog(glue: GlueServer) -> GlueCatalog:
    catalog = GlueCatalog(glue.database)
    catalog._client = client_of_catalogs(os.environ["AWS_ENDPOINT_URL_GLUE"])
    return catalog
