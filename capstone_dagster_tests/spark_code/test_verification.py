"""Published days that are damaged in every way we know: all is found, said in a sentence, and left as it is."""

import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from capstone_dagster_tests.builders.deliveries import DAY, FOLDERS, line
from spark_code.flow import WHOLE
from spark_code.lake import Lake
from spark_code.lake_places import pointer
from spark_code.manifest import Attempt
from spark_code.schemas import CLOSES, DAILY_SUMMARY, EVENTS, QUOTE_ANALYTICS, QUOTES, TABLES, TRADES, Table
from spark_code.submit import Work
from spark_code.verification import prove

NEXT_DAY = date(2020, 8, 7)
LINES = {
    exchange: [
        line(exchange, "T"),
        line(exchange, "T", symbol="SYMB", price="7.5" if exchange == "NYSE" else "8"),
        line(exchange, "Q"),
        line(exchange, "Q", symbol="SYMB", event_tm="2020-08-06 09:59:30"),
        b"no line of any exchange, and longer than the thirty-two bytes of a stripe: \xc3\xa4\xf0\x9f\x93\x88",
    ]
    for exchange in FOLDERS
}


def deliver(raw: Path, day: date) -> None:
    for exchange, folder in FOLDERS.items():
        path = raw / folder.replace(f"{DAY}", f"{day}") / "a"
        path.parent.mkdir(parents=True)
        path.write_bytes(b"\n".join(LINES[exchange]).replace(f"{DAY}".encode(), f"{day}".encode()))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, spark: SparkSession) -> Path:
    """Two days of all tables, made by Spark from five lines of each exchange."""
    folder: Path = tmp_path_factory.mktemp("verification")
    lake = Lake(f"{folder / 'lake'}")
    for day, previous in ((DAY, None), (NEXT_DAY, DAY)):
        deliver(folder / "raw", day)
        Work(WHOLE, day, previous, f"{folder / 'raw'}", lake).run(spark, Attempt.begin("run-of-the-test"))
    return folder / "lake"


@dataclass(frozen=True)
class Copied:
    """The published lake once more, to be damaged."""

    root: Path
    table: Table = TRADES

    @property
    def lake(self) -> Lake:
        return Lake(f"{self.root}")

    @property
    def pointer(self) -> Path:
        return self.root / pointer(self.table, DAY)

    @property
    def manifest(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.pointer.read_text())
        return found

    @property
    def file(self) -> Path:
        """The first file of the version, which has rows."""
        return self.root / str(self.manifest["paths"][0])

    def says(self, **fields: Any) -> None:
        """Change what the manifest says."""
        self.pointer.write_text(json.dumps(self.manifest | fields))

    def hold(self, change: Callable[[pa.Table], pa.Table], **fields: Any) -> None:
        """Change the rows of the file as somebody would who also mends the numbers of the manifest."""
        pq.write_table(change(pq.ParquetFile(self.file).read()), self.file)
        self.says(bytes=self.size, **fields)

    @property
    def size(self) -> int:
        return sum((self.root / path).stat().st_size for path in self.manifest["paths"])

    def take_the_file_of_the_next_day(self) -> None:
        shutil.copy(
            self.root / json.loads((self.root / pointer(self.table, NEXT_DAY)).read_text())["paths"][0], self.file
        )
        self.says(bytes=self.size)

    def other(self, table: Table) -> "Copied":
        """The same, of another table."""
        return Copied(self.root, table)

    def bytes(self) -> dict[str, tuple[bytes, int]]:
        files = (path for path in self.root.rglob("*") if path.is_file())
        return {f"{path}": (path.read_bytes(), path.stat().st_mtime_ns) for path in files}

    def found(self) -> list[str]:
        """The problems, with the names that Spark has invented left out."""
        proof = prove(self.lake, self.table, DAY, None)
        shortened = (problem.replace(f"{self.root}/", "") for problem in proof.problems)
        return [re.sub(r"data/[^/]+/trade_dt=\S+/[\w.=-]+parquet", "FILE", problem) for problem in shortened]


