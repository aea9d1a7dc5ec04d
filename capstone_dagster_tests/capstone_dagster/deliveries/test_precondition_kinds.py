"""Each kind of precondition by itself: places here and on S3, sizes, and real commands."""

import json
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from capstone_dagster.deliveries.precondition_kinds import Command, KeyExists, MinimumBytes, PrefixExists
from capstone_dagster.runs.worker import Worker
from capstone_dagster_tests.servers.processes import eventually
from capstone_dagster_tests.servers.s3_server import (  # noqa: F401 -- pytest finds fixtures by their import
    PLACES,
    s3_client,
    s3_endpoint,
    s3_uri,
    uri_of,
)
from spark_code.locations import StorageError
from spark_code.raw_files import Delivery, Source
from spark_code.storage import Storage, StoredObject

CANARY = "canary-91bd5e"
LIMIT = 60.0


def delivery(size: int = 12) -> Delivery:
    """What NYSE has delivered for a day, in two files."""
    files = [StoredObject(name, bytes_, datetime.now(UTC), "") for name, bytes_ in (("a", size - 5), ("b", 5))]
    return Delivery(Source("NYSE", "csv"), date(2020, 8, 6), Storage("/raw"), tuple(files))


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> Storage:
    return Storage(uri_of(request.param, request))


def test_a_key_exists_when_there_is_a_file_of_that_name(place: Storage) -> None:
    condition = KeyExists.parse(place.uri("done {day}/{exchange}.done"))
    reason = f"{place.uri('done 2020-08-06/NYSE.done')} is not there yet"

    before = condition.unmet(delivery())
    for other in ("NYSE.done.part", "NASDAQ.done", "old/NYSE.done"):
        place.write(f"done 2020-08-06/{other}", b"")
    besides = condition.unmet(delivery())
    place.write("done 2020-08-06/NYSE.done", b"")

    assert (before, besides, condition.unmet(delivery())) == (reason, reason, None)


def test_a_folder_is_no_file(place: Storage) -> None:
    place.write("done/deeper", b"")

    assert KeyExists.parse(place.uri("done")).unmet(delivery()) == f"{place.uri('done')} is not there yet"


def test_a_prefix_exists_when_something_is_below_it(place: Storage) -> None:
    conditions = [PrefixExists.parse(place.uri(f"{{day}}/{{exchange}}{slash}")) for slash in ("", "/")]
    reasons = [f"nothing is below {place.uri(name)} yet" for name in ("2020-08-06/NYSE", "2020-08-06/NYSE/")]

    before = [condition.unmet(delivery()) for condition in conditions]
    for other in ("2020-08-06/NYSE_OLD/a", "2020-08-06/NYSE.done", "2020-08-05/NYSE/a"):
        place.write(other, b"1")
    besides = [condition.unmet(delivery()) for condition in conditions]
    place.write("2020-08-06/NYSE/however/deep", b"")

    assert (before, besides) == (reasons, reasons)
    assert [condition.unmet(delivery()) for condition in conditions] == [None, None]


def test_the_folder_object_that_the_s3_console_makes_is_nothing_below_it(request: pytest.FixtureRequest) -> None:
    bucket = uri_of("s3", request).removeprefix("s3://").split("/")[0]
    s3_client().put_object(Bucket=bucket, Key="drop/", Body=b"")

    assert PrefixExists(f"s3://{bucket}/drop/").unmet(delivery()) == f"nothing is below s3://{bucket}/drop/ yet"


@pytest.mark.parametrize("kind", [KeyExists, PrefixExists])
@pytest.mark.parametrize("place", ["s3"], indirect=True)
def test_a_bucket_that_cannot_be_looked_into_is_an_error(
    place: Storage, kind: type[KeyExists | PrefixExists], monkeypatch: pytest.MonkeyPatch
) -> None:
    del place  # for its server
    with pytest.raises(StorageError, match=r"^s3://no-such-bucket/drop.*404"):
        kind("s3://no-such-bucket/drop/x").unmet(delivery())
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(StorageError, match=r"^s3://firm/drop.*: no AWS credentials were found"):
        kind("s3://firm/drop/x").unmet(delivery())


