"""The command line of the soak; its exit code is 1 if something was wrong.

python -m capstone_dagster_tests.soak --days 30 --minutes 10 --seed 7
"""

import random
import sys
from pathlib import Path

import click

from capstone_dagster.cli.child_process import exiting_on_termination
from capstone_dagster_tests.soak.plan import ON_DISK, ON_S3, draw
from capstone_dagster_tests.soak.soaking import Soak


@click.command()
@click.option(
    "--days", type=click.IntRange(2, 250), default=30, show_default=True, help="How many trading days arrive."
)
@click.option("--minutes", type=click.FloatRange(1), default=10, show_default=True, help="For how long they do.")
@click.option("--seed", type=int, help="Repeats the plan of another soak; drawn, unless given.")
@click.option("--lake", type=click.Choice(["disk", "s3"]), default="disk", show_default=True, help="Where tables are.")
@click.option("--plan", "only_plan", is_flag=True, help="Print what would happen, and do nothing.")
@click.option("--summary", type=click.Path(dir_okay=False, path_type=Path), help="Also write the summary to a file.")
def main(days: int, minutes: float, seed: int | None, lake: str, only_plan: bool, summary: Path | None) -> None:
    """Let trading days arrive while things go wrong, and judge what has become of them."""
    seed = random.SystemRandom().randrange(1_000_000) if seed is None else seed
    steps = draw(seed, days, minutes * 60, ON_S3 if lake == "s3" else ON_DISK)
    click.echo(f"seed {seed}: {days} days in {minutes:g} minutes, {len(steps)} steps")
    for step in steps:
        click.echo(f"  {step}")
    if only_plan:
        return
    soak = Soak(seed, days, steps, on_s3=lake == "s3")
    with exiting_on_termination():  # so that nothing goes on working
        findings = soak.run()
    text = soak.summary(findings)
    click.echo(text)
    if summary:
        summary.write_text(text)
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
