"""Runs the edges under plain ``spark-submit``, for people who work without an orchestrator.

    spark-submit --py-files spark_code.zip spark_code/submit.py preprocessing \
        --date 2020-08-06 --raw s3://bucket/raw --lake s3://bucket/lake
    spark-submit --py-files spark_code.zip spark_code/submit.py analytical \
        --date 2020-08-06 --previous-day 2020-08-05 --raw s3://bucket/raw --lake s3://bucket/lake

It parses arguments, calls the edges of ``flow`` in order, and publishes the drafts; it has no other logic.
"""

import argparse
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date

from pyspark.sql import SparkSession

from spark_code.corporate_actions import REFUSED, Actions, CorporateActions
from spark_code.drafts import Published
from spark_code.errors import ExpectedError
from spark_code.flow import Read, Step, steps_of
from spark_code.glue import GlueCatalog
from spark_code.lake import Lake
from spark_code.manifest import KEPT, Attempt
from spark_code.nyse_calendar import CalendarError, NyseCalendar, parse_day
from spark_code.quality import Circumstances
from spark_code.quality_limits import Limits
from spark_code.raw_files import RawFolder
from spark_code.schemas import DAILY_SUMMARY
from spark_code.session import ENGINE_CONF, start


@dataclass(frozen=True)
class Work:
    """One job of one trading day."""

    job: str
    day: date
    previous_day: date | None
    """None on the first trading day."""
    raw_uri: str | None
    """For the steps that read deliveries, or corporate actions if there are any."""
    lake: Lake
    limits: Limits = field(default_factory=Limits)
    """Of a day's quality."""
    calendar: NyseCalendar = field(default_factory=NyseCalendar)

    def run(self, spark: SparkSession, attempt: Attempt) -> None:
        """Read, compute and publish, step by step."""
        for step in steps_of(self.job):
            if step.reads_deliveries:
                drafts = [step.edge(spark, RawFolder(self.raw_uri or "").deliveries(self.day), self.day)]
            else:
                drafts = step.edge(*(self._published(spark, read) for read in step.reads), *self._given(step))
            for draft in drafts:
                manifest = self.lake.publish(draft, self.day, attempt)
                for sentence in manifest.facts.get(REFUSED, ()) if draft.table == DAILY_SUMMARY else ():
                    sys.stderr.write(f"{sentence}\n")

    def _given(self, step: Step) -> Iterator[Circumstances | Actions]:
        if step.judges:
            hours = self.calendar.hours(self.day)
            yield Circumstances.of(self.lake, self.day, hours, self.limits)
        if step.adjusts:
            yield CorporateActions(self.raw_uri).of(self.day, self.previous_day)

    def _published(self, spark: SparkSession, read: Read) -> Published:
        day = read.day(self.day, self.previous_day)
        return self.lake.read(spark, read.table, day) if day else self.lake.nothing(spark, read.table, self.day)


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="submit.py", description="Run one job of one trading day under spark-submit.")
    parser.add_argument("job", choices=("preprocessing", "analytical"))
    parser.add_argument("--date", required=True, type=_day, help="trading day, yyyy-mm-dd")
    parser.add_argument("--raw", help="raw folder: path or s3:// (analytical: for corporate actions)")
    parser.add_argument("--lake", required=True, help="lake: path or s3://")
    parser.add_argument(
        "--quality-limits", default="", help="limits of a day's quality, like crossed_ratio=0.02:error (analytical)"
    )
    parser.add_argument(
        "--keep-versions", type=_versions, default=KEPT, help="versions of a day that stay, with the published one"
    )
    parser.add_argument("--glue-database", help="Glue database in which to register published days")
    parser.add_argument("--run-id", default=uuid.uuid4().hex, help="run id to write into the manifests")
    before = parser.add_mutually_exclusive_group()
    before.add_argument("--previous-day", type=_day, help="previous trading day, whose closes to use (analytical)")
    before.add_argument("--first-day", action="store_true", help="there is no previous trading day (analytical)")
    arguments = parser.parse_args(argv)
    if arguments.job == "analytical" and not (arguments.previous_day or arguments.first_day):
        parser.error("analytical needs --previous-day, or --first-day if there is none")
    if arguments.job == "preprocessing" and not arguments.raw:
        parser.error("preprocessing needs --raw")
    return arguments


def _versions(text: str) -> int:
    if not text.isdecimal() or int(text) < KEPT:
        raise argparse.ArgumentTypeError(f"must be a number from {KEPT}")
    return int(text)


def _day(text: str) -> date:
    try:
        return parse_day(text)
    except CalendarError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _require_trading_days(calendar: NyseCalendar, day: date, previous_day: date | None) -> None:
    """Refuse a day that cannot have data, and a previous day that is not the trading day before it."""
    calendar.require(day)
    before = max((known for known in calendar.days if known < day), default=None)
    if previous_day not in (None, before):
        raise CalendarError(f"the trading day before {day} is {before}, not {previous_day}")


def main(argv: list[str]) -> int:
    """Run one job; if something is missing or wrong, print one line and return 1."""
    arguments = _arguments(argv)
    try:
        calendar = NyseCalendar()
        _require_trading_days(calendar, arguments.date, arguments.previous_day)
        catalog = GlueCatalog(arguments.glue_database) if arguments.glue_database else None
        lake = Lake(arguments.lake, catalog, keep_versions=arguments.keep_versions)
        limits = Limits.parse(arguments.quality_limits)
        work = Work(arguments.job, arguments.date, arguments.previous_day, arguments.raw, lake, limits, calendar)
        attempt = lake.begin(work.day, arguments.run_id)
        work.run(start(ENGINE_CONF), attempt)
    except ExpectedError as error:
        sys.stderr.write(f"{arguments.job}_{arguments.date}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