@pytest.fixture
def copied(published: Path, tmp_path: Path) -> Copied:
    return Copied(Path(shutil.copytree(published, tmp_path / "lake")))


def one_more_row(rows: pa.Table) -> pa.Table:
    changed = rows.slice(0, 1).set_column(0, "symbol", pa.array(["SYMC"]))
    return pa.concat_tables([rows, changed.cast(rows.schema)])


def another_price(rows: pa.Table) -> pa.Table:
    place = rows.schema.get_field_index("trade_size")
    return rows.set_column(place, rows.schema.field(place), pa.array([301] * len(rows)))


NUMBERS = "its rows are not those that were published: their digest is another one"
POINTER = f"eod/trades/_published/{DAY}.json"

DAMAGES: list[tuple[str, Callable[[Copied], object], list[str]]] = [
    ("a file is lost", lambda day: day.file.unlink(), ["eod/trades/FILE is gone"]),
    (
        "a file is cut",
        lambda day: day.file.write_bytes(day.file.read_bytes()[:-100]),
        ["its files have ", "eod/trades/FILE is no whole parquet file"],
    ),
    (
        "a file is emptied",
        lambda day: day.file.write_bytes(b""),
        ["its files have ", "eod/trades/FILE is no whole parquet file"],
    ),
    (
        "a file is another day's",
        lambda day: day.take_the_file_of_the_next_day(),
        [NUMBERS],
    ),
    (
        "a file is another table's",
        lambda day: shutil.copy(day.other(QUOTES).file, day.file),
        ["its files have ", "eod/trades/FILE holds struct<symbol:string,"],
    ),
    (
        "a file was written by another program",
        lambda day: pq.write_table(pq.ParquetFile(day.file).read().replace_schema_metadata(None), day.file),
        ["its files have ", "eod/trades/FILE was not written by Spark"],
    ),
    ("a row is appended", lambda day: day.hold(one_more_row), ["its files hold 5 rows, its manifest says 4", NUMBERS]),
    ("a row is appended, and counted", lambda day: day.hold(one_more_row, rows=5), [NUMBERS]),
    ("a value is changed", lambda day: day.hold(another_price), [NUMBERS]),
    (
        "a row is there twice",
        lambda day: day.hold(lambda rows: pa.concat_tables([rows, rows.slice(0, 1)]), rows=5),
        [NUMBERS, "its key is not unique, e.g. SYM"],
    ),
    (
        "rows are lost",
        lambda day: day.hold(lambda rows: rows.slice(1)),
        ["its files hold 3 rows, its manifest says 4", NUMBERS],
    ),
    (
        "a foreign file is there",
        lambda day: shutil.copy(day.file, day.file.with_name("mine.parquet")),
        ["eod/trades/FILE is not of this version, and Spark and Athena read it with the others"],
    ),
    (
        "a folder of another day is there",
        lambda day: shutil.copytree(day.file.parent, day.file.parent.with_name(f"trade_dt={NEXT_DAY}")),
        ["eod/trades/FILE is not of this version, and outside the folder of its day"],
    ),
    (
        "the manifest is torn",
        lambda day: day.pointer.write_bytes(day.pointer.read_bytes()[:200]),
        [f"{POINTER} is no manifest: "],
    ),
    ("the manifest is empty", lambda day: day.pointer.write_bytes(b""), [f"{POINTER} is empty"]),
    ("the manifest is no JSON", lambda day: day.pointer.write_bytes(b"\x00\xff PAR1"), [f"{POINTER} is no manifest: "]),
    ("the manifest is deep", lambda day: day.pointer.write_text("[" * 100_000), [f"{POINTER} is no manifest: "]),
    (
        "the manifest names an unprintable version",
        lambda day: day.says(version="v\x00", paths=[]),
        [f"{POINTER} names 'v\\x00' as its version, which can be no folder"],
    ),
    ("the manifest is a list", lambda day: day.pointer.write_text("[]"), [f"{POINTER} is no manifest: it is a list"]),
    ("the manifest is a number", lambda day: day.pointer.write_text("7"), [f"{POINTER} is no manifest: "]),
    (
        "the manifest lacks fields",
        lambda day: day.pointer.write_text('{"version": "v1"}'),
        [f"{POINTER} is no manifest: "],
    ),
    ("the pointer names no version", lambda day: day.pointer.write_text("{}"), [f"{POINTER} names no version"]),
    (
        "the manifest is of another day",
        lambda day: shutil.copy(day.root / pointer(TRADES, NEXT_DAY), day.pointer),
        [f"{POINTER} is the manifest of another day, 2020-08-07"],
    ),
    (
        "the manifest is of another table",
        lambda day: shutil.copy(day.other(QUOTES).pointer, day.pointer),
        [f"{POINTER} names a file that is not of this table, day and version: eod/quotes/FILE"],
    ),
    (
        "the manifest says other rows",
        lambda day: day.says(rows=5),
        ["its files hold 4 rows, its manifest says 5"],
    ),
    ("the manifest says other bytes", lambda day: day.says(bytes=7), ["its files have "]),
    ("the manifest says another digest", lambda day: day.says(digest="0" * 32), [NUMBERS]),
    (
        "the manifest names another version",
        lambda day: day.says(version="2020-08-06-1-other-1"),
        [f"{POINTER} names a file that is not of this table, day and version: eod/trades/FILE"],
    ),
    (
        "the version is gone",
        lambda day: shutil.rmtree(day.root / "eod/trades/data" / day.manifest["version"]),
        ["eod/trades/FILE is gone"],
    ),
    (
        "the manifest names a file twice",
        lambda day: day.says(paths=day.manifest["paths"] * 2),
        ["its manifest names a file twice"],
    ),
    (
        "the manifest leads out of the lake",
        lambda day: day.says(version="../../.."),
        [f"{POINTER} names '../../..' as its version, which can be no folder"],
    ),
    (
        "the manifest has text for a number",
        lambda day: day.says(rows="\x1b[31mmany"),
        [f"{POINTER} is no manifest: rows cannot be '\\x1b[31mmany'"],
    ),
    (
        "the manifest lacks columns that the files have",
        lambda day: day.says(columns=day.manifest["columns"][:-1]),
        ["eod/trades/FILE holds struct<symbol:string,"],
    ),
]


