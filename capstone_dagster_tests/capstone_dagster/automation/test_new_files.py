"""What the sensor asks for, records, tells and remembers from tick to tick."""

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from capstone_dagster.automation.needed_runs import fingerprint
from capstone_dagster.automation.new_files import NewFilesTick, new_files
from capstone_dagster.automation.new_files_cursor import Ledger
from capstone_dagster.definitions import build_defs
from capstone_dagster.run_tags import DELIVERIES_TAG
from capstone_dagster.settings import Settings
from capstone_dagster_tests.builders.hand_made_days import (
    FRIDAY,
    THURSDAY,
    TUESDAY,
    HandMadeDays,
    files,
)
from capstone_dagster_tests.builders.lakes import break_storage, deliver
from capstone_dagster_tests.builders.raw_folders import CountedRaw
from capstone_dagster_tests.builders.run_histories import FAILURE
from spark_code.raw_files import SOURCES

NOW = datetime(2020, 9, 9, 22, tzinfo=UTC)


class Sensor:
    """The sensor over a raw folder in memory; its cursor goes from tick to tick."""

    def __init__(self, days: HandMadeDays, variables: Mapping[str, str] | None = None) -> None:
        self.days, self.raw = days, CountedRaw()
        given = {"CAPSTONE_FIRST_TRADING_DAY": f"{THURSDAY}", **(variables or {})}
        self.settings = Settings.from_mapping(given)
        self.now = NOW
        self.cursor: str | None = None

    def deliver(self, *days: date, content: str = "A", exchange: str | None = None, age: float = 3600) -> None:
        """The files of ``hand_made_days.files``."""
        for source in SOURCES:
            if exchange in (None, source.exchange):
                at = self.now - timedelta(seconds=age)
                self.raw.put(*(f"{source.folder(day)}/part" for day in days), content=content, at=at)

    def tick(self, clock: Callable[[], float] = lambda: 0.0) -> NewFilesTick:
        ledger = Ledger.parse(self.cursor)
        tick = NewFilesTick(self.settings, self.raw, ledger, self.days.judge, self.now, clock)
        tick.run()
        self.cursor = str(ledger)
        return tick


@pytest.fixture
def sensor(days: HandMadeDays) -> Sensor:
    return Sensor(days)


def asked_for(tick: NewFilesTick) -> list[tuple[str | None, str | None]]:
    return [(request.job_name, request.partition_key) for request in tick.requests]


def recorded(tick: NewFilesTick) -> list[tuple[str, str | None, object]]:
    """What has come; each is observed first and then materialized."""
    observed, arrived = tick.arrived[::2], tick.arrived[1::2]
    assert all(isinstance(event, dg.AssetObservation) for event in observed)
    assert all(isinstance(event, dg.AssetMaterialization) for event in arrived)
    assert [(event.asset_key, event.tags) for event in observed] == [(event.asset_key, event.tags) for event in arrived]
    return [(event.asset_key.to_user_string(), event.partition, event.metadata["bytes"].value) for event in arrived]


def tagged(content: str = "A", day: date = FRIDAY) -> dict[str, str]:
    return {DELIVERIES_TAG: fingerprint(files(content, day))}


def test_every_complete_day_is_asked_for_the_oldest_first(sensor: Sensor) -> None:
    sensor.deliver(TUESDAY, FRIDAY, THURSDAY)

    tick = sensor.tick()

    assert asked_for(tick) == [("daily_pipeline", f"{day}") for day in (THURSDAY, FRIDAY, TUESDAY)]
    assert [request.run_key for request in tick.requests] == [
        f"{day}_{fingerprint(files('A', day))}" for day in (THURSDAY, FRIDAY, TUESDAY)
    ]
    assert tick.requests[1].tags == tagged() | {"dagster/priority": "1"}


