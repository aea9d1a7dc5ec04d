"""Lines are read once and whole, in whatever parts; those larger than the memory are cut, and counted as ever."""

import bz2
import gzip
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from random import Random

import duckdb
import pytest
from pyspark.sql import SparkSession

from capstone_dagster_tests.builders.deliveries import BOM, DAY, FOLDERS, deliver, line, ordered, reject_row, trade_row
from capstone_dagster_tests.builders.line_cases import draft_of
from spark_code import raw_lines, raw_to_ingested
from spark_code.lake import Lake
from spark_code.locations import StorageError
from spark_code.raw_files import RawFolder
from spark_code.raw_lines import count_lines, lines_of, parts
from spark_code.schemas import EVENTS

MIB = 2**20
KEPT = 128 * 1024
PACK: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress}
SHORT = 1_500_000

PUBLISH_WITH_LITTLE_MEMORY = """
import sys
from pathlib import Path
from capstone_dagster_tests.builders.deliveries import DAY
from capstone_dagster_tests.builders.line_cases import draft_of
from spark_code import session
from spark_code.lake import Lake
from spark_code.manifest import Attempt
raw, lake, logs = sys.argv[1:]
spark = session.start(session.local_conf("512m", Path(logs)))
Lake(lake).publish(draft_of(spark, Path(raw)), DAY, Attempt.begin("run-1"))
"""


def content(random: Random) -> bytes:
    """Lines of a few bytes or none, with and without a BOM, a CR, and an LF at the end."""
    pieces = [b"", b"\r", b"a", b"bc", BOM, "\u00e4".encode(), b"x" * random.randrange(40)]
    lines = random.choices(pieces, k=random.randrange(12))
    return random.choice([b"", BOM]) + b"\n".join(lines) + random.choice([b"", b"\n"])


def test_lines_are_read_once_and_whole_in_whatever_parts_and_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rounds: Callable[[int], int]
) -> None:
    random = Random(7)  # noqa: S311 - nothing secret is drawn
    for number in range(rounds(300)):
        raw, wanted = tmp_path / str(number), Counter[bytes]()
        for file in range(random.randint(1, 3)):
            delivered = content(random)
            ending = random.choice(["", "", ".gz", ".bz2"])
            half = len(delivered) // 2
            # Packed files may consist of several parts.
            deliver(
                raw, "NYSE", f"part {file}{ending}", PACK[ending](delivered[:half]) + PACK[ending](delivered[half:])
            )
            lines = delivered.removeprefix(BOM).split(b"\n")
            wanted.update(lines if lines[-1] else lines[:-1])
        deliver(raw, "NASDAQ", "empty", b"")
        deliveries = RawFolder(str(raw)).deliveries(DAY)
        # A block holds at least the BOM.
        monkeypatch.setattr(raw_lines, "_BLOCK", random.randint(3, 50))

        lots = parts(deliveries[0], random.randint(1, 60))

        got = Counter(
            text
            for part in chain.from_iterable(lots)
            for some in lines_of(deliveries[0].storage, part)
            for text in some.to_pylist()
        )
        assert (number, got) == (number, wanted)
        assert (number, count_lines(deliveries)[0]) == (number, wanted.total())


def test_a_line_of_many_parts_is_read_by_one_of_them(tmp_path: Path) -> None:
    deliver(tmp_path, "NYSE", "part", b"first\n" + b"x" * 1_000_000 + b"\nlast")
    deliver(tmp_path, "NASDAQ", "part", b"")
    delivery = RawFolder(str(tmp_path)).deliveries(DAY)[0]

    parts_with_lines = [
        (part.start, [len(text) for some in lines_of(delivery.storage, part) for text in some.to_pylist()])
        for part in chain.from_iterable(parts(delivery, 100_000))
    ]

    assert [found for found in parts_with_lines if found[1]] == [(0, [5, 1_000_000]), (1_000_000, [4])]


def test_small_files_come_in_one_lot_and_a_large_one_in_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw_lines, "_OPEN_BYTES", 30)
    for name, size in {"a": 40, "b": 30, "c": 250, "d": 10, "e.gz": 500, "f": 0}.items():
        deliver(tmp_path, "NYSE", name, b"x" * size)
    deliver(tmp_path, "NASDAQ", "part", b"")

    lots = parts(RawFolder(str(tmp_path)).deliveries(DAY)[0], 100)

    assert [[(part.key.rsplit("/")[-1], part.start, part.end) for part in lot] for lot in lots] == [
        [("a", 0, 40), ("b", 0, 30)],
        [("c", 0, 100)],
        [("c", 100, 200)],
        [("c", 200, 250), ("d", 0, 10)],
        [("e.gz", 0, None)],
    ]


