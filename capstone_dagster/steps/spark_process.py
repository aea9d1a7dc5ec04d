"""The JVM behind the Spark session of this process: how it starts, and how it has ended.

PySpark returns the session that it once made even if its JVM has ended, and does not say how it ended. ``lost_spark``
judges what the end means for a step.
"""

import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from socketserver import BaseServer
from types import SimpleNamespace
from typing import IO, Any

from py4j.protocol import Py4JError
from pyspark import SparkContext, java_gateway
from pyspark.core import context
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

from capstone_dagster.wording import end_in_words
from spark_code.session import LOG_CONF, start

# The variables of another Spark that the shell is set up for; those that describe the machine stay.
_OF_ANOTHER_SPARK = ("SPARK_", "PYSPARK_", "HADOOP_CONF_DIR", "YARN_CONF_DIR")
_OF_THE_MACHINE = ("SPARK_LOCAL_DIRS", "SPARK_LOCAL_HOSTNAME", "SPARK_SUBMIT_OPTS")
# It logs every broken connection with a stack trace, though the error that follows says the same.
logging.getLogger("py4j").setLevel(logging.CRITICAL)
# The JVM writes a few lines besides its log; the last of them matter.
_OUTPUT_BYTES = 4096


@dataclass
class _Jvm:
    """One JVM that this process has started."""

    memory: str
    log: Path
    """The log of Spark."""
    output: IO[bytes]
    """The output of the JVM itself."""
    process: "subprocess.Popen[bytes] | None" = None
    has_answered: bool = False

    def last_lines(self) -> str:
        """The last lines of its output."""
        size = os.fstat(self.output.fileno()).st_size
        output = os.pread(self.output.fileno(), _OUTPUT_BYTES, max(0, size - _OUTPUT_BYTES))
        lines = [line.strip() for line in output.decode(errors="replace").splitlines()]
        return "; ".join(line for line in lines if line and not line.startswith("WARNING"))


@dataclass(frozen=True)
class JvmEnd:
    """How the JVM has ended."""

    exit_code: int
    """If negative, the number of the signal that ended it."""
    had_answered: bool
    """Whether PySpark was connected to it."""
    last_lines: str
    """The last output of the JVM itself; Spark has its own log."""

    def __str__(self) -> str:
        ended = end_in_words(self.exit_code)
        by_whom = ", as the system does when the machine has no memory left" if ended.endswith("SIGKILL") else ""
        return f"{ended}{by_whom}"


_jvm: _Jvm | None = None


def start_session(conf: Mapping[str, str]) -> SparkSession:
    """The session of this process; a new one has its own JVM, even if the user's shell is set up for another Spark."""
    global _jvm  # noqa: PLW0603 - PySpark has one JVM for the whole process, too
    if jvm_end():
        _forget()
    if SparkContext._gateway is None:  # noqa: SLF001 - there is no public way
        _jvm = _Jvm(conf["spark.driver.memory"], Path(conf[LOG_CONF]), tempfile.TemporaryFile())  # noqa: SIM115
        with _own_environment(), _launching(_jvm), _signals_kept():
            session = start(dict(conf))
    else:
        session = start(dict(conf))
    # Of this server, not of its class, which has another name in every version of PySpark.
    server = session.sparkContext._accumulatorServer  # noqa: SLF001 - there is no public way
    vars(server)["handle_error"] = partial(_handle_error, server)
    return session


def is_forgotten(session: SparkSession) -> bool:
    """Whether it is no longer the session of this process."""
    return SparkSession._instantiatedSession is not session  # noqa: SLF001 - the public way asks the JVM


def jvm_settings() -> str | None:
    """The memory of the JVM and the location of its log; None if this process has started none."""
    return f"CAPSTONE_DRIVER_MEMORY={_jvm.memory}; log of Spark: {_jvm.log}" if _jvm else None


def jvm_end(seconds: float = 0) -> JvmEnd | None:
    """How the latest JVM of this process has ended; None if it still runs after so many seconds."""
    if _jvm is None or _jvm.process is None:
        return None
    try:
        code = _jvm.process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    return JvmEnd(code, _jvm.has_answered, _jvm.last_lines())


