"""What a tick of the sensor `new_files` costs over 250 trading days and 100,000 objects on an S3 server on loopback.

The server is moto's, in this process. A list call of a thousand objects takes it several times as long as S3: read the
numbers of calls as well. With few objects, all days are seen in every tick; with many, in turns.
"""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import patch

import boto3
import click
import dagster as dg

from benchmarks.timing import Baseline, Findings, Measurement, Target, compare
from capstone_dagster.automation.new_files import new_files
from capstone_dagster.automation.new_files_cursor import Ledger
from capstone_dagster.deliveries.listing import DayReader
from capstone_dagster.settings import Settings
from capstone_dagster.trading_days import trading_days
from fake_aws.emr_image import CREDENTIALS, REGION
from fake_aws.s3_server import App, s3_server
from spark_code.manifest import Manifest
from spark_code.raw_files import SOURCES, SUCCESS, RawFolder
from spark_code.schemas import BARS, CLOSES, DAILY_SUMMARY, EVENTS, QUOTE_ANALYTICS, QUOTES, TRADES, Table

_DAYS = 250
_FIRST_DAY = date(2020, 1, 2)
_OBJECTS = {"many": 100_000, "few": 1_000}
_TICK = Target(5.0)
_ROUNDS = 3
_MOST_TICKS = 200
_MOTO_ACCOUNT = "123456789012"


@dataclass
class _Calls:
    """Counts the list calls that the server answers."""

    number: int = 0

    def around(self, app: App) -> App:
        """The server, counting."""

        def counting(environ: dict[str, Any], *rest: Any) -> Iterable[bytes]:
            self.number += "list-type=2" in environ["QUERY_STRING"]
            return app(environ, *rest)

        return counting


@dataclass(frozen=True)
class _Sensor:
    """The sensor over a bucket."""

    settings: Settings
    calls: _Calls

    def tick(self, cursor: str | None) -> str:
        """One tick as the code server makes it; what it remembers."""
        with dg.DagsterInstance.ephemeral() as instance, dg.build_sensor_context(instance, cursor) as context:
            context.log.setLevel(logging.CRITICAL)
            result = new_files(self.settings, jobs=[])(context)
        if not isinstance(result, dg.SensorResult) or result.cursor is None:
            raise click.ClickException(f"the tick came to nothing: {result}")
        return result.cursor

    def list_calls(self, cursor: str | None) -> int:
        """How many a tick makes."""
        before = self.calls.number
        self.tick(cursor)
        return self.calls.number - before

    def until_settled(self) -> tuple[str, int]:
        """The cursor when every day is settled, and how many ticks it took."""
        cursor = None
        for number in range(1, _MOST_TICKS):
            cursor = self.tick(cursor)
            if len(Ledger.parse(cursor).settled) == _DAYS:
                return cursor, number
        raise click.ClickException(f"after {_MOST_TICKS} ticks there are days that no tick has settled")


def measure() -> Findings:
    """A group for many objects, and one for few."""
    calls = _Calls()
    with _server(calls):
        told, groups = zip(*(_measured(bucket, calls) for bucket in _OBJECTS), strict=True)
    return Findings(given="\n  ".join(["", *told]), groups=groups)


def _measured(bucket: str, calls: _Calls) -> tuple[str, list[Measurement]]:
    click.echo(f"  {_OBJECTS[bucket]:,} objects, and a lake that is published from them", err=True)
    put = _filled(bucket)
    raw = RawFolder(f"s3://{bucket}/raw")
    _publish(raw, put)
    empty, full = (_sensor(bucket, lake, calls) for lake in ("empty", "lake"))
    settled, ticks = full.until_settled()
    numbers = empty.list_calls(None), full.list_calls(None), full.list_calls(settled)
    told = (
        f"{bucket}: {_OBJECTS[bucket]:,} objects of {_DAYS} days, settled after {ticks} ticks with a cursor of "
        f"{len(settled):,} bytes; list calls of the ticks below: {', '.join(map(str, numbers))}"
    )
    group = compare(
        Baseline(f"{bucket}: the first list call", lambda: next(raw.storage.pages("csv", after="")), is_part=False),
        {
            f"{bucket}: first tick, lake empty": (lambda: empty.tick(None), _TICK),
            f"{bucket}: first tick, lake full": (lambda: full.tick(None), _TICK),
            f"{bucket}: tick without news": (lambda: full.tick(settled), _TICK),
        },
        rounds=_ROUNDS,
    )
    return told, group


def _sensor(bucket: str, lake: str, calls: _Calls) -> _Sensor:
    given = {
        "CAPSTONE_RAW_URI": f"s3://{bucket}/raw",
        "CAPSTONE_LAKE_URI": f"s3://{bucket}/{lake}",
        "CAPSTONE_FIRST_TRADING_DAY": f"{_FIRST_DAY}",
    }
    return _Sensor(Settings.from_mapping(given), calls)


def _days() -> Sequence[date]:
    return trading_days(_FIRST_DAY).parse(f"{_FIRST_DAY}..{_FIRST_DAY.replace(year=_FIRST_DAY.year + 1)}")[:_DAYS]


def _filled(bucket: str) -> Callable[[str, bytes], object]:
    """Make the bucket with all raw files; returns what puts more. Through the door it would take ten minutes."""
    from moto.s3.models import s3_backends  # noqa: PLC0415 - takes a second

    boto3.client("s3").create_bucket(Bucket=bucket)
    backend = s3_backends[_MOTO_ACCOUNT]["aws"]

    def put(key: str, content: bytes) -> object:
        return backend.put_object(bucket, key, content)

    files = _OBJECTS[bucket] // (_DAYS * len(SOURCES)) - 1
    for day in _days():
        for source in SOURCES:
            for name in [*(f"part-{number:05}" for number in range(files)), SUCCESS]:
                put(f"raw/{source.folder(day)}/{name}", b"a line\n")
    return put


def _publish(raw: RawFolder, put: Callable[[str, bytes], object]) -> None:
    """The pointers of a lake that is published from these files."""
    days = _days()
    reader = DayReader(raw, {source.format: [f"{day}" for day in days] for source in SOURCES})
    for previous, day in zip([None, *days], days, strict=False):
        deliveries = [arrival.delivery for arrival in reader.read(day).arrivals]
        load = {EVENTS.path: f"{day}"}
        report = {TRADES.path: f"{day}", QUOTES.path: f"{day}"}
        closes = {CLOSES.path: f"{previous}"} if previous else {}
        inputs: dict[Table, dict[str, str]] = {
            EVENTS: {found.source.raw_table: found.fingerprint for found in deliveries},
            **dict.fromkeys((TRADES, QUOTES, CLOSES), load),
            **dict.fromkeys((QUOTE_ANALYTICS, DAILY_SUMMARY, BARS), report | closes),
        }
        for table, used in inputs.items():
            manifest = Manifest(f"{day}", f"{day}", [], 0, 0, "run", 1, 1, f"{day}T23:00:00+00:00", used)
            put(f"lake/{table.path}/_published/{day}.json", manifest.to_json())


@contextmanager
def _server(calls: _Calls) -> Iterator[None]:
    with TemporaryDirectory() as home, s3_server(around=calls.around) as endpoint:
        given = {
            **dict.fromkeys(Settings.variables(), ""),
            **CREDENTIALS,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ENDPOINT_URL_S3": endpoint,
            "CAPSTONE_HOME": home,
        }
        with patch.dict(os.environ, given):
            yield
