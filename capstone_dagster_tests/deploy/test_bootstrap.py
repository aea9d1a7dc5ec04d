"""The bootstrap action of EMR, run as EMR runs it, with packages made here and no index."""

import os
import platform
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from capstone_dagster_tests.builders.wheels import wheel
from capstone_dagster_tests.deploy.stacks import ROOT, Stacks

PACKAGES = ("prices", "pyspark")

Bootstrap = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def lock(tmp_path: Path) -> str:
    """A lock of two packages, one of which is Spark, beside them."""
    return "".join(wheel(tmp_path, name) for name in PACKAGES)


@pytest.fixture
def bootstrap(tmp_path: Path) -> Bootstrap:
    """The script, with everything it makes below ``tmp_path``."""

    def run(requirements: Path | str, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
        script = ROOT / "deploy" / "emr" / "bootstrap.sh"
        own = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(tmp_path)}
        return subprocess.run(
            [script, str(requirements), "--python", sys.executable, "--venv", str(tmp_path / "venv"), *options],
            env={**os.environ, **own, **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def _packages(tmp_path: Path) -> set[str]:
    """The own packages that the environment's Python finds."""
    find = f"import importlib.util; print(*(n for n in {PACKAGES} if importlib.util.find_spec(n)))"
    python = tmp_path / "venv" / "bin" / "python"
    return set(subprocess.check_output([python, "-I", "-c", find], text=True).split())


def _aws(tmp_path: Path) -> str:
    """A PATH with an ``aws s3 cp`` of its own, for machines without one."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "aws.py").write_text(
        "import sys, boto3\n"
        "assert sys.argv[1:4] == ['s3', 'cp', '--no-progress'], sys.argv\n"
        "bucket, _, key = sys.argv[4].removeprefix('s3://').partition('/')\n"
        "boto3.client('s3').download_file(bucket, key, sys.argv[5])\n"
    )
    # Not as the script's first line: that may hold no blank, and the checkout's place may.
    (folder / "aws").write_text(f'#!/bin/sh\nexec "{sys.executable}" "{folder}/aws.py" "$@"\n')
    (folder / "aws").chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_a_node_has_what_is_locked_on_s3_but_spark_which_a_cluster_has(
    tmp_path: Path, lock: str, bootstrap: Bootstrap, stacks: Stacks
) -> None:
    uri = stacks.outputs("storage")["CapstoneEmrStagingUri"] + "/code/requirements-0.lock"
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    stacks.client("s3").put_object(Bucket=bucket, Key=key, Body=lock.encode())
    environment = {**stacks.environment(), "PATH": _aws(tmp_path)}

    first = bootstrap(uri, **environment)
    assert first.returncode == 0, first.stdout + first.stderr
    assert _packages(tmp_path) == {"prices"}

    (tmp_path / "venv" / "untouched").touch()
    again = bootstrap(uri, **environment)
    assert (again.returncode, "holds the packages" in again.stdout) == (0, True)
    assert (tmp_path / "venv" / "untouched").exists()


def test_a_node_takes_kept_wheels_and_asks_no_index(
    tmp_path: Path, lock: str, bootstrap: Bootstrap, stacks: Stacks
) -> None:
    wheels = stacks.outputs("storage")["CapstoneEmrStagingUri"] + "/code/wheels-0"
    bucket, _, folder = wheels.removeprefix("s3://").partition("/")
    (tmp_path / "runtime.lock").write_text(lock)
    environment = {**stacks.environment(), "PATH": _aws(tmp_path), "PIP_FIND_LINKS": "", "PIP_NO_INDEX": "1"}

    refused = bootstrap(tmp_path / "runtime.lock", "--wheels", wheels, **environment)
    machine = platform.machine()
    assert refused.returncode == 1
    assert f"keep them: capstone emr-packages --machine {machine}" in refused.stderr

    with tarfile.open(tmp_path / "wheels.tar", "w") as archive:
        for file in tmp_path.glob("*.whl"):
            archive.add(file, file.name)
    stacks.client("s3").upload_file(str(tmp_path / "wheels.tar"), bucket, f"{folder}/{machine}.tar")
    installed = bootstrap(tmp_path / "runtime.lock", "--wheels", wheels, **environment)
    assert installed.returncode == 0, installed.stdout + installed.stderr
    assert _packages(tmp_path) == {"prices"}


def test_a_package_without_its_hash_fails_the_cluster_and_is_not_taken_for_ready(
    tmp_path: Path, lock: str, bootstrap: Bootstrap
) -> None:
    requirements = tmp_path / "requirements.lock"
    requirements.write_text("prices==1.0\n")

    refused = bootstrap(requirements)
    assert refused.returncode == 1
    assert "bootstrap: failed in line" in refused.stderr

    # The same place with the right lock, as on a host: it is made anew.
    requirements.write_text(lock)
    mended = bootstrap(requirements, "--with-spark")
    assert mended.returncode == 0, mended.stdout + mended.stderr
    assert _packages(tmp_path) == set(PACKAGES)


def test_an_old_python_is_refused_before_anything_is_made(tmp_path: Path, lock: str, bootstrap: Bootstrap) -> None:
    old = tmp_path / "python3.9"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    (tmp_path / "requirements.lock").write_text(lock)

    refused = bootstrap(tmp_path / "requirements.lock", "--python", str(old))

    assert refused.returncode == 1
    assert f"{old} cannot be used: Python 3.11, 3.12 or 3.13 is needed" in refused.stderr
    assert not (tmp_path / "venv").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "usage: bootstrap.sh REQUIREMENTS"),
        (["a.lock", "b.lock"], "one requirements file is enough, not also b.lock"),
        (["a.lock", "--mirror"], "unknown option --mirror"),
        (["a.lock", "--venv"], "--venv needs a value"),
    ],
)
def test_wrong_arguments_are_said_in_one_line(arguments: list[str], reason: str) -> None:
    refused = subprocess.run(
        [ROOT / "deploy" / "emr" / "bootstrap.sh", *arguments], capture_output=True, text=True, check=False
    )

    assert refused.returncode == 1
    assert reason in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