@pytest.mark.parametrize(("damage", "sentences"), [pytest.param(*case, id=name) for name, *case in DAMAGES])
def test_damage_is_found_and_left_as_it_is(
    copied: Copied, damage: Callable[[Copied], object], sentences: Sequence[str]
) -> None:
    damage(copied)
    before = copied.bytes()

    found = copied.found()

    assert [problem[: len(due)] for problem, due in zip(found, sentences, strict=True)] == sentences
    assert copied.bytes() == before


@pytest.mark.parametrize(
    ("damage", "sentences"),
    [
        pytest.param(
            lambda day: day.says(measures=day.manifest["measures"] | {"trades": 5}),
            ["its files hold 4 trades, its manifest says 5"],
            id="the manifest says other trades",
        ),
        pytest.param(
            lambda day: day.says(paths=[path for path in day.manifest["paths"] if "rec_type=B" not in path]),
            [
                "ingested/events/FILE is not of this version, and Spark and Athena read it with the others",
                "its files have ",
                "its files hold 8 rows, its manifest says 10",
                "its files hold 0 rejected lines, its manifest says 2",
                NUMBERS,
            ],
            id="the manifest leaves out the bad lines",
        ),
    ],
)
def test_every_line_is_a_trade_a_quote_or_rejected(
    copied: Copied, damage: Callable[[Copied], object], sentences: Sequence[str]
) -> None:
    events = copied.other(EVENTS)
    damage(events)

    found = events.found()

    assert [problem[: len(due)] for problem, due in zip(found, sentences, strict=True)] == sentences


