"""The Spark session of each engine, and the settings that results or files depend on.

A cluster sets the sizes of its executors itself.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pyspark.sql import SparkSession

from spark_code.locations import s3_endpoint, s3_region

# The settings with which every engine writes the same files.
ENGINE_CONF: dict[str, str] = {
    "spark.sql.session.timeZone": "UTC",
    # ingested/events has three directories; without this every task would sort its rows by them.
    "spark.sql.maxConcurrentOutputFileWriters": "8",
    "spark.sql.parquet.compression.codec": "zstd",
    # Rows from Python stay packed; in a local relation, each would be an object in the driver.
    "spark.sql.execution.arrow.localRelationThreshold": "0",
    # HotSpot never compiles a larger method; Spark then splits them up.
    "spark.sql.codegen.hugeMethodLimit": "8000",
}

# The archive of Spark's classes that ``make setup`` makes, so that the JVM starts sooner; it ignores one that does not
# fit.
CLASS_ARCHIVE = Path(sys.prefix, "spark.jsa")
NO_MESSAGES = "-Xlog:cds*=off"

# The Python of the tasks, which has what this one has. Spark reads it when a session is made; a cluster sets its own.
os.environ.setdefault("PYSPARK_PYTHON", sys.executable)

# The log file of Spark inside this process: our own setting, which Spark does not know.
LOG_CONF = "spark.capstone.log"


def local_conf(driver_memory: str, log_dir: Path, *more_java_options: str) -> dict[str, str]:
    """Spark inside this process: all cores, a bounded driver, its log in a file."""
    log4j, log = Path(__file__).with_name("log4j2.properties").as_uri(), log_dir / "spark.log"
    java_options = [f"-Dlog4j2.configurationFile={log4j}", f"-Dcapstone.spark.log={log}", *more_java_options]
    if CLASS_ARCHIVE.exists():
        java_options += [f"-XX:SharedArchiveFile={CLASS_ARCHIVE}", NO_MESSAGES]
    return {
        **ENGINE_CONF,
        "spark.master": "local[*]",
        "spark.app.name": "capstone",
        "spark.driver.memory": driver_memory,
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.extraJavaOptions": " ".join(map(_quoted, java_options)),
        LOG_CONF: str(log),
        # A day compiles to some 150 classes; with fewer kept, every day would compile all of them again.
        "spark.sql.codegen.cache.maxEntries": "1000",
        "spark.sql.shuffle.partitions": str(max(8, 2 * (os.cpu_count() or 1))),
        # It would add the line of Python to Spark's errors, but every call would call the JVM several times.
        "spark.python.sql.dataFrameDebugging.enabled": "false",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }


def _quoted(option: str) -> str:
    """Java options are split as in a shell, and a folder may have any name."""
    escaped = option.replace("\\", r"\\").replace('"', r"\"")
    return f'"{escaped}"'


def s3_conf(jars: Sequence[Path]) -> dict[str, str]:
    """The settings of Spark in this process for ``s3://`` locations: its S3 client (S3A) and the endpoint.

    They contain no credentials: the client finds them itself, in the order of AWS's libraries. A cluster has its own
    client.
    """
    conf = {
        # On the class path from the start, which is faster than jars that every session copies and loads.
        "spark.driver.extraClassPath": os.pathsep.join(map(str, jars)),
        "spark.hadoop.fs.s3.impl": "org.apache.hadoop.fs.s3a.S3AFileSystem",
        "spark.hadoop.fs.s3a.aws.credentials.provider": (
            "software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider"
        ),
        "spark.hadoop.fs.s3a.endpoint.region": s3_region(),
        # Files are uploaded to their destination, and appear there at the end of the job. The default renames, and S3
        # has no rename: every file would be copied.
        "spark.hadoop.fs.s3a.committer.name": "magic",
        "spark.hadoop.mapreduce.outputcommitter.factory.scheme.s3": (
            "org.apache.hadoop.fs.s3a.commit.S3ACommitterFactory"
        ),
        "spark.sql.sources.commitProtocolClass": "org.apache.spark.internal.io.cloud.PathOutputCommitProtocol",
        "spark.sql.parquet.output.committer.class": (
            "org.apache.spark.internal.io.cloud.BindingParquetOutputCommitter"
        ),
    }
    if endpoint := s3_endpoint():
        conf |= {"spark.hadoop.fs.s3a.endpoint": endpoint, "spark.hadoop.fs.s3a.path.style.access": "true"}
    return conf


def start(conf: dict[str, str]) -> SparkSession:
    """Return the running session or start a new one, with these settings."""
    builder = SparkSession.builder
    for key, value in conf.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()
