"""JVMs that start quickly: to load Spark's classes costs a quarter of what a day of some lines takes.

The classes that a day needs are laid out in an archive, once, in pytest's cache. A JVM that finds none there, or one
of other classes than its own, goes without it.
"""

import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

import pyspark
from pyspark.sql import SparkSession

_VARIABLE = "SPARK_SUBMIT_OPTS"  # of every JVM that Spark starts
# A JVM that lives for a day of some lines: its better compiler costs half of its time, and what Spark compiles for a
# query another fifth. The fixture ``spark`` compiles its queries, as people's Spark does.
_OPTIONS = " ".join(
    (
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-Xlog:cds*=off",
        "-Dspark.sql.codegen.wholeStage=false",
        "-Dspark.sql.codegen.factoryMode=NO_CODEGEN",
    )
)


def start_jvms_quickly(cache: Path) -> None:
    """For this process and all that it starts."""
    archive = cache / f"spark-{pyspark.__version__}.jsa"
    if not archive.exists():
        making = [sys.executable, "-m", __name__, str(archive)]
        subprocess.run(making, capture_output=True, check=False)  # tests say better what is wrong with Spark or Java
    os.environ[_VARIABLE] = f'{_OPTIONS} -XX:SharedArchiveFile="{archive}"'


def _make(archive: Path) -> None:
    """Run a day; what its JVM has loaded goes into the archive as it ends."""
    from capstone_dagster_tests.servers.platform import Platform  # takes a second, and not every test needs it

    unfinished = archive.with_suffix(f".{os.getpid()}")
    os.environ[_VARIABLE] = f'{_OPTIONS} -XX:ArchiveClassesAtExit="{unfinished}"'
    with TemporaryDirectory() as folder:
        platform = Platform(Path(folder), date(2020, 8, 5))
        platform.sample(platform.first_day)
        platform.run("daily_pipeline", platform.first_day)
        jvm = SparkSession.active().sparkContext._gateway.proc  # type: ignore[union-attr]
        jvm.stdin.close()
        jvm.wait()
    unfinished.rename(archive)


if __name__ == "__main__":
    _make(Path(sys.argv[1]))
