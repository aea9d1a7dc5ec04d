"""What a step finds around it: nothing of the host's that a cluster would not have."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from capstone_dagster_tests.fake_aws.emr_calls import Asked, client_of, command
from capstone_dagster_tests.servers.s3_server import s3_client
from fake_aws.emr import FakeEmr

HOST = {
    "AWS_ACCESS_KEY_ID": "hidden",
    "AWS_PROFILE": "hidden",
    "AWS_SESSION_TOKEN": "hidden",
    "DATABASE_PASSWORD": "hidden",
    "JAVA_HOME": "/a/jdk",
    "PYTHONPATH": "/hidden",
    "TZ": "Asia/Tokyo",
}


@pytest.fixture
def environment(s3_uri: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of a step, of an EMR in a process whose own is full of secrets."""
    with FakeEmr(s3_endpoint=s3_endpoint) as emr:
        client = client_of(emr.endpoint)
        for name, value in HOST.items():
            monkeypatch.setenv(name, value)
        cluster = Asked.for_cluster(client, command("env", "-0"), LogUri=f"{s3_uri}/logs")
        (step_id,) = cluster.step_ids()
        assert cluster.ended(step_id) == "COMPLETED"
    monkeypatch.delenv("AWS_PROFILE")
    key = f"logs/{cluster.id}/steps/{step_id}/stdout.gz"
    data: Any = s3_client().get_object(Bucket=s3_uri.removeprefix("s3://"), Key=key)["Body"].read()
    return dict(line.split("=", 1) for line in gzip.decompress(data).decode().rstrip("\0").split("\0"))


def test_the_environment_of_a_step_is_made_anew(environment: dict[str, str], s3_endpoint: str) -> None:
    assert sorted(environment) == [
        "AWS_ACCESS_KEY_ID",
        "AWS_DEFAULT_REGION",
        "AWS_EC2_METADATA_DISABLED",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3",
        "AWS_SECRET_ACCESS_KEY",
        "HOME",
        "JAVA_HOME",
        "LANG",
        "PATH",
        "PYSPARK_PYTHON",
        "SPARK_CONF_DIR",
        "SPARK_HOME",
        "SPARK_LOCAL_IP",
        "SPARK_SUBMIT_OPTS",
        "TMPDIR",
        "TZ",
    ]
    assert "hidden" not in " ".join(environment.values())
    assert (environment["AWS_ACCESS_KEY_ID"], environment["AWS_ENDPOINT_URL_S3"]) == ("loopback", s3_endpoint)
    assert (environment["TZ"], environment["JAVA_HOME"]) == ("UTC", "/a/jdk")
    assert "/a/jdk/bin" in environment["PATH"].split(":")


def test_the_folders_of_a_step_are_gone_with_it(environment: dict[str, str]) -> None:
    assert environment["HOME"] != str(Path.home())
    for name in ("HOME", "TMPDIR", "SPARK_CONF_DIR"):
        assert Path(environment[name]).is_relative_to(environment["HOME"])
    assert not Path(environment["HOME"]).exists()
