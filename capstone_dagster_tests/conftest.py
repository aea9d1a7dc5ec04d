"""Fixtures every level shares: one Spark session for the whole run. Which tests are slow, and which come first."""

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from botocore.loaders import JSONFileLoader
from pyspark.sql import SparkSession

from capstone_dagster_tests.servers.quick_jvm import start_jvms_quickly
from capstone_dagster_tests.servers.small_spark import small_spark

pytest_plugins = ("capstone_dagster_tests.fault_report",)

# No test finds what is in the home of the checkout, such as the settings of a demo. Workers have that of their parent.
_home = None if "PYTEST_XDIST_WORKER" in os.environ else tempfile.mkdtemp(prefix="capstone_home_")
if _home:
    os.environ["CAPSTONE_HOME"] = _home


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rounds",
        type=int,
        help="how often a test that kills, mutates or draws at random does so; a few times, unless set",
    )
    parser.addoption(
        "--minutes",
        type=int,
        help="begin no test of the whole platform later than this; which files come first is drawn from the commit",
    )


@pytest.fixture(scope="session")
def rounds(request: pytest.FixtureRequest) -> Callable[[int], int]:
    """How many rounds a test of random moments or inputs goes through: ``--rounds``, or its own small number."""
    given: int | None = request.config.getoption("--rounds")
    return lambda few: given or few


# What a test needs for which a JVM or a server is started.
_SLOW_FIXTURES = {"spark", "s3_endpoint", "glue_server", "database", "server", "real_jars"}
# Files whose tests start one themselves.
_SLOW_FILES = (
    "cli/test_exec.py",
    "cli/test_main.py",
    "cli/test_track_command.py",
    "deploy/test_bootstrap.py",
    "run_storage/test_embedded_postgres.py",
    "run_storage/test_instance.py",
    "run_storage/test_named_server.py",
    "run_storage/test_outages.py",
    "run_storage/test_postgres_data.py",
    "runs/test_day_slot.py",
    "runs/test_launcher.py",
    "runs/test_lease.py",
    "steps/test_interrupted_spark.py",
    "steps/test_lost_spark.py",
    "steps/test_retries.py",
    "steps/test_s3_jars.py",
    "capstone_dagster/test_definitions.py",
    "spark_code/test_raw_lines.py",
    "ui/test_server.py",
    "ui/test_sign_in.py",
)
# What `make test-fast` must not start.
_SLOW_PROGRAMS = {"java", "spark-submit", "postgres", "initdb", "capstone", "dagster", "dg", "chromium"}
_running: list[pytest.Item] = []
_BEGAN = time.monotonic()


def pytest_configure(config: pytest.Config) -> None:
    _read_models_of_aws_once()
    config.addinivalue_line("markers", "slow: starts a JVM, a server or a daemon")
    config.addinivalue_line("markers", "whole_platform: runs whole days with everything that belongs to them")
    config.addinivalue_line("markers", "browser: opens pages in Chromium; `make test-browser` runs these alone")
    if config.getoption("markexpr") == "not slow":
        sys.addaudithook(_refuse_slow_programs)
        return
    start_jvms_quickly()


def _read_models_of_aws_once() -> None:
    """Not in every session of boto3, of which tests make many: they would fill memory, too."""
    read = cache(JSONFileLoader()._load_file)
    JSONFileLoader._load_file = staticmethod(read)


def pytest_unconfigure() -> None:
    if _home:
        shutil.rmtree(_home, ignore_errors=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest first: so no worker is left alone with them at the end. With ``--minutes`` they are shuffled."""
    longest = list(dict.fromkeys(item.path for item in items if "whole_platform" in item.nodeid))
    if config.getoption("--minutes") is not None:
        _shuffle(longest)
    items.sort(key=lambda item: longest.index(item.path) if item.path in longest else len(longest))
    for item in items:
        if "whole_platform" in item.nodeid:
            item.add_marker(pytest.mark.whole_platform)
        is_slow_file = "whole_platform" in item.nodeid or str(item.path).endswith(_SLOW_FILES)
        parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
        is_on_s3 = any(isinstance(value, str) and value.startswith("s3") for value in parameters)
        is_in_browser = item.get_closest_marker("browser") is not None
        starts_servers = bool(_SLOW_FIXTURES.intersection(getattr(item, "fixturenames", ())))
        if is_slow_file or is_on_s3 or is_in_browser or starts_servers:
            item.add_marker(pytest.mark.slow)


def _shuffle(files: list[Path]) -> None:
    """In an order that every worker draws alike, and every commit anew; tests of a file may build on each other."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        commit = subprocess.run(command, capture_output=True, check=False).stdout
    except OSError:  # no git
        commit = b""
    random.Random(commit).shuffle(files)  # noqa: S311 -- nothing secret is drawn


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests for which ``--minutes`` leaves no time, before they set up anything."""
    minutes: int | None = item.config.getoption("--minutes")
    if minutes is not None and item.get_closest_marker("whole_platform") and time.monotonic() - _BEGAN >= 60 * minutes:
        pytest.skip(f"not begun, as {minutes} minutes were over")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Note which test is running."""
    _running.append(item)
    try:
        return (yield)
    finally:
        _running.pop()


def _refuse_slow_programs(event: str, arguments: tuple[Any, ...]) -> None:
    """Where slow tests are left out, the others start no slow programs."""
    if event == "subprocess.Popen" and _running:
        name = Path(str(arguments[0])).name
        assert name not in _SLOW_PROGRAMS, f"this test starts {name}: mark it with pytest.mark.slow"


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """Spark in this process, UTC, two cores and two shuffle partitions."""
    log_dir: Path = tmp_path_factory.mktemp("spark")
    running = small_spark(log_dir)
    yield running
    running.stop()
