"""The packages that a new cluster installs: those of ``deploy/runtime.lock``, as this host has them.

``capstone emr-packages`` keeps their wheels in the work bucket, so that a cluster needs no package index.
"""

import hashlib
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from capstone_dagster.emr.attempt_folder import Versions
from capstone_dagster.settings import CHECKOUT
from spark_code.errors import ExpectedError
from spark_code.storage import Storage

LOCK = CHECKOUT / "deploy" / "runtime.lock"
# The kinds of machines that EMR has, as `uname -m` says it.
MACHINES = ("x86_64", "aarch64")

# What Amazon Linux 2023 can load, which has version 2.34 of glibc; pip takes only what is named.
_LINUX = ("_2_34", "_2_31", "_2_28", "_2_27", "_2_26", "_2_24", "_2_17", "2014", "2010", "1")
_LINES_OF_ERROR = 3


class PackagesError(ExpectedError):
    """The wheels are not kept; the message says why."""


def folder(lock: Path = LOCK) -> str:
    """Where the wheels of a lock and of this Python are kept: an archive for each kind of machine."""
    return f"code/wheels-{hashlib.sha256(lock.read_bytes()).hexdigest()}-{Versions.here().python}"


def keep(staging: Storage, machine: str, lock: Path, tell: Callable[[str], None]) -> None:
    """Fetch the wheels for a kind of machine and upload them, unless they are there."""
    key = f"{folder(lock)}/{machine}.tar"
    if staging.exists(key):
        tell(f"{staging.uri(key)} is there already")
        return
    with TemporaryDirectory() as place:
        wheels, wanted, packed = Path(place, "wheels"), Path(place, "wanted"), Path(place, "packed")
        wanted.write_text(_without_spark(lock.read_text()))
        tell(f"fetching the wheels for {machine}")
        _fetch(wanted, machine, wheels)
        with tarfile.open(packed, "w") as archive:
            archive.add(wheels, arcname=".")
        tell(f"uploading {len(list(wheels.iterdir()))} wheels, {packed.stat().st_size / 1e6:,.0f} MB")
        staging.write(key, packed)
    tell(f"clusters install {staging.uri(key)}")


def _fetch(wanted: Path, machine: str, wheels: Path) -> None:
    command = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--quiet", "--no-deps"]
    command += ["--require-hashes", "--only-binary", ":all:", "--implementation", "cp"]
    command += ["--python-version", Versions.here().python]
    command += [f"--platform=manylinux{version}_{machine}" for version in _LINUX]
    ended = subprocess.run(  # noqa: S603 - the lock is ours
        [*command, "--dest", str(wheels), "--requirement", str(wanted)], stderr=subprocess.PIPE, text=True, check=False
    )
    if ended.returncode:
        said = " ".join(ended.stderr.split("\n")[-1 - _LINES_OF_ERROR :]).strip()
        raise PackagesError(f"the wheels of {LOCK.name} for {machine} cannot be fetched: {said}")


def _without_spark(lock: str) -> str:
    """A cluster has its own Spark. A requirement begins in the first column; its hashes are indented."""
    return re.sub(r"^pyspark==.*\n([ \t].*\n)*", "", lock, flags=re.MULTILINE)
