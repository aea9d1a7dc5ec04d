"""What it means that Spark's process has ended: real processes end in its place, as it would."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from py4j.protocol import Py4JError, Py4JNetworkError

from capstone_dagster.steps import lost_spark, spark_process
from capstone_dagster.steps.lost_spark import SparkLostError, SparkMemoryError, SparkStartError, of_spark
from capstone_dagster.steps.transient_faults import is_transient

REFUSED = ConnectionRefusedError(111, "Connection refused")


class UnspeakableError(Py4JError):  # type: ignore[misc]  # it has no types
    """One of PySpark's, which asks the JVM for its text."""

    def __str__(self) -> str:
        raise REFUSED


@pytest.fixture
def ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Put a process in the place of the JVM that this process has started."""
    started = list[subprocess.Popen[bytes]]()

    def end(*command: str) -> None:
        process = subprocess.Popen(command, stdout=output, stderr=output)
        started.append(process)
        # Its log does not even exist: somebody may have cleared the folder.
        jvm = spark_process._Jvm("1g", tmp_path / "spark.log", output, process)
        monkeypatch.setattr(spark_process, "_jvm", jvm)

    with (tmp_path / "output").open("w+b") as output:
        yield end
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.faults("F16", sample=True)
@pytest.mark.parametrize("error", [REFUSED, Py4JNetworkError("Answer from Java side is empty"), UnspeakableError()])
def test_a_killed_process_is_a_fault_that_passes_and_says_how_it_ended(
    ends: Callable[..., None], tmp_path: Path, error: Exception
) -> None:
    ends("sh", "-c", "kill -9 $$")

    judged = of_spark(error, None)

    assert isinstance(judged, SparkLostError)
    assert is_transient(judged)
    assert str(judged) == (
        "Spark's process was killed by SIGKILL, as the system does when the machine has no memory left "
        f"(CAPSTONE_DRIVER_MEMORY=1g; log of Spark: {tmp_path}/spark.log)"
    )


@pytest.mark.faults("F16", sample=True)
@pytest.mark.parametrize("code", [3, 52])
def test_a_process_that_ended_for_want_of_memory_is_no_fault_that_passes(
    ends: Callable[..., None], tmp_path: Path, code: int
) -> None:
    ends("sh", "-c", f"exit {code}")

    judged = of_spark(UnspeakableError(), None)

    assert isinstance(judged, SparkMemoryError)
    assert not is_transient(judged)
    assert str(judged) == (
        "Spark's memory was not enough; raise CAPSTONE_DRIVER_MEMORY "
        f"(CAPSTONE_DRIVER_MEMORY=1g; log of Spark: {tmp_path}/spark.log), or deliver smaller files"
    )


def test_memory_that_was_not_enough_is_known_from_the_error_while_the_process_lives(ends: Callable[..., None]) -> None:
    ends("sleep", "60")
    error = Py4JError("An error occurred while calling o55.parquet.\n: java.lang.OutOfMemoryError: Java heap space")

    assert isinstance(of_spark(error, None), SparkMemoryError)
    assert of_spark(Py4JError("Python worker exited"), None) is None


def test_a_java_that_refuses_its_options_is_no_fault_that_passes_and_says_why(ends: Callable[..., None]) -> None:
    ends("java", "-Xmx99999999m", "-Xms99999999m", "-version")

    judged = of_spark(REFUSED, None)

    assert isinstance(judged, SparkStartError)
    assert not is_transient(judged)
    assert str(judged).startswith("Spark's process cannot be started: Error occurred during initialization of VM; ")
    assert "CAPSTONE_DRIVER_MEMORY=1g" in str(judged)


def test_other_errors_say_nothing_about_spark(ends: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lost_spark, "_SECONDS_TO_END", 0.0)
    ends("sleep", "60")

    assert [of_spark(error, None) for error in (REFUSED, KeyError("symbol"), OSError(28, "disk full"))] == [None] * 3
