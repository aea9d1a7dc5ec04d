"""Makes the archive of Spark's classes: ``python -m capstone_dagster.steps.class_archive``, a part of ``make setup``.

Loading them takes a third of Spark's start and a fifth of its first day; Java maps them from an archive at once. Where
there is none, or one of another Java or Spark, it loads them as usual.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory

from pyspark import SparkContext
from pyspark.sql import SparkSession

from capstone_dagster.deliveries.sample import Sample
from capstone_dagster.steps.spark_process import start_session
from spark_code import raw_to_ingested
from spark_code.lake import Lake
from spark_code.manifest import Attempt
from spark_code.session import CLASS_ARCHIVE, NO_MESSAGES, local_conf
from spark_code.submit import Work

_MOST_SECONDS = 300
_DAYS = date(2020, 8, 5), date(2020, 8, 6)


def make() -> None:
    """Run sample days; what their JVM has loaded is archived when it ends."""
    CLASS_ARCHIVE.unlink(missing_ok=True)
    unfinished = CLASS_ARCHIVE.with_suffix(".unfinished")
    with TemporaryDirectory() as folder:
        raw, lake = f"{folder}/raw", Lake(f"{folder}/lake")
        list(Sample(symbols=2, events=200, seed=1).write(raw, _DAYS[0], len(_DAYS)))
        with _session(Path(folder), f"-XX:ArchiveClassesAtExit={unfinished}") as spark:
            Work("daily_pipeline", _DAYS[0], None, raw, lake).run(spark, Attempt.begin("archive"))
            raw_to_ingested.SMALL_BYTES = 0  # as on a large day, whose lines are judged in tasks
            Work("daily_pipeline", _DAYS[1], _DAYS[0], raw, lake).run(spark, Attempt.begin("archive"))
    unfinished.rename(CLASS_ARCHIVE)


@contextmanager
def _session(folder: Path, option: str) -> Iterator[SparkSession]:
    spark = start_session(local_conf("1g", folder, option, NO_MESSAGES))
    jvm = SparkContext._gateway.proc  # type: ignore[union-attr]  # noqa: SLF001 - there is no public way
    try:
        yield spark
        jvm.stdin.close()
        jvm.wait(_MOST_SECONDS)
    finally:
        jvm.kill()


if __name__ == "__main__":
    make()
