"""The packages of clusters: which are locked, and how their wheels come into the work bucket."""

import ast
import re
import sys
import tarfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from capstone_dagster.emr import packages
from capstone_dagster.settings import CHECKOUT
from capstone_dagster_tests.builders.command_line import Run
from capstone_dagster_tests.builders.wheels import wheel
from capstone_dagster_tests.servers.s3_server import uri_of
from spark_code.storage import Storage

OURS = ("capstone_dagster", "spark_code")


def pins(lock: Path) -> dict[str, set[str]]:
    """The hashes of each version."""
    requirements = re.split(r"\n(?=\S)", lock.read_text().strip())
    return {text.split()[0]: set(re.findall(r"sha256:\w+", text)) for text in requirements}


def imported(file: Path) -> Iterator[str]:
    """The packages that a module imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


@pytest.fixture
def staging(request: pytest.FixtureRequest) -> Storage:
    return Storage(uri_of("s3", request))


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lock of one package and of Spark, which can be had here and nowhere else."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    made = tmp_path / "runtime.lock"
    made.write_text("pyspark==4.1.1 \\\n    --hash=sha256:0\n" + wheel(tmp_path, "prices"))
    return made


def test_production_has_the_versions_that_were_tested() -> None:
    tested, in_production = pins(CHECKOUT / "requirements.lock"), pins(packages.LOCK)

    assert 50 < len(in_production) < len(tested)
    assert in_production.items() <= tested.items()


def test_production_has_every_package_that_the_code_imports() -> None:
    files = [file for package in OURS for file in (CHECKOUT / package).rglob("*.py")]
    names = {name for file in files for name in imported(file)} - set(sys.stdlib_module_names) - set(OURS)
    locked = {re.split(r"[\[=]", pin)[0] for pin in pins(packages.LOCK)}
    of = packages_distributions()

    assert {"dagster", "duckdb", "pyspark"} < names
    missing = {n for n in names if not locked & {d.lower().replace("_", "-") for d in of.get(n, [n])}}
    assert missing == set()


def test_wheels_are_fetched_once_without_spark_which_a_cluster_has(staging: Storage, lock: Path) -> None:
    told: list[str] = []
    for _ in range(2):
        packages.keep(staging, "aarch64", lock, told.append)

    uri = staging.uri(f"{packages.folder(lock)}/aarch64.tar")
    assert [told[-2], told[-1]] == [f"clusters install {uri}", f"{uri} is there already"]
    held = staging.open(f"{packages.folder(lock)}/aarch64.tar")
    assert held
    with tarfile.open(fileobj=held) as archive:
        names = [Path(name).name for name in archive.getnames()]
    assert [name for name in names if name.endswith(".whl")] == ["prices-1.0-py3-none-any.whl"]


def test_wheels_that_cannot_be_had_are_named_and_nothing_is_kept(staging: Storage, lock: Path) -> None:
    lock.write_text(f"{lock.read_text()}quotes==1.0 \\\n    --hash=sha256:{'0' * 64}\n")

    with pytest.raises(packages.PackagesError) as refused:
        packages.keep(staging, "x86_64", lock, print)

    assert f"{refused.value}".startswith("the wheels of runtime.lock for x86_64 cannot be fetched: ")
    assert "quotes==1.0" in f"{refused.value}"
    assert staging.names(packages.folder(lock)) == ([], [])


@pytest.mark.usefixtures("home")
def test_where_there_are_no_clusters_the_command_says_so(capstone: Run) -> None:
    told = "capstone: no cluster installs packages unless CAPSTONE_DEPLOYMENT is emr\n"
    assert capstone("emr-packages") == (1, "", told)


def test_the_command_keeps_the_wheels_for_the_cluster_of_the_settings(
    capstone: Run, home: Path, staging: Storage, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "LOCK", lock)
    for name, value in {
        "DEPLOYMENT": "emr",
        "RAW_URI": f"{staging.root}/raw",
        "LAKE_URI": f"{staging.root}/lake",
    }.items():
        monkeypatch.setenv(f"CAPSTONE_{name}", value)
    monkeypatch.setenv("CAPSTONE_EMR_STAGING_URI", staging.root)

    code, out, err = capstone("emr-packages", "--machine", "aarch64")

    assert (code, err) == (0, "")
    assert out.endswith(f"clusters install {staging.uri(packages.folder(lock))}/aarch64.tar\n")
    assert not home.exists()
