"""The command line of the fuzz; its exit code is 1 if Spark and the model do not agree.

python -m capstone_dagster_tests.fuzz --lines 200000 --seed 7
"""

import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

import click
from pyspark.sql import SparkSession

from capstone_dagster_tests.fuzz.rounds import DifferenceError, Reasons, judge_day
from capstone_dagster_tests.servers.small_spark import small_spark

_LINES_OF_A_DAY = 10_000


@click.command()
@click.option("--lines", type=click.IntRange(1), default=200_000, show_default=True, help="How many are judged.")
@click.option("--seed", type=int, help="Of the first day, each other day has the next one; drawn, unless given.")
def main(lines: int, seed: int | None) -> None:
    """Judge days of odd lines and broken files by Spark and by a model of the contract, and compare."""
    first = random.SystemRandom().randrange(1_000_000) if seed is None else seed
    click.echo(f"seed {first}")
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        spark = small_spark(Path(folder))
        try:
            sys.exit(_judge(spark, Path(folder), first, lines))
        finally:
            spark.stop()


def _judge(spark: SparkSession, folder: Path, first: int, lines: int) -> int:
    reasons, refused, began, day = Reasons(), 0, time.monotonic(), first
    while reasons.total() < lines:
        raw = folder / "raw"
        try:
            found, broken = judge_day(spark, raw, day, _LINES_OF_A_DAY)
        except DifferenceError as difference:
            click.echo(f"{difference}\nrepeat it with: make fuzz N=1 SEED={day}", err=True)
            return 1
        reasons, refused, day = reasons + found, refused + broken, day + 1
        shutil.rmtree(raw)
        click.echo(f"{reasons.total():,} lines, {time.monotonic() - began:.0f} s")
    click.echo(_table(reasons, refused, first, day - 1))
    return 0


def _table(reasons: Reasons, refused: int, first: int, last: int) -> str:
    rows = {
        "seeds": f"{first}..{last}",
        "lines": f"{reasons.total():,}",
        "accepted": f"{reasons[None]:,}",
        **{f"rejected: {reason}": f"{number:,}" for reason, number in reasons.most_common() if reason},
        "files that cannot be read": f"{refused:,}",
    }
    return "\n".join(f"{name:<32}{value:>16}" for name, value in rows.items())


if __name__ == "__main__":
    main()
