"""Invented trading days: the same every time, and close to what exchanges deliver."""

import gzip
import json
import re
from collections import Counter
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from statistics import median

import pytest

from capstone_dagster.deliveries.sample import Sample, SampleError, has_only_samples, last_day_of_samples
from capstone_dagster.trading_days import NoTradingDayError
from capstone_dagster_tests.servers.s3_server import (  # noqa: F401 -- pytest finds fixtures by their import
    PLACES,
    s3_endpoint,
    s3_uri,
    uri_of,
)
from spark_code.raw_files import RawFolder
from spark_code.storage import Storage

FRIDAY, MONDAY = date(2020, 8, 7), date(2020, 8, 10)
FOLDERS = ["csv/2020-08-07/NYSE", "json/2020-08-07/NASDAQ"]
LINES = 20_000
SMALL = Sample(symbols=3, events=200, seed=7)

HEAD = ("trade_dt", "file_tm", "event_type", "symbol", "event_tm", "event_seq_nb", "exchange")
NUMBERS = {"T": ("price", "size"), "Q": ("bid_pr", "bid_size", "ask_pr", "ask_size")}
CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d\.\d{3}"

Record = Mapping[str, str]


def write(sample: Sample, out: object, first: date = FRIDAY, days: int = 1) -> list[tuple[date, int, int]]:
    return list(sample.write(str(out), first, days))


def files_of(uri: object) -> dict[str, bytes]:
    """Every object with its content."""
    storage = Storage(str(uri))
    return {stored.key: storage.read(stored.key) or b"" for stored in storage.objects("")}


def lines_of(files: Mapping[str, bytes], folder: str, name: str = "") -> list[str]:
    """The lines of an exchange's data files whose names begin so."""
    lines: list[str] = []
    for key, content in files.items():
        if key.startswith(f"{folder}/{name}") and not key.startswith(f"{folder}/_"):
            text = (gzip.decompress(content) if key.endswith(".gz") else content).decode()
            assert text.endswith("\n")
            lines += text[:-1].split("\n")
    return lines


def record(line: str) -> Record | None:
    """The fields of a line, or None if it is not even a line of its format."""
    if not line.startswith("{"):
        values = line.split(",")
        names = (*HEAD, *NUMBERS.get(values[2] if len(values) > 2 else "", ()))
        return dict(zip(names, values, strict=True)) if len(names) == len(values) > len(HEAD) else None
    try:
        return {name: str(value) for name, value in json.loads(line).items()}
    except json.JSONDecodeError:
        return None


def is_good(line: str, folder: str) -> bool:
    """Whether the contract accepts the line of this exchange's folder."""
    fields = record(line)
    if fields is None or fields.get("event_type") not in NUMBERS:
        return False
    numbers = NUMBERS[fields["event_type"]]
    _, day, exchange = folder.split("/")
    return (
        tuple(fields) == (*HEAD, *numbers)
        and (fields["trade_dt"], fields["exchange"]) == (day, exchange)
        and re.fullmatch("[A-Z]+", fields["symbol"]) is not None
        and all(re.fullmatch(rf"{day} {CLOCK}", fields[name]) for name in ("file_tm", "event_tm"))
        and all(re.fullmatch(r"\d+(\.\d+)?", fields[name]) for name in (*numbers, "event_seq_nb"))
        and re.fullmatch(r"\d+\.\d\d?", fields[numbers[0]]) is not None
        and float(fields[numbers[0]]) > 0
    )


def good_records(files: Mapping[str, bytes], folder: str, name: str = "") -> list[Record]:
    records = (record(line) for line in lines_of(files, folder, name) if is_good(line, folder))
    return [fields for fields in records if fields]


