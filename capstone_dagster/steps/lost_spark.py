"""Errors for steps whose Spark process has ended or had too little memory: whether to try again, or final.

PySpark's errors ask the JVM for their text, which fails when the JVM is gone. So this module makes a sentence at once:
how the process ended, its memory, and the largest files of the step.
"""

import re
from collections.abc import Iterator
from datetime import date

import dagster as dg
from py4j.protocol import Py4JError, Py4JNetworkError
from pyspark.errors import PySparkException

from capstone_dagster.steps.inputs import needed_inputs
from capstone_dagster.steps.spark_process import JvmEnd, jvm_end, jvm_settings
from spark_code.errors import ExpectedError
from spark_code.lake import Lake
from spark_code.raw_files import RawFolder

# A JVM takes some seconds to end after its connections are broken.
_SECONDS_TO_END = 10.0
# Spark ends its process with 52 when a task runs out of memory, a JVM with -XX:+ExitOnOutOfMemoryError with 3.
_OUT_OF_MEMORY_CODES = (3, 52)
_OUT_OF_MEMORY = re.compile(r"\bjava\.lang\.OutOfMemoryError\b|\bSparkOutOfMemoryError\b|GC overhead limit exceeded")
# The JVM refuses its options, or the machine cannot provide what they require.
_REFUSED_OPTIONS = re.compile(
    r"occurred during initialization of VM|Could not create the Java Virtual Machine|Invalid \w+ heap size"
    r"|UnsupportedClassVersionError|JAVA_HOME is not set|No such file or directory"
)
# The message of py4j for a call without an answer.
UNANSWERED = r"\AAn error occurred while calling \S+\s*\Z"
# The JVM is still there, but about to end.
_IS_ENDING = re.compile(rf"SparkContext was shut down|JAVA_GATEWAY_EXITED|stopped SparkContext|{UNANSWERED}")
_FILES_NAMED = 3
_OF_CLUSTER = "spark.driver.memory or spark.executor.memory in CAPSTONE_EMR_SPARK_CONF"


class SparkLostError(Exception):
    """Spark's process has ended during a step; another process may succeed."""


class SparkMemoryError(ExpectedError):
    """Spark had too little memory for the data of a step: trying again would not help."""


class SparkStartError(ExpectedError):
    """Spark's process cannot be started with these settings."""


def of_spark(error: Exception, step: dg.StepExecutionContext | None) -> Exception | None:
    """The error to raise instead if Spark's process has ended or is out of memory; None otherwise."""
    if not isinstance(error, Py4JError | PySparkException | OSError):
        return None
    text = text_of(error)
    is_ending = text is None or isinstance(error, ConnectionError | Py4JNetworkError) or _IS_ENDING.search(text)
    settings, end = jvm_settings(), jvm_end(_SECONDS_TO_END if is_ending else 0)
    if end and not end.had_answered and _REFUSED_OPTIONS.search(end.last_lines):
        return SparkStartError(f"Spark's process cannot be started: {end.last_lines}; {settings}")
    if _OUT_OF_MEMORY.search(text or "") or (end and end.exit_code in _OUT_OF_MEMORY_CODES):
        files = f" for {named}" if (named := _largest_files(step)) else ""
        more = f"CAPSTONE_DRIVER_MEMORY ({settings})" if settings else _OF_CLUSTER
        return SparkMemoryError(f"Spark's memory was not enough{files}; raise {more}, or deliver smaller files")
    return SparkLostError(_lost(end, step)) if end else None


def _lost(end: JvmEnd, step: dg.StepExecutionContext | None) -> str:
    words = f": {end.last_lines}" if end.last_lines else ""
    files = f"; it was working on {named}" if (named := _largest_files(step)) else ""
    return f"Spark's process {end}{words}{files} ({jvm_settings()})"


def text_of(error: Exception) -> str | None:
    """The text of the error, or None if the JVM, which has the text, does not answer."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - PySpark raises all kinds of errors if the JVM is gone
        return None


def _largest_files(step: dg.StepExecutionContext | None) -> str | None:
    """Name the largest files that the step reads."""
    if step is None:
        return None
    try:
        sizes = sorted(_files(step), reverse=True)
    except ExpectedError:  # the reason does not need them
        return None
    named = ", ".join(f"{uri} ({size / 1e6:,.1f} MB)" for size, uri in sizes[:_FILES_NAMED])
    more = f" and {len(sizes) - _FILES_NAMED} smaller files" if len(sizes) > _FILES_NAMED else ""
    return f"{step.partition_key}: {named}{more}" if named else None


def _files(step: dg.StepExecutionContext) -> Iterator[tuple[int, str]]:
    if raw := getattr(step.resources, "raw_folder", None):
        # Without the folder's preconditions, which were checked before.
        for delivery in RawFolder.deliveries(raw, date.fromisoformat(step.partition_key)):
            yield from ((stored.size, delivery.storage.uri(stored.key)) for stored in delivery.files)
    for table, day in needed_inputs(step):
        lake = Lake(step.resources.lake.uri)
        if manifest := lake.manifest(table, day):
            folder = f"{table.path}/data/{manifest.version}"
            yield from ((stored.size, lake.storage.uri(stored.key)) for stored in lake.storage.objects(folder))