def forget_dead_session() -> None:
    """Let the next step get a new session if this one no longer answers, or if its JVM ended during the start."""
    if jvm_end() or not _answers():
        _forget()


def _forget() -> None:
    global _jvm  # noqa: PLW0603
    if _jvm and _jvm.process:
        _jvm.process.kill()  # a JVM whose Spark has stopped would keep its memory until this process ends
        _jvm.process.wait()
    _jvm = None
    SparkContext._active_spark_context = None  # noqa: SLF001
    SparkContext._gateway = SparkContext._jvm = None  # noqa: SLF001
    SparkSession._instantiatedSession = None  # noqa: SLF001


def _answers() -> bool:
    session = SparkSession._instantiatedSession  # noqa: SLF001 - the public way asks the JVM
    try:
        if session is None:
            return SparkContext._gateway is None  # noqa: SLF001 - otherwise an interrupted start has left half a Spark
        _hang_up()
        session.sparkContext.cancelAllJobs()  # jobs of a step that was stopped: nobody waits for their rows
        return session.range(1).count() == 1
    except (Py4JError, PySparkException, OSError, AttributeError):  # the last if Spark has stopped itself on a signal
        return False


def _hang_up() -> None:
    """Close this thread's connection to the JVM; the next call opens another.

    A call that a signal has interrupted leaves its answer in the connection, and the next call would read it: at best
    an object instead of a number, which is a TypeError, at worst a wrong number.
    """
    gateway = SparkContext._gateway  # noqa: SLF001
    connection = gateway and gateway._gateway_client.get_thread_connection()  # noqa: SLF001
    if connection:
        connection.close()


@contextmanager
def _own_environment() -> Iterator[None]:
    """Remove the variables of another Spark for the duration: its home, its settings, its server."""
    others = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(_OF_ANOTHER_SPARK) and name not in _OF_THE_MACHINE
    }
    for name in others:
        del os.environ[name]
    # Spark listens on loopback alone; without the address it would look up the name of the host, which may have none.
    own = {"PYSPARK_SUBMIT_ARGS": "pyspark-shell", "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    os.environ.update(own)
    try:
        yield
    finally:
        for name in own:
            del os.environ[name]
        # Once PySpark sees this one, it takes itself for the client of a server for good.
        others.pop("SPARK_CONNECT_MODE_ENABLED", None)
        os.environ.update(others)


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Keep PySpark from handling Ctrl-C.

    PySpark installs a handler that calls the JVM, perhaps while another call waits for its answer. That call then fails
    with an error that looks like a lost JVM, the step is tried again, and the Ctrl-C is lost.
    """
    vars(context)["signal"] = SimpleNamespace(SIGINT=signal.SIGINT, signal=lambda *_: None)
    try:
        yield
    finally:
        vars(context)["signal"] = signal


@contextmanager
def _launching(jvm: _Jvm) -> Iterator[None]:
    """Keep the process that PySpark starts, and its output: PySpark returns it only after it has answered."""
    popen = subprocess.Popen

    def start_process(command: list[str], **options: Any) -> "subprocess.Popen[bytes]":
        jvm.process = popen(command, **options, stdout=jvm.output, stderr=jvm.output)
        return jvm.process

    vars(java_gateway)["Popen"] = start_process
    try:
        yield
    finally:
        vars(java_gateway)["Popen"] = popen
        jvm.has_answered = SparkContext._gateway is not None  # noqa: SLF001
        if jvm.process and not jvm.has_answered:
            # Interrupted: PySpark has removed the file into which the JVM would write its address. No client would
            # ever find the JVM, and it would never end.
            jvm.process.kill()


def _handle_error(server: BaseServer, request: Any, client_address: Any) -> None:
    """Do not print the EOFError of a JVM that has ended: the step that needed it reports the end."""
    if not isinstance(sys.exception(), EOFError | ConnectionError):
        type(server).handle_error(server, request, client_address)
