"""Preconditions together: what the setting takes, what people are told, and that no work begins before they hold."""

import json
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest

from capstone_dagster.cli.track_command import TrackedJob
from capstone_dagster.deliveries.preconditions import GuardedRawFolder, Preconditions, UnmetPreconditionError
from capstone_dagster.settings import Settings, SettingsError
from capstone_dagster_tests.servers.platform import Platform, failure
from spark_code.raw_files import SOURCES, Delivery, MissingDeliveryError
from spark_code.storage import Storage, StoredObject

DAY = date(2020, 8, 6)
ALL_KINDS = (
    '{"NYSE": [{"key_exists": "s3://vendor/{day}/NYSE.done"}, {"prefix_exists": "/vendor/{day}/"}], '
    '"NASDAQ": [{"minimum_bytes": 1000000}, {"command": ["/opt/checks/calendar", "{day}", ""]}]}'
)


def delivery(exchange: str, size: int = 12) -> Delivery:
    (source,) = [source for source in SOURCES if source.exchange == exchange]
    return Delivery(source, DAY, Storage("/raw"), (StoredObject("a", size, datetime.now(UTC), ""),))


def test_what_is_read_is_written_back_and_can_be_compared() -> None:
    read, again = Preconditions.parse(ALL_KINDS), Preconditions.parse(ALL_KINDS)

    assert str(read) == ALL_KINDS
    assert (read, hash(read)) == (again, hash(again))
    assert read != Preconditions.parse(ALL_KINDS.replace("1000000", "1"))
    assert Preconditions.parse("{}") == Preconditions()


def refusal(value: str) -> str | None:
    """What is said of the value of the variable, if anything; the value itself is long, and may hold a secret."""
    try:
        Settings.from_mapping({"CAPSTONE_PRECONDITIONS": value})
    except SettingsError as error:
        return str(error).removeprefix("CAPSTONE_PRECONDITIONS: the given value cannot be used: ")
    return None


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("", None),
        ("{}", None),
        ('{"NYSE": []}', None),
        ("NYSE", 'must be JSON like {"NYSE": [{"minimum_bytes": 1000000}]}: Expecting value: line 1 column 1 (char 0)'),
        ("[]", 'must be JSON like {"NYSE": [{"minimum_bytes": 1000000}]}'),
        ('{"IEX": []}', "'IEX' is not an exchange; the exchanges are NYSE, NASDAQ"),
        ('{"nyse": []}', "'nyse' is not an exchange; the exchanges are NYSE, NASDAQ"),
        ('{"NYSE": [], "NYSE": []}', "NYSE appears twice"),
        ('{"NYSE": {"minimum_bytes": 1}}', 'NYSE: must be a list like {"NYSE": [{"minimum_bytes": 1000000}]}'),
        ('{"NYSE": ["minimum_bytes"]}', 'NYSE: each must be of one kind, like {"minimum_bytes": 1000000}'),
        ('{"NYSE": [{}]}', 'NYSE: each must be of one kind, like {"minimum_bytes": 1000000}'),
        (
            '{"NYSE": [{"minimum_bytes": 1, "key_exists": "/a"}]}',
            'NYSE: each must be of one kind, like {"minimum_bytes": 1000000}',
        ),
        (
            '{"NASDAQ": [{"minimum_bytes": 1}, {"file": "/a"}]}',
            (
                "NASDAQ: 'file' is not a kind of precondition; "
                "the kinds are key_exists, prefix_exists, minimum_bytes, command"
            ),
        ),
    ],
)
def test_the_setting_is_taken_or_refused_in_a_sentence(value: str, reason: str | None) -> None:
    assert refusal(value) == reason


NO_PLACE = "must be s3://bucket/key or an absolute path"
NO_FILE = "names no file; folders are for prefix_exists"
NO_SIZE = "must be a number of bytes, at least 1"
NO_COMMAND = 'must be a program and its arguments like ["/opt/checks/calendar", "{day}"]'
NO_PROGRAM = "must be an absolute path, or a name to look up in PATH"
NOTHING_ELSE = "is not a placeholder; the placeholders are {day} and {exchange}"


@pytest.mark.parametrize(
    ("kind", "value", "reason"),
    [
        ("key_exists", "file:///vendor/{exchange}", None),
        ("key_exists", 1, "must be text"),
        ("key_exists", "done", f"'done' {NO_PLACE}"),
        ("key_exists", "~/done", f"'~/done' {NO_PLACE}"),
        ("key_exists", "s3:///done", f"'s3:///done' {NO_PLACE}"),
        ("key_exists", "gs://bucket/done", f"'gs://bucket/done' {NO_PLACE}"),
        ("key_exists", "s3://bucket", f"s3://bucket {NO_FILE}"),
        ("key_exists", "/done/", f"/done/ {NO_FILE}"),
        ("prefix_exists", "s3://bucket", None),
        ("prefix_exists", "", f"'' {NO_PLACE}"),
        ("prefix_exists", "./drop", f"'./drop' {NO_PLACE}"),
        ("prefix_exists", "s3://bucket/{date}", f"{{date}} {NOTHING_ELSE}"),
        ("minimum_bytes", "1", NO_SIZE),
        ("minimum_bytes", 0, NO_SIZE),
        ("minimum_bytes", 1.5, NO_SIZE),
        ("minimum_bytes", True, NO_SIZE),
        ("minimum_bytes", None, NO_SIZE),
        ("command", [], NO_COMMAND),
        ("command", "calendar {day}", NO_COMMAND),
        ("command", ["calendar", 1], "must be text"),
        ("command", ["calendar", "a\0"], "must be text"),
        ("command", ["calendar", "{}"], f"{{}} {NOTHING_ELSE}"),
        ("command", [""], f"'' {NO_PROGRAM}"),
        ("command", ["checks/calendar"], f"'checks/calendar' {NO_PROGRAM}"),
    ],
)
def test_the_value_of_a_kind_is_taken_or_refused_in_a_sentence(kind: str, value: object, reason: str | None) -> None:
    assert refusal(json.dumps({"NYSE": [{kind: value}]})) == (reason and f"NYSE: {kind}: {reason}")


