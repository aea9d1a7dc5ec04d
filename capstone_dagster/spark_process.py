"""The JVM behind the Spark session of this process, as seen by somebody who goes on after it has died.

PySpark hands out the session it once made, also when its JVM has died of a day that was too big.
"""

from py4j.protocol import Py4JError
from pyspark import SparkContext
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession


def is_forgotten(session: SparkSession) -> bool:
    """Whether it is not the session of this process any more."""
    return SparkSession._instantiatedSession is not session  # noqa: SLF001 - the public way asks the JVM


def forget_dead_session() -> None:
    """If the session no longer answers, forget it: the next step that asks gets a new one."""
    session = SparkSession._instantiatedSession  # noqa: SLF001 - the public way asks the JVM
    if session is None:
        return
    try:
        session.range(1).count()
    except (Py4JError, PySparkException, OSError, AttributeError):  # the last: Spark stopped itself at a signal
        SparkContext._active_spark_context = None  # noqa: SLF001
        SparkContext._gateway = SparkContext._jvm = None  # noqa: SLF001
        SparkSession._instantiatedSession = None  # noqa: SLF001