@pytest.mark.parametrize("small_bytes", [2**30, 0], ids=["in this process", "in tasks"])
def test_lines_beside_one_that_is_very_big_are_read_as_ever(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_bytes: int
) -> None:
    monkeypatch.setattr(raw_to_ingested, "SMALL_BYTES", small_bytes)
    wanted = []
    for exchange in FOLDERS:
        for name, length in {
            "at the limit": MIB,
            "above": MIB + 1,
            "far above": 9 * MIB,
            "far above.gz": 9 * MIB,
        }.items():
            first, last = (line(exchange, "T", event_seq_nb=number) for number in "12")
            long = "ä" * (length // 2) + "x" * (length % 2)
            content = BOM + first + b"\r\n" + long.encode() + b"\n\n" + last
            source = deliver(tmp_path, exchange, name, gzip.compress(content) if name.endswith("gz") else content)
            wanted += [trade_row(exchange, event_seq_nb=number) for number in (1, 2)]
            wanted += [
                reject_row(exchange, "too_long", source, long[: KEPT // 2]),
                reject_row(exchange, "blank", source, ""),
            ]
    draft = draft_of(spark, tmp_path)
    assert ordered(draft.rows.collect()) == ordered(wanted)
    assert draft.expected_rows == len(wanted)


@pytest.mark.faults("F7", sample=True)
@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (gzip.compress(b"line\n")[:-4], "Compressed file ended before the end-of-stream marker was reached"),
        (gzip.compress(b"line\n") + b"and more", "Not a gzipped file (b'an')"),
        (bz2.compress(b"line\n")[:-4], "Compressed file ended before the end-of-stream marker was reached"),
        (bz2.compress(b"line\n") + b"and more", "Invalid data stream"),
        (b"line\n", "Not a gzipped file (b'li')"),
    ],
    ids=["cut gz", "gz with something behind", "cut bz2", "bz2 with something behind", "plain"],
)
def test_a_broken_packed_file_fails_the_day_and_is_named(
    spark: SparkSession, tmp_path: Path, broken: bytes, why: str
) -> None:
    deliver(tmp_path, "NYSE", "whole", line("NYSE", "T"))
    name = deliver(tmp_path, "NASDAQ", "broken.bz2" if broken.startswith(b"BZh") else "broken.gz", broken)

    with pytest.raises(StorageError) as refused:
        draft_of(spark, tmp_path)

    assert str(refused.value) == f"{tmp_path}/{name} cannot be read to its end: {why}; deliver it again"


@pytest.mark.faults("F6")
def test_lines_too_large_for_the_memory_are_rejects_of_a_day_that_is_published(tmp_path: Path) -> None:
    raw, lake = tmp_path / "raw", tmp_path / "lake"
    wanted = Counter[tuple[str | int | None, ...]]()
    for exchange, name in (("NYSE", "no line end"), ("NASDAQ", "bomb.gz")):
        deliver(raw, exchange, "good", line(exchange, "T"))
        wanted.update([(exchange, "T", None, None), (exchange, "B", "too_long", KEPT)])
        source = raw / deliver(raw, exchange, name, b"")
        if name.endswith(".gz"):
            with gzip.open(source, "wb", compresslevel=1) as packed:
                for _ in range(150):
                    packed.write(bytes(MIB))
        else:
            with source.open("wb") as sparse:
                sparse.truncate(150 * MIB)
    # Many lines that would fill the memory if all of each were kept.
    many = raw / deliver(raw, "NYSE", "many", b"")
    with many.open("wb") as lines:
        for _ in range(60):
            lines.write(b"x" * (MIB - 1) + b"\n")
    wanted["NYSE", "B", "too_long", KEPT] += 60
    # And very many behind one that is too long.
    with gzip.open(raw / deliver(raw, "NYSE", "many.gz", b""), "wb", compresslevel=1) as packed:
        packed.write(b"x" * 2 * MIB + b"\n" + b"x\n" * SHORT)
    wanted["NYSE", "B", "too_long", KEPT] += 1
    wanted["NYSE", "B", "unknown_record_type", 1] += SHORT

    command = [sys.executable, "-c", PUBLISH_WITH_LITTLE_MEMORY, str(raw), str(lake), str(tmp_path)]
    # Spark as people start it: interpreted, as in the quick JVMs of other tests, so many lines take minutes.
    environment = {name: value for name, value in os.environ.items() if name != "SPARK_SUBMIT_OPTS"}
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600, env=environment)

    assert result.returncode == 0, result.stderr[-4000:]
    assert published(lake) == wanted


def published(lake: Path) -> Counter[tuple[str | int | None, ...]]:
    manifest = Lake(str(lake)).manifest(EVENTS, DAY)
    assert manifest is not None
    files = [str(lake / path) for path in manifest.paths]
    query = """
        SELECT exchange, rec_type, reject_reason, length(line), count(*)
        FROM read_parquet(?, hive_partitioning = true) GROUP BY ALL
    """
    return Counter({row[:-1]: row[-1] for row in duckdb.execute(query, [files]).fetchall()})
