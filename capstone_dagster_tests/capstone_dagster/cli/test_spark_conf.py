"""``capstone spark-conf``: the settings of Spark on this machine, as scripts read them."""

import hashlib
from pathlib import Path

import pytest

from capstone_dagster.steps import s3_jars
from capstone_dagster_tests.builders.command_line import Run
from spark_code import session
from spark_code.session import local_conf, s3_conf

# No variable but the home, whatever the machine has set.
pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture
def jar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only pinned jar, which is there."""
    folder, lock_file = tmp_path / ".jars", tmp_path / "s3-jars.lock"
    jar = folder / "client-1.0.jar"
    folder.mkdir()
    jar.write_bytes(b"a client")
    lock_file.write_text(f"org.example client 1.0 {hashlib.sha256(b'a client').hexdigest()}\n")
    monkeypatch.setattr(s3_jars, "_LOCK_FILE", lock_file)
    monkeypatch.setattr(s3_jars, "_FOLDER", folder)
    return jar


def as_conf(out: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in out.splitlines())


def test_every_setting_of_a_local_run_is_a_line(capstone: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "a = 'b'  \"c\" ü"
    monkeypatch.setenv("CAPSTONE_HOME", str(home))
    monkeypatch.setenv("CAPSTONE_DRIVER_MEMORY", "3g")

    code, out, err = capstone("spark-conf")

    assert (code, err) == (0, "")
    conf = as_conf(out)
    assert conf == local_conf("3g", home / "logs")
    assert conf["spark.driver.memory"] == "3g"
    assert (
        f' "-Dcapstone.spark.log={tmp_path}/a = \'b\'  \\"c\\" ü/logs/spark.log"'
        in conf["spark.driver.extraJavaOptions"]
    )
    assert not home.exists()


@pytest.mark.parametrize("is_there", [True, False])
def test_java_is_told_of_an_archive_of_classes_that_is_there(
    capstone: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    archive = tmp_path / "an archive.jsa"
    if is_there:
        archive.touch()
    monkeypatch.setattr(session, "CLASS_ARCHIVE", archive)

    options = as_conf(capstone("spark-conf")[1])["spark.driver.extraJavaOptions"]

    assert (f'"-XX:SharedArchiveFile={archive}"' in options) == is_there


@pytest.mark.parametrize("deployment", ["local", "emr"])
@pytest.mark.parametrize("variable", ["CAPSTONE_RAW_URI", "CAPSTONE_LAKE_URI"])
def test_on_s3_the_settings_of_the_client_are_among_them_and_no_secret(
    capstone: Run, home: Path, jar: Path, monkeypatch: pytest.MonkeyPatch, variable: str, deployment: str
) -> None:
    if deployment == "emr":
        for name in ("RAW", "LAKE", "EMR_STAGING"):
            monkeypatch.setenv(f"CAPSTONE_{name}_URI", "s3://bucket/other")
    monkeypatch.setenv("CAPSTONE_DEPLOYMENT", deployment)
    monkeypatch.setenv(variable, "s3://bucket/prefix")
    monkeypatch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "very-secret")

    code, out, err = capstone("spark-conf")

    assert (code, err) == (0, "")
    assert "very-secret" not in out
    conf = as_conf(out)
    assert conf == local_conf("4g", home / "logs") | s3_conf([jar])
    assert conf["spark.driver.extraClassPath"] == str(jar)
    assert {name.removeprefix("spark.hadoop.fs.s3a."): value for name, value in conf.items() if "fs.s3a." in name} == {
        "aws.credentials.provider": "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider",
        "committer.name": "magic",
        "endpoint": "http://127.0.0.1:9000",
        "endpoint.region": "eu-west-1",
        "path.style.access": "true",
    }


def test_on_s3_without_the_jars_there_are_no_settings(
    capstone: Run, jar: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jar.unlink()
    monkeypatch.setenv("CAPSTONE_LAKE_URI", "s3://bucket/lake")

    code, out, err = capstone("spark-conf")

    assert (code, out) == (1, "")
    assert err == (
        "capstone: Spark on this machine reads and writes s3:// only with its S3 client, and client-1.0.jar is not in "
        f"{jar.parent}; fetch what is missing with: capstone s3-jars\n"
    )