def test_a_request_is_repeated_under_the_same_key_until_its_run_is_found(sensor: Sensor) -> None:
    sensor.deliver(THURSDAY)

    first, second = sensor.tick(), sensor.tick()
    sensor.days.queued("daily_pipeline", THURSDAY, tags=tagged(day=THURSDAY))
    third = sensor.tick()

    assert [request.run_key for request in first.requests] == [request.run_key for request in second.requests]
    assert third.requests == []
    assert f"{THURSDAY} waits for the end of daily_pipeline (QUEUED" in third.summary


def test_a_day_is_left_alone_once_it_is_published_from_these_files(sensor: Sensor) -> None:
    sensor.deliver(THURSDAY)
    sensor.days.ran("daily_pipeline", THURSDAY, tags=tagged(day=THURSDAY))

    first, second = sensor.tick(), sensor.tick()

    assert first.reasons == [f"{THURSDAY} is up to date"]
    assert (second.reasons, second.summary) == ([], "watching 1 day")


def test_a_day_is_left_alone_once_its_run_has_failed_and_asked_for_again_when_its_files_change(sensor: Sensor) -> None:
    sensor.deliver(THURSDAY)
    run = sensor.days.started("daily_pipeline", THURSDAY, tags=tagged(day=THURSDAY))
    run.ends(FAILURE)

    failed, quiet = sensor.tick(), sensor.tick()
    sensor.deliver(THURSDAY, content="B", exchange="NASDAQ")
    corrected = sensor.tick()

    assert "when the reason is mended, run it again" in failed.reasons[0]
    assert (failed.requests, quiet.reasons) == ([], [])
    assert asked_for(corrected) == [("daily_pipeline", f"{THURSDAY}")]


def test_a_day_waits_for_every_exchange_and_says_for_which_and_why(sensor: Sensor) -> None:
    sensor.deliver(THURSDAY, FRIDAY)
    sensor.deliver(FRIDAY, exchange="NYSE", age=20)
    sensor.deliver(TUESDAY, exchange="NYSE", age=20)

    tick = sensor.tick()

    assert asked_for(tick) == [("daily_pipeline", f"{THURSDAY}")]
    young = "part is 20 s old; a _SUCCESS that is not older, or 60 s without a change, completes the delivery"
    assert tick.reasons[1:] == [
        f"{FRIDAY} is waiting for NYSE: {young}",
        f"{TUESDAY} is waiting for NYSE: {young}; {TUESDAY} is waiting for NASDAQ: it has delivered no data file",
    ]
    assert tick.summary == (f"watching 3 days; {FRIDAY} is waiting for NYSE; {TUESDAY} is waiting for NYSE and NASDAQ")


def test_a_correction_is_not_run_by_halves_because_the_marker_of_the_first_delivery_lies_there(sensor: Sensor) -> None:
    def put(name: str, content: str = "A") -> None:
        sensor.raw.put(*(f"{source.folder(THURSDAY)}/{name}" for source in SOURCES), content=content, at=sensor.now)

    put("part-0")
    put("part-1")
    put("_SUCCESS")
    delivered = sensor.tick()
    sensor.now += timedelta(hours=1)
    put("part-0", "corrected")
    first_half = sensor.tick()
    sensor.now += timedelta(seconds=40)
    put("part-1", "corrected")
    second_half = sensor.tick()
    put("_SUCCESS")
    said_to_be_complete = sensor.tick()

    assert [asked_for(tick) for tick in (delivered, first_half, second_half, said_to_be_complete)] == [
        [("daily_pipeline", f"{THURSDAY}")],
        [],
        [],
        [("daily_pipeline", f"{THURSDAY}")],
    ]
    assert first_half.summary == f"watching 1 day; {THURSDAY} is waiting for NYSE and NASDAQ"


def test_a_file_of_the_future_counts_since_it_was_seen(sensor: Sensor) -> None:
    sensor.deliver(THURSDAY, age=-9999)
    asked = []
    for _ in range(3):
        asked.append(asked_for(sensor.tick()))
        sensor.now += timedelta(seconds=30)

    assert asked == [[], [], [("daily_pipeline", f"{THURSDAY}")]]


