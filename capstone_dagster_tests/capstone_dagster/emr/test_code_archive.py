"""What is shipped to the cluster: the code of the two packages, all of it, and nothing else."""

import hashlib
import io
import os
import zipfile
from pathlib import Path

import pytest

from capstone_dagster.emr import code_archive
from capstone_dagster.emr.code_archive import ArchiveError
from capstone_dagster.settings import CHECKOUT
from capstone_dagster_tests.servers.s3_server import VERSIONED, s3_client, uri_of
from spark_code.storage import Storage

CODE = (
    "capstone_dagster/__init__.py",
    "capstone_dagster/definitions.py",
    "capstone_dagster/emr/__init__.py",
    "capstone_dagster/emr/on_cluster/__init__.py",
    "capstone_dagster/emr/on_cluster/remote_step.py",
    "spark_code/__init__.py",
    "spark_code/log4j2.properties",
    "spark_code/submit.py",
)
NO_CODE = (
    ".env",
    "raw/csv/trades.csv",
    "pyproject.toml",
    ".venv/lib/boto3.py",
    "capstone_dagster_tests/whole_platform/test_docs.py",
    "fake_aws/emr.py",
    "capstone_dagster/.env",
    "capstone_dagster/key.pem",
    "capstone_dagster/__pycache__/steps.cpython-311.pyc",
    "spark_code/part-0.parquet",
)


def checkout(folder: Path, **changed: str) -> Path:
    """A folder with code and much else; each file holds its own name."""
    for name in (*CODE, *NO_CODE):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(changed.get(path.name, f"# {name}\n"))
    return folder


def names(content: bytes) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(content)).namelist()


@pytest.fixture
def staging(request: pytest.FixtureRequest) -> Storage:
    """Below a bucket that keeps every version, so that a second upload shows."""
    return Storage(uri_of(VERSIONED, request))


def uploads(staging: Storage) -> list[str]:
    """The keys below the staging folder, once for every put."""
    bucket, _, prefix = staging.root.removeprefix("s3://").partition("/")
    answer = s3_client().list_object_versions(Bucket=bucket, Prefix=prefix)
    return [version["Key"].removeprefix(f"{prefix}/") for version in answer.get("Versions", [])]


@pytest.mark.parametrize("folder", ["plain", "with a blank", "pytest-of-somebody", "logs", "venv"])
def test_it_holds_the_code_of_the_two_packages_and_nothing_else(tmp_path: Path, folder: str) -> None:
    assert sorted(names(code_archive.build(checkout(tmp_path / folder)))) == sorted(CODE)


def test_the_same_files_give_the_same_bytes_wherever_and_whenever_they_were_written(tmp_path: Path) -> None:
    here, there = checkout(tmp_path / "here"), checkout(tmp_path / "there")
    for path in there.rglob("*.py"):
        path.chmod(0o600)
        os.utime(path, (1, 1))

    assert code_archive.build(here) == code_archive.build(there)


def test_any_changed_byte_is_another_archive(tmp_path: Path, staging: Storage) -> None:
    changed = [code_archive.build(checkout(tmp_path / line, **{"submit.py": f"print({line})"})) for line in ("1", "2")]

    assert len({code_archive.upload(staging, content) for content in changed}) == 2
    assert len(uploads(staging)) == 2


def test_this_checkout_is_named_after_its_content_and_uploaded_once(staging: Storage) -> None:
    content = code_archive.build()

    uris = {code_archive.upload(staging, content) for _ in range(2)}

    key = f"code/{hashlib.sha256(content).hexdigest()}.zip"
    assert uris == {f"{staging.root}/{key}"}
    assert uploads(staging) == [key]
    assert staging.read(key) == content


def test_this_checkout_ships_every_module_and_what_spark_reads_and_nothing_else() -> None:
    packages = ("capstone_dagster", "spark_code")
    modules = [path.relative_to(CHECKOUT).as_posix() for name in packages for path in (CHECKOUT / name).rglob("*.py")]
    assert sorted(names(code_archive.build())) == sorted(
        [*modules, "spark_code/log4j2.properties", "spark_code/nyse_closures.csv"]
    )


@pytest.mark.parametrize(
    ("remote_step", "why"),
    [
        ("import no_such_package", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("def run(:", "SyntaxError: invalid syntax"),
        # In this checkout, and not in the one that is packed: an installed checkout would help out.
        ("import capstone_dagster.run_tags", "AssertionError: capstone_dagster.run_tags is not in the archive"),
    ],
)
def test_packages_that_do_not_import_are_refused_before_anything_is_uploaded(
    tmp_path: Path, staging: Storage, remote_step: str, why: str
) -> None:
    content = code_archive.build(checkout(tmp_path / "checkout", **{"remote_step.py": remote_step}))

    with pytest.raises(ArchiveError, match=rf"cannot be shipped to the cluster, they do not import: {why}$"):
        code_archive.upload(staging, content)

    assert uploads(staging) == []