@pytest.mark.parametrize("day", [DAY, NEXT_DAY], ids=str)
@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES.keys())
def test_what_spark_has_published_is_proven(published: Path, table: Table, day: date) -> None:
    proof = prove(Lake(f"{published}"), table, day, DAY if day == NEXT_DAY else None)

    assert (proof.is_proven, proof.problems, proof.warnings, proof.remedy) == (True, [], [], None)
    assert proof.manifest
    assert proof.manifest.rows > 0


def test_a_lake_on_s3_is_proven_and_its_damage_found(copied: Copied, s3_uri: str) -> None:
    lake = Lake(f"{s3_uri}/lake")
    for path in sorted(copied.root.rglob("*")):
        if path.is_file() and not path.name.startswith("."):
            lake.storage.write(f"{path.relative_to(copied.root)}", path)
    assert [prove(lake, table, DAY, None).problems for table in TABLES.values()] == [[]] * len(TABLES)

    lake.storage.delete([f"{copied.file.relative_to(copied.root)}"])

    assert prove(lake, TRADES, DAY, None).problems == [f"{lake.storage.uri(copied.manifest['paths'][0])} is gone"]


def test_the_order_of_the_rows_is_no_damage(copied: Copied) -> None:
    copied.hold(lambda rows: rows.take(list(range(len(rows)))[::-1]))

    assert copied.found() == []


def test_a_day_that_is_not_published_is_not_proven(copied: Copied) -> None:
    copied.pointer.unlink()

    proof = prove(copied.lake, TRADES, DAY, None)

    assert (proof.is_proven, proof.problems) == (False, [])
    assert proof.remedy == "make it with: capstone run 2020-08-06 --job preprocessing"


def test_a_day_of_which_only_attempts_were_given_up_is_missing_and_its_pointer_stays(copied: Copied) -> None:
    copied.pointer.unlink()
    copied.lake.give_up(TRADES, DAY, "a-run/1")

    proof = prove(copied.lake, TRADES, DAY, None)

    assert (proof.is_published, proof.problems) == (False, [])
    assert proof.remedy == "make it with: capstone run 2020-08-06 --job preprocessing"


@pytest.mark.parametrize(
    ("damage", "remedy"),
    [
        (lambda day: day.file.unlink(), "publish it again: capstone run 2020-08-06 --job analytical"),
        (
            lambda day: day.pointer.write_text("torn"),
            "delete that file, and publish it again: capstone run 2020-08-06 --job analytical",
        ),
    ],
    ids=["a file is lost", "the manifest is torn"],
)
def test_the_command_that_publishes_it_again_is_named(
    copied: Copied, damage: Callable[[Copied], object], remedy: str
) -> None:
    report = copied.other(QUOTE_ANALYTICS)
    damage(report)

    assert prove(copied.lake, QUOTE_ANALYTICS, DAY, None).remedy == remedy


def test_what_was_computed_from_an_older_version_is_no_damage_and_said(copied: Copied) -> None:
    copied.other(QUOTES).says(version="another", digest="another")
    (copied.root / pointer(CLOSES, DAY)).unlink()

    proof = prove(copied.lake, DAILY_SUMMARY, NEXT_DAY, DAY)
    of_day = prove(copied.lake, DAILY_SUMMARY, DAY, None)

    assert (proof.is_proven, of_day.is_proven) == (True, True)
    assert proof.warnings == ["it was computed from eod/closes of 2020-08-06, which is no longer published"]
    assert of_day.warnings == ["it was computed from an older version of eod/quotes of 2020-08-06"]


def test_a_day_of_an_older_release_is_proven_as_far_as_it_can_be(copied: Copied) -> None:
    copied.hold(another_price, digest=None)

    proof = prove(copied.lake, TRADES, DAY, None)

    assert (proof.is_proven, proof.problems) == (True, [])
    assert proof.warnings == [
        "an older release published it without a digest, so the values of its rows cannot be proven"
    ]