def test_every_complete_delivery_is_recorded_once(sensor: Sensor) -> None:
    sensor.deliver(THURSDAY, exchange="NYSE")
    sensor.deliver(THURSDAY, exchange="NASDAQ", age=20)
    seen = [recorded(sensor.tick()), recorded(sensor.tick())]
    sensor.now += timedelta(seconds=60)
    seen += [recorded(sensor.tick()), recorded(sensor.tick())]
    sensor.days.ran("daily_pipeline", THURSDAY, tags=tagged(day=THURSDAY))
    seen += [recorded(sensor.tick())]
    sensor.deliver(THURSDAY, exchange="NYSE", content="longer")
    seen += [recorded(sensor.tick())]

    nyse, nasdaq = ("raw/nyse", f"{THURSDAY}", 1), ("raw/nasdaq", f"{THURSDAY}", 1)
    assert seen == [[nyse], [], [nasdaq], [], [], [("raw/nyse", f"{THURSDAY}", 6)]]


def test_what_is_recorded_says_how_many_files_how_large_and_when_they_came(sensor: Sensor) -> None:
    sensor.deliver(THURSDAY)
    sensor.raw.put(f"csv/{THURSDAY}/NYSE/part-2", content="BB", at=NOW - timedelta(seconds=90))

    nyse = sensor.tick().arrived[0]

    told = {name: nyse.metadata[name].value for name in ("files", "bytes", "newest_file")}
    assert told == {"files": 2, "bytes": 3, "newest_file": (NOW - timedelta(seconds=90)).timestamp()}


def test_misplaced_files_and_days_that_are_too_old_are_announced_once(days: HandMadeDays) -> None:
    sensor = Sensor(days, {"CAPSTONE_WATCH_DAYS": "1"})
    sensor.deliver(THURSDAY, FRIDAY, TUESDAY)
    sensor.raw.put("csv/2020-09-07/NYSE/a", "xml/a")

    first, second = sensor.tick(), sensor.tick()

    too_old = "older than the 1 watched trading days (CAPSTONE_WATCH_DAYS)"
    closed = "the NYSE is closed on Labor Day; nothing of this day is run: move the files to their trading day, or away"
    assert first.warnings == [
        f"{THURSDAY}..{FRIDAY}: {too_old}; if it is not published, run it: capstone run {THURSDAY}..{FRIDAY}",
        "s3://exchange/raw/xml: only csv and json are read; move it there",
        f"s3://exchange/raw/csv/2020-09-07: {closed}",
    ]
    assert asked_for(first) == [("preprocessing", f"{TUESDAY}")]
    assert second.warnings == []


def test_days_for_which_there_is_no_time_are_judged_in_the_next_tick(sensor: Sensor) -> None:
    sensor.deliver(THURSDAY, FRIDAY, TUESDAY)
    # It looks at the clock three times for the raw folder, when it begins to judge, and before every other day.
    seconds = iter([0, 0, 0, 0, 1, 2])

    first = sensor.tick(lambda: next(seconds))
    left_over = (sensor.cursor, first.ledger.judge_at)
    second = sensor.tick()

    assert asked_for(first) == [("daily_pipeline", f"{day}") for day in (THURSDAY, FRIDAY)]
    assert left_over == (str(first.ledger), TUESDAY)
    assert ("preprocessing", f"{TUESDAY}") in asked_for(second)


def test_the_preconditions_of_a_complete_delivery_are_a_reason_to_wait(days: HandMadeDays) -> None:
    sensor = Sensor(days, {"CAPSTONE_PRECONDITIONS": '{"NASDAQ": [{"minimum_bytes": 5}]}'})
    sensor.deliver(THURSDAY)
    waits = sensor.tick()
    sensor.deliver(THURSDAY, exchange="NASDAQ", content="longer")
    goes = sensor.tick()

    assert (waits.requests, waits.summary) == ([], f"watching 1 day; {THURSDAY} is waiting for NASDAQ")
    assert waits.reasons == [f"{THURSDAY} is waiting for NASDAQ: 1 bytes were delivered, at least 5 are due"]
    assert asked_for(goes) == [("daily_pipeline", f"{THURSDAY}")]