def test_all_places_and_sizes_are_told_and_commands_are_asked_after_them(tmp_path: Path) -> None:
    asked = tmp_path / "asked"
    preconditions = Preconditions.parse(
        f'{{"NYSE": [{{"command": ["sh", "-c", "echo >> {asked}; exit 3"]}},'
        f' {{"key_exists": "{tmp_path}/{{day}}.done"}}, {{"minimum_bytes": 1000}},'
        f' {{"command": ["touch", "{tmp_path}/never"]}}]}}'
    )

    both = preconditions.unmet(delivery("NYSE"))
    (tmp_path / f"{DAY}.done").touch()
    size = preconditions.unmet(delivery("NYSE"))
    assert not asked.exists()
    command = preconditions.unmet(delivery("NYSE", size=1000))

    assert both == (
        f"NYSE: {tmp_path}/2020-08-06.done is not there yet and 12 bytes were delivered, at least 1,000 are due"
    )
    assert size == "NYSE: 12 bytes were delivered, at least 1,000 are due"
    assert command == "NYSE: sh ended with exit code 3"
    assert asked.read_text() == "\n"
    assert not (tmp_path / "never").exists()
    assert preconditions.unmet(delivery("NASDAQ")) is None


def test_who_asks_says_how_long_a_command_may_take() -> None:
    preconditions = Preconditions.parse('{"NASDAQ": [{"command": ["sleep", "600"]}]}')

    assert preconditions.unmet(delivery("NASDAQ"), command_seconds=0.01) == (
        "NASDAQ: sleep did not end within 0.01 seconds"
    )


def test_the_raw_folder_hands_out_nothing_before_every_exchange_is_ready(tmp_path: Path) -> None:
    raw = GuardedRawFolder(
        str(tmp_path / "raw"),
        Preconditions.parse(
            f'{{"NASDAQ": [{{"prefix_exists": "{tmp_path}/{{exchange}}"}}], "NYSE": [{{"minimum_bytes": 100}}]}}'
        ),
    )
    with pytest.raises(MissingDeliveryError):
        raw.deliveries(DAY)
    for source in SOURCES:
        raw.storage.write(f"{source.folder(DAY)}/a", b"12345")
    with pytest.raises(UnmetPreconditionError) as refused:
        raw.deliveries(DAY)
    raw.storage.write(f"csv/{DAY}/NYSE/b", b"1" * 95)
    Storage(f"{tmp_path}/NASDAQ").write("marker", b"")

    assert str(refused.value) == (
        "preconditions of 2020-08-06 are not met: NYSE: 5 bytes were delivered, at least 100 are due; "
        f"NASDAQ: nothing is below {tmp_path}/NASDAQ yet. "
        "Run the day again when they are, or change CAPSTONE_PRECONDITIONS"
    )
    assert [found.bytes for found in raw.deliveries(DAY)] == [100, 5]


@dataclass(frozen=True)
class Waiting(Platform):
    """A platform whose days wait for a marker."""

    preconditions: str = field(kw_only=True)

    @property
    def environment(self) -> dict[str, str]:
        waits = {"CAPSTONE_PRECONDITIONS": self.preconditions, "CAPSTONE_QUIET_SECONDS": "0"}
        return {**super().environment, **waits}


@pytest.fixture
def waiting(tmp_path: Path) -> Waiting:
    platform = Waiting(tmp_path, DAY, preconditions=f'{{"NYSE": [{{"key_exists": "{tmp_path}/{{day}}.done"}}]}}')
    platform.sample(DAY)
    return platform


def test_a_run_fails_before_any_work_and_is_not_tried_again(waiting: Waiting) -> None:
    result = waiting.run("preprocessing", DAY)

    assert failure(result) == (
        f"preconditions of 2020-08-06 are not met: NYSE: {waiting.folder}/2020-08-06.done is not there yet. "
        "Run the day again when they are, or change CAPSTONE_PRECONDITIONS"
    )
    kinds = [event.event_type for event in result.all_events]
    assert kinds.count(dg.DagsterEventType.STEP_UP_FOR_RETRY) == 0
    assert kinds.count(dg.DagsterEventType.ASSET_OBSERVATION) == 0
    assert not (waiting.folder / "lake").exists()


def test_the_sensor_waits_and_then_runs_the_day(waiting: Waiting) -> None:
    (new_files,) = [sensor for sensor in waiting.defs.sensors or [] if sensor.name == "new_files"]
    with dg.DagsterInstance.ephemeral() as instance:

        def tick(cursor: str | None = None) -> dg.SensorResult:
            result = new_files(dg.build_sensor_context(instance=instance, cursor=cursor))
            assert isinstance(result, dg.SensorResult)
            return result

        before = tick()
        (waiting.folder / "2020-08-06.done").touch()
        after = tick(before.cursor)

    assert not before.run_requests
    assert "2020-08-06 is waiting for NYSE" in str(before.skip_reason)
    assert [request.partition_key for request in after.run_requests or []] == ["2020-08-06"]


def test_a_tracked_command_is_refused_until_they_hold(waiting: Waiting) -> None:
    work = TrackedJob(waiting.settings, "preprocessing", DAY)
    with pytest.raises(UnmetPreconditionError, match=r"NYSE: .*2020-08-06\.done is not there yet"):
        work.require_inputs()
    (waiting.folder / "2020-08-06.done").touch()
    work.require_inputs()
