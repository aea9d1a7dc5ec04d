"""A signal amid whatever Spark is asked: the process goes on with the same Spark, and hears what it has asked for."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import dagster as dg
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from capstone_dagster.steps.spark_process import forget_dead_session, is_forgotten
from capstone_dagster.tracker import Tracker
from capstone_dagster_tests.servers.platform import CAPSTONE, Platform


@contextmanager
def _stopped_after(seconds: float) -> Iterator[None]:
    """As Dagster stops a step: the signal raises wherever the step is."""

    def stop(*_: object) -> None:
        raise dg.DagsterExecutionInterruptedError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _work(spark: SparkSession) -> None:
    rows = spark.range(1_000).withColumn("group", F.col("id") % 7)
    while True:
        for group in range(7):
            (found,) = rows.where(F.col("group") == group).groupBy("group").count().collect()
            assert found["group"] == group


@pytest.mark.faults("F1", sample=True)
def test_after_a_step_was_stopped_at_any_moment_the_same_spark_gives_the_answers_that_it_is_asked_for(
    spark: SparkSession, rounds: Callable[[int], int]
) -> None:
    stopped = []  # whoever keeps the error keeps what was called, and its connection to the JVM
    for _ in range(rounds(8)):
        try:
            with _stopped_after(random.uniform(0.01, 0.5)):  # noqa: S311
                _work(spark)
        except dg.DagsterExecutionInterruptedError as error:
            stopped.append(error)

        forget_dead_session()

        assert not is_forgotten(spark)
        assert [spark.range(number).count() for number in (3, 5, 7)] == [3, 5, 7]


# A command line whose Spark session, while it is made, hears Ctrl-C amid a question to the JVM.
_CHILD = """
import os, signal
from py4j.clientserver import ClientServerConnection
from pyspark.sql import SparkSession

class Interrupted:
    def __init__(self, answers):
        self.answers = answers
    def readline(self):
        os.kill(os.getpid(), signal.SIGINT)
        return self.answers.readline()

ask, make = ClientServerConnection.send_command, SparkSession.__init__

def asked(connection, command):
    ClientServerConnection.send_command = ask
    connection.stream = Interrupted(connection.stream)
    return ask(connection, command)

def made(session, *args, **kwargs):
    ClientServerConnection.send_command = asked
    make(session, *args, **kwargs)

SparkSession.__init__ = made
from capstone_dagster.cli import main
main.main()
"""


@pytest.mark.faults("F1", sample=True)
def test_ctrl_c_while_the_spark_session_is_made_ends_the_run(tmp_path: Path) -> None:
    platform, child = Platform(tmp_path / "home", date(2020, 8, 5)), tmp_path / "child.py"
    platform.sample(platform.first_day)
    child.write_text(_CHILD)
    with platform.instance() as instance:
        ran = platform.capstone("run", f"{platform.first_day}", program=(sys.executable, str(child)))
        statuses = {job.status for job in Tracker(instance).latest(1)}

    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "Traceback" not in ran.stdout + ran.stderr
    assert statuses == {"FAILURE"}


# A start that is interrupted when Spark has a context and no session, another one, and a Spark that stops by itself.
_RESTARTS = """
import sys
from pathlib import Path
import psutil
from pyspark.sql import SparkSession
from capstone_dagster.steps.spark_process import forget_dead_session, start_session
from spark_code.session import local_conf

conf, make = local_conf("512m", Path(sys.argv[1])), SparkSession.__init__

def interrupted(*_, **__):
    raise KeyboardInterrupt

SparkSession.__init__ = interrupted
try:
    start_session(conf)
except KeyboardInterrupt:
    SparkSession.__init__ = make
for _ in range(2):
    forget_dead_session()
    spark = start_session(conf)
    print(spark.range(3).count(), [child.name() for child in psutil.Process().children()].count("java"))
    spark.sparkContext._jsc.sc().stop()
"""


@pytest.mark.faults("F1")
def test_a_start_that_was_interrupted_and_a_spark_that_has_stopped_leave_no_jvm_behind(tmp_path: Path) -> None:
    ran = subprocess.run([sys.executable, "-c", _RESTARTS, str(tmp_path)], capture_output=True, text=True, check=False)

    assert ran.stdout == "3 1\n3 1\n", ran.stderr


@pytest.mark.faults("F1")
def test_capstone_run_that_is_asked_to_end_says_so_in_a_sentence_at_any_moment(
    tmp_path: Path, rounds: Callable[[int], int]
) -> None:
    platform = Platform(tmp_path, date(2020, 8, 5))
    platform.sample(platform.first_day)
    command = [CAPSTONE, "run", f"{platform.first_day}"]
    ends = {"SUCCESS", "FAILURE", "CANCELED"}
    with platform.instance() as instance:
        for _ in range(rounds(1)):
            process = subprocess.Popen(
                command,
                env=os.environ | platform.environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            time.sleep(random.uniform(2, 15))  # noqa: S311
            process.send_signal(signal.SIGTERM)
            told, _ = process.communicate(timeout=120)

            assert "Traceback" not in told
            assert "TypeError" not in told
            # Before Dagster is loaded, the signal simply ends the process.
            assert process.returncode in {0, 1, -signal.SIGTERM}, told
            assert {job.status for job in Tracker(instance).latest(1)} <= ends, told