def key(fields: Record) -> tuple[str, ...]:
    return tuple(fields[name] for name in ("symbol", "exchange", "event_tm", "event_seq_nb"))


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of one day that is large enough for its shares to show."""
    out = tmp_path_factory.mktemp("sample")
    write(Sample(symbols=20, events=LINES, seed=7), out)
    return files_of(out)


@pytest.mark.parametrize("place", PLACES)
def test_the_same_arguments_write_the_same_files_anywhere(
    place: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    uri = uri_of(place, request)

    reported = write(SMALL, uri, days=2)

    assert reported == write(SMALL, tmp_path / "again", days=2)
    assert files_of(uri) == files_of(tmp_path / "again")


def test_another_seed_writes_other_events(tmp_path: Path) -> None:
    write(SMALL, tmp_path / "seven")
    write(Sample(symbols=3, events=200, seed=8), tmp_path / "eight")

    seven, eight = (lines_of(files_of(tmp_path / name), FOLDERS[0]) for name in ("seven", "eight"))

    assert len(seven) == len(eight) == 100
    assert set(seven) & set(eight) == set()


def test_consecutive_trading_days_are_written_with_their_sizes(tmp_path: Path) -> None:
    reported = write(SMALL, tmp_path, days=2)

    files = files_of(tmp_path)
    data = {name: content for name, content in files.items() if not name.rsplit("/", 1)[1].startswith("_")}
    of_day = {day: [content for name, content in data.items() if f"/{day}/" in name] for day in (FRIDAY, MONDAY)}
    assert reported == [(day, len(contents), sum(map(len, contents))) for day, contents in of_day.items()]
    folders = [f"{kind}/{day}/{exchange}" for kind, exchange in (("csv", "NYSE"), ("json", "NASDAQ")) for day in of_day]
    assert sorted({name.rsplit("/", 1)[0] for name in files}) == sorted(folders)
    assert {f"{folder}/_SUCCESS" for folder in folders} <= set(files)


@pytest.mark.parametrize("events", [2, 3, 999])
def test_the_exchanges_share_exactly_the_lines_of_a_day(tmp_path: Path, events: int) -> None:
    write(Sample(symbols=3, events=events, seed=7), tmp_path)

    nyse, nasdaq = (len(lines_of(files_of(tmp_path), folder)) for folder in FOLDERS)

    assert (nyse, nasdaq) == ((events + 1) // 2, events // 2)


def test_many_lines_are_split_into_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("capstone_dagster.deliveries.sample._LINES_PER_FILE", 30)

    write(SMALL, tmp_path)

    files = files_of(tmp_path)
    parts = [name for name in files if name.startswith(f"{FOLDERS[0]}/part-")]
    assert [name.removeprefix(f"{FOLDERS[0]}/") for name in parts] == [f"part-{i:05}.csv" for i in range(len(parts))]
    sizes = [len(files[name].splitlines()) for name in parts]
    assert sizes[:-1] == [30] * (len(parts) - 1)
    assert len(lines_of(files, FOLDERS[0])) == 100


@pytest.mark.parametrize("folder", FOLDERS)
def test_half_a_percent_of_the_lines_is_bad_in_many_ways(day: dict[str, bytes], folder: str) -> None:
    lines = lines_of(day, folder)
    bad = [line for line in lines if not is_good(line, folder)]

    assert len(lines) == LINES / 2
    assert 0.0025 < len(bad) / len(lines) < 0.0075
    assert "" in bad
    assert any(record(line) is None for line in bad)
    assert any(re.search(r',X,|:"X",', line) for line in bad)


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_day_has_trades_and_quotes_of_all_symbols_within_the_session(day: dict[str, bytes], folder: str) -> None:
    records = good_records(day, folder)

    kinds = Counter(fields["event_type"] for fields in records)
    assert 0.08 < kinds["T"] / len(records) < 0.12
    assert len({fields["symbol"] for fields in records}) == 20
    times = [fields["event_tm"].split()[1] for fields in records]
    assert "09:30:00.000" <= min(times) < "09:31"
    assert "15:59" < max(times) < "16:00:00.001"
    assert all(float(q["bid_pr"]) < float(q["ask_pr"]) for q in records if q["event_type"] == "Q")


@pytest.mark.parametrize("folder", FOLDERS)
def test_later_files_correct_events_and_bring_late_ones(day: dict[str, bytes], folder: str) -> None:
    on_time = {key(fields): fields for fields in good_records(day, folder, "part-")}
    later = good_records(day, folder, "later-")

    corrections = [fields for fields in later if key(fields) in on_time]
    late = {key(fields) for fields in later} - set(on_time)
    assert 0.005 < len(corrections) / (LINES / 2) < 0.015
    assert 0.01 < len(late) / (LINES / 2) < 0.03
    for correction in corrections:
        corrected = on_time[key(correction)]
        assert correction["file_tm"] > corrected["file_tm"]
        price = NUMBERS[correction["event_type"]][0]
        assert correction[price] != corrected[price]


def test_a_day_is_the_same_whatever_days_are_written_before_it(tmp_path: Path) -> None:
    write(SMALL, tmp_path / "from friday", days=2)
    write(SMALL, tmp_path / "monday", MONDAY)

    both = files_of(tmp_path / "from friday")
    assert {name: content for name, content in both.items() if f"{MONDAY}" in name} == files_of(tmp_path / "monday")


def test_wrong_prices_of_a_day_are_all_corrected_by_the_later_file(tmp_path: Path) -> None:
    tuesday = date(2020, 8, 4)  # QLMK has wrong prices then
    write(Sample(symbols=12, events=LINES, seed=7), tmp_path, tuesday)

    folder = f"csv/{tuesday}/NYSE"
    right = {key(fields): float(fields["price"]) for fields in trades_of(tmp_path, folder, "later-")}
    found = {key(fields): float(fields["price"]) for fields in trades_of(tmp_path, folder, "part-")}
    usual = median(found.values())
    wrong = [name for name, price in found.items() if price > 1.05 * usual]
    assert len(wrong) > 5
    assert all(1.07 < found[name] / right[name] < 1.09 for name in wrong)


def trades_of(out: Path, folder: str, name: str) -> list[Record]:
    records = good_records(files_of(out), folder, name)
    return [fields for fields in records if (fields["event_type"], fields["symbol"]) == ("T", "QLMK")]


@pytest.mark.parametrize("place", PLACES)
def test_files_that_are_no_sample_are_left_alone(place: str, request: pytest.FixtureRequest) -> None:
    uri = uri_of(place, request)
    real = f"{FOLDERS[0]}/trades.csv"
    Storage(uri).write(real, b"real")

    with pytest.raises(SampleError) as refused:
        write(SMALL, uri)

    assert str(refused.value) == f"{uri}/{FOLDERS[0]} holds files that are no sample; choose another folder"
    assert files_of(uri) == {real: b"real"}


def test_a_sample_to_which_somebody_has_added_a_file_is_left_alone(tmp_path: Path) -> None:
    write(SMALL, tmp_path)
    (tmp_path / FOLDERS[0] / "mine.csv").write_text("real")
    before = files_of(tmp_path)

    with pytest.raises(SampleError, match="holds files that are no sample; choose another folder"):
        write(SMALL, tmp_path)
    SMALL.remove(f"{tmp_path}", [FRIDAY])

    assert {name: content for name, content in before.items() if "csv" in name} == files_of(tmp_path)


def test_named_days_of_the_same_sample_are_removed_and_those_of_another_are_not(tmp_path: Path) -> None:
    thursday = date(2020, 8, 6)
    write(SMALL, tmp_path, days=2)
    write(Sample(symbols=2, events=20, seed=7), tmp_path, thursday)

    SMALL.remove(f"{tmp_path}", [thursday, FRIDAY])

    assert {name.split("/")[1] for name in files_of(tmp_path)} == {f"{thursday}", f"{MONDAY}"}


def test_only_samples_and_the_last_day_of_samples_are_known_from_days_that_are_delivered(tmp_path: Path) -> None:
    raw = RawFolder(f"{tmp_path}")
    assert (has_only_samples(raw), last_day_of_samples(raw)) == (True, None)

    write(SMALL, tmp_path)
    for name in ("csv/no day", "csv/2020-02-31"):
        (tmp_path / name).mkdir()
    assert (has_only_samples(raw), last_day_of_samples(raw)) == (True, FRIDAY)

    raw.storage.write("csv/2020-08-06/NYSE/trades.csv", b"real")
    assert (has_only_samples(raw), last_day_of_samples(raw)) == (False, FRIDAY)

    raw.storage.write(f"json/{MONDAY}/NASDAQ/trades.json", b"real")
    assert (has_only_samples(raw), last_day_of_samples(raw)) == (False, None)


@pytest.mark.parametrize("name", ["csv/2020-08-10/NYSE", "csv/2020-08-10/NYES/trades.csv"])
def test_a_day_without_a_file_of_any_exchange_is_no_sample(tmp_path: Path, name: str) -> None:
    write(SMALL, tmp_path)
    path = tmp_path / name
    (path.parent if path.suffix else path).mkdir(parents=True)
    if path.suffix:
        path.write_bytes(b"real")

    raw = RawFolder(f"{tmp_path}")
    assert (has_only_samples(raw), last_day_of_samples(raw)) == (False, None)


@pytest.mark.parametrize("place", PLACES)
def test_its_own_files_are_replaced_and_none_of_the_old_stays(
    place: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = uri_of(place, request)
    with monkeypatch.context() as small_files:
        small_files.setattr("capstone_dagster.deliveries.sample._LINES_PER_FILE", 30)
        write(SMALL, uri)
    assert f"{FOLDERS[0]}/part-00001.csv" in files_of(uri)

    write(SMALL, uri)

    write(SMALL, tmp_path / "fresh")
    assert files_of(uri) == files_of(tmp_path / "fresh")


def test_what_a_killed_sample_has_left_is_removed_by_the_next_one(tmp_path: Path) -> None:
    write(SMALL, tmp_path)
    folder = tmp_path / FOLDERS[0]
    file = next(path for path in folder.iterdir() if not path.name.startswith("_"))
    left = folder / f"{file.name}#1"
    left.write_bytes(b"half a li")

    write(SMALL, tmp_path)

    assert not left.exists()
    assert len(RawFolder(str(tmp_path)).deliveries(FRIDAY)) == len(FOLDERS)


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (date(2020, 8, 8), "the NYSE is closed on Saturdays"),
        (date(2025, 7, 4), "the NYSE is closed on July 4th"),
    ],
)
def test_a_first_day_without_trading_is_refused_before_anything_is_written(
    tmp_path: Path, first: date, reason: str
) -> None:
    with pytest.raises(NoTradingDayError, match=reason):
        write(SMALL, tmp_path, first)

    assert files_of(tmp_path) == {}