def test_preconditions_that_cannot_be_asked_are_a_reason_to_wait(days: HandMadeDays, tmp_path: Path) -> None:
    break_storage(tmp_path / "broken")
    place = f'{{"NYSE": [{{"key_exists": "{tmp_path}/broken/go"}}]}}'
    sensor = Sensor(days, {"CAPSTONE_PRECONDITIONS": place})
    sensor.deliver(THURSDAY)

    tick = sensor.tick()

    assert (tick.requests, tick.summary) == ([], f"watching 1 day; {THURSDAY} is waiting for NYSE")
    assert f"{tmp_path}/broken" in tick.reasons[0]


def test_a_day_that_is_no_partition_by_the_clock_of_dagster_is_not_asked_for(sensor: Sensor) -> None:
    later = date(2039, 12, 1)
    sensor.now = datetime(2039, 12, 30, tzinfo=UTC)
    sensor.deliver(THURSDAY, later)

    tick = sensor.tick()

    assert asked_for(tick) == [("daily_pipeline", f"{THURSDAY}")]
    assert tick.reasons[-1] == f"{later} is no partition yet, by the clock of this machine"


def test_a_raw_folder_without_any_day_says_so(sensor: Sensor) -> None:
    assert sensor.tick().summary == "no trading day has a folder below s3://exchange/raw yet"


def test_many_waiting_days_are_told_shortly(days: HandMadeDays) -> None:
    sensor = Sensor(days)
    waiting = [date(2020, 9, day) for day in (3, 4, 8, 9)]
    sensor.deliver(*waiting, exchange="NYSE")

    told = "".join(f"; {day} is waiting for NASDAQ" for day in waiting[:3])
    assert sensor.tick().summary == f"watching 4 days{told}; and 1 more"


def test_a_tick_in_which_the_store_fails_is_skipped_and_forgets_nothing(days: HandMadeDays) -> None:
    break_storage(Path(days.settings.raw_uri) / "csv")

    with dg.build_sensor_context(days.instance, "as it was") as context:
        ticked = new_files(days.settings, jobs=[]).evaluate_tick(context)

    assert ticked.skip_message
    assert ticked.skip_message.startswith("raw folder or lake cannot be looked at, the next tick tries again: ")
    assert ticked.cursor == "as it was"


def test_dagster_takes_what_the_sensor_gives(days: HandMadeDays, capfd: pytest.CaptureFixture[str]) -> None:
    raw = Path(days.settings.raw_uri)
    deliver(raw, THURSDAY)
    deliver(raw, FRIDAY, sources=SOURCES[:1])
    (raw / "xml").mkdir()
    defs = build_defs(days.settings)
    sensor = next(sensor for sensor in defs.sensors or [] if sensor.name == "new_files")
    assert isinstance(sensor, dg.SensorDefinition)

    with dg.build_sensor_context(days.instance, repository_def=defs.get_repository_def()) as context:
        ticked = sensor.evaluate_tick(context)

    [request] = ticked.run_requests or []
    assert (request.job_name, request.tags["dagster/partition"]) == ("daily_pipeline", f"{THURSDAY}")
    assert [(type(event), event.partition) for event in ticked.asset_events] == [
        (kind, f"{day}")
        for day in (THURSDAY, THURSDAY, FRIDAY)
        for kind in (dg.AssetObservation, dg.AssetMaterialization)
    ]
    assert Ledger.parse(ticked.cursor).days.keys() == {THURSDAY, FRIDAY}
    log = capfd.readouterr().err
    assert f"WARNING - {raw}/xml: only csv and json are read" in log
    assert f"INFO - {FRIDAY} is waiting for NASDAQ: it has delivered no data file" in log
