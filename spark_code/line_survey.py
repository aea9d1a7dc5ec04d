"""Counts the lines of deliveries independently of how they are read, and reads lines that are too big for Spark.

Spark holds several copies of a line in memory, so its reader gets a limit. It silently skips or cuts longer lines: this
module finds files with such lines, and reads them in blocks. ``raw_lines`` parses the lines.
"""

import bz2
import gzip
import io
import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from itertools import takewhile
from threading import Event
from typing import Any, BinaryIO

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from spark_code.locations import StorageError, shown
from spark_code.raw_files import Delivery
from spark_code.storage import Storage, StoredObject

# Many times the size of an event. Several copies of such a line fit into the smallest driver, on every core.
_READER_LIMIT = 1024 * 1024
_BLOCK = 1024 * 1024
# How many bytes of lines go to Spark at once.
_BATCH = 16 * 1024 * 1024
# What a line costs in addition, as a Python object.
_PER_LINE = 64
_BOM = "\ufeff".encode()
_UNPACK: Mapping[str, Callable[[BinaryIO], Any]] = {".gz": gzip.open, ".bz2": bz2.open}


@dataclass(frozen=True)
class Survey:
    """What is known about the lines before they are read."""

    lines: int
    oversized: frozenset[str]
    """Keys of the files with lines that are too big for Spark's reader."""


def survey(spark: SparkSession, deliveries: Sequence[Delivery]) -> Survey:
    """Count all lines. Spark counts the lines of plain files; their sizes show whether it has seen all bytes."""
    files = [(delivery.storage, stored) for delivery in deliveries for stored in delivery.files]
    plain = [(storage, stored) for storage, stored in files if _unpacking(stored) is None]
    counted = _count(spark, plain) if plain else 0
    scanned = files if counted is None else [file for file in files if _unpacking(file[1]) is not None]
    stopped = Event()
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        try:
            found = list(threads.map(lambda file: _scan(file[0], file[1], stopped), scanned))
        finally:
            stopped.set()  # if interrupted, do not scan the rest
    oversized = (
        stored.key for (_, stored), (_, longest) in zip(scanned, found, strict=True) if longest > _READER_LIMIT
    )
    return Survey((counted or 0) + sum(lines for lines, _ in found), frozenset(oversized))


def text(spark: SparkSession, paths: Sequence[str]) -> DataFrame:
    """The lines of files that Spark can read, without those that are too big for it."""
    # Without lineSep, Spark would also break lines at a lone CR. The limit counts the LF.
    limit = {"mapreduce.input.linerecordreader.line.maxlength": str(_READER_LIMIT + 2)}
    return spark.read.options(**limit).text(list(paths), lineSep="\n")


def cut_lines(spark: SparkSession, storage: Storage, stored: StoredObject, most: int) -> DataFrame:
    """The lines of a file, each cut to ``most`` bytes; they go to Spark's disks in batches."""
    import pyarrow as pa  # noqa: PLC0415 - takes 0.15 s, for files with such lines; commands import ``flow``

    batches = (
        spark.createDataFrame(pa.table({"value": pa.array(batch, pa.binary())}))
        .select(F.col("value").cast("string"))
        .coalesce(1)  # Spark would make a task of every 10,000 lines
        .localCheckpoint(storageLevel=StorageLevel.DISK_ONLY)
        for batch in _batches(_cut(_blocks(storage, stored), most))
    )
    return reduce(DataFrame.unionAll, batches)


def _count(spark: SparkSession, plain: Sequence[tuple[Storage, StoredObject]]) -> int | None:
    """The lines of plain files, or None if Spark's reader has skipped or cut any."""
    counts = text(spark, [storage.spark_path(stored.key) for storage, stored in plain]).agg(
        F.count("*").alias("lines"), F.coalesce(F.sum(F.octet_length("value")), F.lit(0)).alias("bytes")
    )
    lines, content = counts.collect()[0]
    missing = sum(stored.size for _, stored in plain) - (lines + content)
    # For each file, the sum may lack a BOM, and contain an LF at the end that the file does not have.
    return int(lines) if -len(plain) <= missing <= len(_BOM) * len(plain) else None


def _scan(storage: Storage, stored: StoredObject, stopped: Event) -> tuple[int, int]:
    """How many lines a file has, and the length of the longest; a line shorter than a block may count as shorter."""
    lines = longest = open_end = 0
    for block in takewhile(lambda _: not stopped.is_set(), _blocks(storage, stored)):
        first, last = block.find(b"\n"), block.rfind(b"\n")
        lines += block.count(b"\n")
        longest = max(longest, open_end + (first if first >= 0 else len(block)))
        open_end = len(block) - last - 1 if last >= 0 else open_end + len(block)
    return lines + (open_end > 0), longest


def _cut(blocks: Iterable[bytes], most: int) -> Iterator[bytes]:
    begun = b""
    for block in blocks:
        first, *others = block.split(b"\n")
        begun = (begun + first)[:most]
        for line in others:
            yield begun
            begun = line[:most]
    if begun:
        yield begun


def _batches(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    for line in lines:
        batch.append(line)
        size += len(line) + _PER_LINE
        if size >= _BATCH:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _blocks(storage: Storage, stored: StoredObject) -> Iterator[bytes]:
    """The content of a file, unpacked, without a BOM at its start."""
    with _naming(storage.uri(stored.key)):
        opened = storage.open(stored.key)
        if opened is None:
            raise FileNotFoundError("it is gone")
        content = io.BufferedReader(opened, _BLOCK)
        unpack = _unpacking(stored)
        # Buffered once more, because a file of many compressed parts is read a part at a time.
        with io.BufferedReader(unpack(content), _BLOCK) if unpack else content as file:
            first = file.read(_BLOCK).removeprefix(_BOM)
            if first:
                yield first
            while block := file.read(_BLOCK):
                yield block


def _unpacking(stored: StoredObject) -> Callable[[BinaryIO], Any] | None:
    """The function that unpacks a file, chosen by its name as Spark's reader does."""
    return next((unpack for ending, unpack in _UNPACK.items() if stored.key.lower().endswith(ending)), None)


@contextmanager
def _naming(uri: str) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        raise StorageError(shown(f"{uri} cannot be read to its end: {error}; deliver it again")) from error
