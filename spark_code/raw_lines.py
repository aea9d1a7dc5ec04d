"""The lines of delivered files as Arrow arrays of bytes, and an independent count of them.

A file is read in blocks, so a line may be larger than the memory: what is longer than a line that is kept is cut.
``line_rules`` judges the lines.
"""

import bz2
import gzip
import io
import os
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from threading import Event
from typing import TYPE_CHECKING, Any, BinaryIO

from spark_code.locations import StorageError, shown
from spark_code.raw_files import Delivery
from spark_code.storage import Storage, StoredObject

if TYPE_CHECKING:
    import pyarrow as pa

# How much of a rejected line is kept: more than any event has, and parquet holds a hundred of them in memory.
MAX_KEPT_BYTES = 128 * 1024
_BLOCK = 8 * 1024 * 1024
_BOM = "\ufeff".encode()
_UNPACK: Mapping[str, Callable[[BinaryIO], Any]] = {".gz": gzip.open, ".bz2": bz2.open}


@dataclass(frozen=True)
class Part:
    """A part of a file: the lines that begin in it."""

    key: str
    start: int
    end: int | None
    """None for a packed file, which can be read only as a whole."""


def parts(delivery: Delivery, part_bytes: int) -> list[list[Part]]:
    """All files of a delivery, in lots of about so many bytes: large files in parts, and small ones together."""
    lots: list[list[Part]] = []
    room = 0
    for stored in delivery.files:
        packed = _unpacking(stored.key) is not None
        step = max(stored.size, 1) if packed else part_bytes
        for start in range(0, stored.size, step):
            size = min(step, stored.size - start)
            if size > room:
                lots.append([])
                room = part_bytes
            lots[-1].append(Part(stored.key, start, None if packed else start + size))
            room -= size
    return lots


def lines_of(storage: Storage, part: Part) -> Iterator["pa.BinaryArray"]:
    """The lines of a part as they were delivered, without the LF and without a BOM at the start of the file."""
    import pyarrow as pa  # noqa: PLC0415 - takes 0.15 s, for who reads lines; commands import ``flow``
    import pyarrow.compute as pc  # noqa: PLC0415 - the same

    def split(lines: bytes) -> "pa.BinaryArray":
        return pc.split_pattern(pa.array([lines], pa.binary()), pattern=b"\n").values

    rest = b""
    for block in _content(storage, part):
        end = block.rfind(b"\n")
        if end < 0:
            rest = (rest + block)[: MAX_KEPT_BYTES + 1]
            continue
        yield split(rest + block[:end])
        rest = block[end + 1 :][: MAX_KEPT_BYTES + 1]
    if rest:
        yield split(rest)


def as_text(lines: "pa.BinaryArray") -> "pa.Table":
    """Lines as texts, of which too long ones are cut, and whether they are UTF-8; what is not becomes U+FFFD."""
    import pyarrow as pa  # noqa: PLC0415 - the same
    import pyarrow.compute as pc  # noqa: PLC0415 - the same

    sizes = pc.binary_length(lines)
    try:
        if pc.max(sizes).as_py() > MAX_KEPT_BYTES:
            raise pa.ArrowInvalid  # noqa: TRY301 - as for lines that are no UTF-8
        texts = lines.cast(pa.string())
        are_encoded = pa.repeat(True, len(lines))
    except pa.ArrowInvalid:
        texts = pa.array([line[:MAX_KEPT_BYTES].decode(errors="replace") for line in lines.to_pylist()], pa.string())
        are_encoded = pa.array([_is_encoded(line) for line in lines.to_pylist()])
    return pa.table({"text": texts, "bytes": sizes, "is_encoded": are_encoded})


def _is_encoded(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def count_lines(deliveries: Sequence[Delivery]) -> tuple[int, int]:
    """How many lines the files have, and how many bytes once they are unpacked, counted without splitting them."""
    stopped = Event()
    files = [(delivery.storage, stored) for delivery in deliveries for stored in delivery.files]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        try:
            counts = list(threads.map(lambda file: _count(file[0], file[1], stopped), files))
        finally:
            stopped.set()  # if interrupted, do not read the rest
    return sum(lines for lines, _ in counts), sum(size for _, size in counts)


def _count(storage: Storage, stored: StoredObject, stopped: Event) -> tuple[int, int]:
    """The last line may have no LF, and a BOM alone is no line."""
    lines = size = 0
    last = b"\n"
    with _opened(storage, stored.key) as file:
        for block in takewhile(lambda _: not stopped.is_set(), iter(lambda: file.read(_BLOCK), b"")):
            lines += block.count(b"\n")
            last = block[-1:] if size or block != _BOM else last
            size += len(block)
    return lines + (last != b"\n"), size


def _content(storage: Storage, part: Part) -> Iterator[bytes]:
    """The bytes from the first line that begins in the part to the end of the last one, in blocks."""
    with _opened(storage, part.key) as file:
        if part.start == 0:
            position = 0
            has_begun = True
        else:
            # A line begins at the start of the part if the byte before is an LF.
            position = file.seek(part.start - 1)
            has_begun = False
        while block := file.read(_BLOCK):
            last = -1
            if part.end is not None and position + len(block) >= part.end:
                last = block.find(b"\n", max(0, part.end - 1 - position))
            kept = block[: last + 1] if last >= 0 else block
            if not has_begun:
                first = kept.find(b"\n")
                has_begun = first >= 0
                kept = kept[first + 1 :] if has_begun else b""
            elif position == 0:
                kept = kept.removeprefix(_BOM)
            if kept:
                yield kept
            if last >= 0:
                return
            position += len(block)


@contextmanager
def _opened(storage: Storage, key: str) -> Iterator[BinaryIO]:
    """An unpacked file. What it lacks to be read to its end is an error that names it."""
    try:
        opened = storage.open(key, _BLOCK)
        if opened is None:
            raise FileNotFoundError("it is gone")
        content = io.BufferedReader(opened, _BLOCK)
        unpack = _unpacking(key)
        # Buffered once more, because a file of many compressed parts is read a part at a time.
        with io.BufferedReader(unpack(content), _BLOCK) if unpack else content as file:
            yield file
    except (OSError, EOFError, zlib.error) as error:
        uri = storage.uri(key)
        raise StorageError(shown(f"{uri} cannot be read to its end: {error}; deliver it again")) from error


def _unpacking(key: str) -> Callable[[BinaryIO], Any] | None:
    """The function that unpacks a file, chosen by its name."""
    return next((unpack for ending, unpack in _UNPACK.items() if key.lower().endswith(ending)), None)