def test_a_size_counts_all_files_of_the_day() -> None:
    assert MinimumBytes(12).unmet(delivery(12)) is None
    assert MinimumBytes(1_000_000).unmet(delivery(12)) == "12 bytes were delivered, at least 1,000,000 are due"


def test_a_command_gets_its_arguments_as_they_are(tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    keeping = "import json, pathlib, sys; pathlib.Path(sys.argv[1]).write_text(json.dumps(sys.argv[2:]))"
    odd = ["two  words", "'\"", "$HOME", "`id`", f"; touch {tmp_path}/made", "*", "", "{", '{"a": 1}', "ü\n"]

    command = Command.parse([sys.executable, "-c", keeping, str(seen), *odd, "{exchange}-{day}", "{day}{day}"])

    assert command.unmet(delivery(), LIMIT) is None
    assert json.loads(seen.read_text()) == [*odd, "NYSE-2020-08-06", "2020-08-062020-08-06"]
    assert [path.name for path in tmp_path.iterdir()] == ["seen"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("true",), None),
        (("sh", "-c", "exit 3"), "sh ended with exit code 3"),
        (("sh", "-c", "kill -KILL $$"), "sh ended with exit code 137"),
        (("/nowhere/{exchange}", "secret"), "/nowhere/NYSE cannot be started: No such file or directory"),
    ],
)
def test_a_command_holds_if_it_ends_with_0(arguments: tuple[str, ...], reason: str | None) -> None:
    assert Command(arguments).unmet(delivery(), LIMIT) == reason


@pytest.mark.parametrize("interruption", [None, KeyboardInterrupt])
def test_a_command_that_takes_too_long_is_killed_with_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interruption: type[BaseException] | None
) -> None:
    told, wait, workers = tmp_path / "told", subprocess.Popen.wait, []

    def wait_until_both_are_up(process: "subprocess.Popen[bytes]", timeout: float | None = None) -> Any:
        if timeout:
            child = int(eventually(lambda: told.read_text() if told.exists() else "", lambda text: "\n" in text))
            workers.extend([Worker.process(process.pid), Worker.process(child)])
            if interruption:
                raise interruption
        return wait(process, timeout)

    monkeypatch.setattr(subprocess.Popen, "wait", wait_until_both_are_up)
    command = Command(("sh", "-c", f"sleep 600 & echo $! > '{told}'; trap '' TERM INT; wait; wait"))

    if interruption:
        with pytest.raises(interruption):
            command.unmet(delivery(), LIMIT)
    else:
        assert command.unmet(delivery(), 0.01) == "sh did not end within 0.01 seconds"

    assert len(workers) == 2
    eventually(lambda: [worker.is_dead for worker in workers], [True, True].__eq__, seconds=30)


def test_what_a_command_prints_and_what_it_must_not_know_does_not_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("CAPSTONE_ALERT_URLS", "CAPSTONE_POSTGRES_URL", "CAPSTONE_WAREHOUSE_URL", "PGPASSWORD"):
        monkeypatch.setenv(name, f"json://{CANARY}")
    monkeypatch.setenv("CAPSTONE_LAKE_URI", "s3://firm/lake")
    script = f"env > '{tmp_path}/env'; echo {CANARY}; echo {CANARY} >&2; exit 1"

    assert Command(("sh", "-c", script, CANARY)).unmet(delivery(), LIMIT) == "sh ended with exit code 1"

    known = (tmp_path / "env").read_text()
    assert CANARY not in known
    assert "CAPSTONE_LAKE_URI=s3://firm/lake\n" in known
    assert capfd.readouterr() == ("", "")


def test_a_command_has_no_terminal_and_no_input() -> None:
    script = "import os, sys; sys.exit(bool(sys.stdin.read()) or os.getsid(0) != os.getpid())"

    assert Command((sys.executable, "-c", script)).unmet(delivery(), LIMIT) is None
