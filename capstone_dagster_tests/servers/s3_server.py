"""The places a test of files runs on: a local path, and a real S3 server (moto) on loopback.

The conftest of a folder whose tests want S3 imports the two fixtures below, so that pytest finds
them there, and builds its own on ``uri_of``, parametrized with ``PLACES``. Nothing here reaches AWS.
"""

import functools
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from fake_aws.s3_server import s3_server

# A blank, an escape that is none, a letter beyond ASCII, and what is a glob to Spark.
ODD_NAME = "a b%20ü[x]"
LOCAL_PLACES = ("local", "local with an odd name")
PLACES = (*LOCAL_PLACES, "s3", "s3 with an odd name")
# moto lists a deleted folder of such a bucket, which S3 does not: only for tests that delete nothing.
VERSIONED = "s3 with versions"


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """The URL of a running S3 server that knows no other world."""
    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture
def s3_uri(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A fresh bucket; the AWS_* variables name its server while the test runs."""
    return fresh_bucket(s3_endpoint, monkeypatch)


def fresh_bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The same for fixtures that outlast a test."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "loopback")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "loopback")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    bucket = f"test-{uuid.uuid4().hex}"
    s3_client().create_bucket(Bucket=bucket)
    return f"s3://{bucket}"


def s3_client() -> Any:
    """What other programs see in the bucket of ``s3_uri``."""
    return _client_of(os.environ["AWS_ENDPOINT_URL"])


@functools.cache
def _client_of(endpoint: str) -> Any:
    # boto3 takes longer to make a client than most tests take to run.
    return boto3.Session().client("s3", endpoint_url=endpoint)


def uri_of(place: str, request: pytest.FixtureRequest) -> str:
    """An empty place of the given kind; only the S3 kinds start a server."""
    name = ODD_NAME if place.endswith("odd name") else "plain"
    if place in LOCAL_PLACES:
        tmp_path: Path = request.getfixturevalue("tmp_path")
        return str(tmp_path / name)
    bucket_uri: str = request.getfixturevalue("s3_uri")
    if place == VERSIONED:
        s3_client().put_bucket_versioning(
            Bucket=bucket_uri.removeprefix("s3://"), VersioningConfiguration={"Status": "Enabled"}
        )
    return f"{bucket_uri}/{name}"
