"""The edges under plain ``spark-submit``, for people who work without an orchestrator.

    spark-submit --py-files spark_code.zip spark_code/submit.py preprocessing \
        --date 2020-08-06 --raw s3://bucket/raw --lake s3://bucket/lake
    spark-submit --py-files spark_code.zip spark_code/submit.py analytical \
        --date 2020-08-06 --previous-day 2020-08-05 --lake s3://bucket/lake

Arguments in, edges called in order, drafts published; no logic of its own.
"""

import argparse
import sys
import uuid
from datetime import date

from pyspark.sql import SparkSession

from spark_code import eod_to_report, ingested_to_eod, raw_to_ingested
from spark_code.glue import GlueCatalog
from spark_code.lake import Lake, LakeError
from spark_code.locations import StorageError
from spark_code.manifest import Attempt
from spark_code.nyse_calendar import CalendarError, NyseCalendar, parse_day
from spark_code.raw_files import MissingDeliveryError, RawFolder, UnreadableNameError
from spark_code.schemas import CLOSES, EVENTS, QUOTES, TRADES
from spark_code.session import ENGINE_CONF, start


def preprocessing(spark: SparkSession, raw: RawFolder, lake: Lake, day: date, attempt: Attempt) -> None:
    """Raw files to the end-of-day load."""
    lake.publish(raw_to_ingested.build(spark, raw.deliveries(day), day), day, attempt)
    for draft in ingested_to_eod.build(lake.read(spark, EVENTS, day)):
        lake.publish(draft, day, attempt)


def analytical(spark: SparkSession, lake: Lake, day: date, previous_day: date | None, attempt: Attempt) -> None:
    """The end-of-day load to the report."""
    closes = lake.read(spark, CLOSES, previous_day) if previous_day else lake.nothing(spark, CLOSES, day)
    trades, quotes = lake.read(spark, TRADES, day), lake.read(spark, QUOTES, day)
    for draft in eod_to_report.build(trades, quotes, closes):
        lake.publish(draft, day, attempt)


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="submit.py", description="One job of one trading day, under spark-submit.")
    parser.add_argument("job", choices=("preprocessing", "analytical"))
    parser.add_argument("--date", required=True, type=_day, help="trading day, yyyy-mm-dd")
    parser.add_argument("--raw", help="raw folder: path or s3:// (preprocessing)")
    parser.add_argument("--lake", required=True, help="lake: path or s3://")
    parser.add_argument("--glue-database", help="Glue database in which to register what is published")
    parser.add_argument("--run-id", default=uuid.uuid4().hex, help="what the manifests name as their run")
    before = parser.add_mutually_exclusive_group()
    before.add_argument("--previous-day", type=_day, help="the trading day before, whose closes count (analytical)")
    before.add_argument("--first-day", action="store_true", help="there is no trading day before (analytical)")
    arguments = parser.parse_args(argv)
    if arguments.job == "analytical" and not (arguments.previous_day or arguments.first_day):
        parser.error("analytical needs --previous-day, or --first-day if there is none")
    if arguments.job == "preprocessing" and not arguments.raw:
        parser.error("preprocessing needs --raw")
    return arguments


def _day(text: str) -> date:
    try:
        return parse_day(text)
    except CalendarError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _require_trading_days(day: date, previous_day: date | None) -> None:
    """Refuse to work on a day that has no data, or to compare it with another day than the one before."""
    calendar = NyseCalendar()
    calendar.require(day)
    before = max((known for known in calendar.days if known < day), default=None)
    if previous_day not in (None, before):
        raise CalendarError(f"the trading day before {day} is {before}, not {previous_day}")


def main(argv: list[str]) -> int:
    """Run one job; exit code 1 with one line on what is missing or wrong."""
    arguments = _arguments(argv)
    try:
        _require_trading_days(arguments.date, arguments.previous_day)
        catalog = GlueCatalog(arguments.glue_database) if arguments.glue_database else None
        lake = Lake(arguments.lake, catalog)
        attempt = lake.begin(arguments.date, arguments.run_id)
        if arguments.job == "preprocessing":
            raw = RawFolder(arguments.raw)
            preprocessing(start(ENGINE_CONF), raw, lake, arguments.date, attempt)
        else:
            analytical(start(ENGINE_CONF), lake, arguments.date, arguments.previous_day, attempt)
    except (CalendarError, LakeError, StorageError, MissingDeliveryError, UnreadableNameError) as error:
        sys.stderr.write(f"{arguments.job}_{arguments.date}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
